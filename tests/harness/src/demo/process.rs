//! The services of the demo as processes of their own: start, watch, stop, and tell what one said last.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Child;

/// How many lines of a failed service's log are shown.
const LAST_LINES: usize = 6;
/// How much of a line is shown, in characters.
const LINE_WIDTH: usize = 400;

/// A service that runs.
pub(crate) struct Process {
    /// What it is called in the demo, e.g. `nvme-agent on node-a`.
    pub(crate) name: String,
    /// Its process id.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot: with the pid, who it is.
    pub(crate) started: u64,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `binary`; what it prints goes to `log`. It dies with us where `setpriv` is there to arrange it.
    pub(crate) fn start(name: &str, binary: &Path, arguments: &[String], log: &Path) -> Result<Self> {
        if !binary.is_file() {
            bail!("{} is not built: cargo build --workspace --bins", binary.display());
        }
        let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = match crate::privileges::find_tool("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
        // Spans leave at once, so that the tree is whole when the story ends.
        command.env("OTEL_BSP_SCHEDULE_DELAY", "200");
        use std::os::unix::process::CommandExt;
        // A group of its own: Ctrl-C reaches us alone, and we stop the services in their order.
        command.process_group(0);
        let child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let pid = child.id().with_context(|| format!("{name} ended at once"))?;
        let started = started(pid).with_context(|| format!("{name} ended at once"))?;
        Ok(Self { name: name.to_owned(), pid, started, log: log.to_owned(), child })
    }

    /// Why it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{} ended: {status}", self.name))
    }

    /// The end of its log, for a person. Of one that still runs, only what it complained about.
    pub(crate) fn last_lines(&mut self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let ended = self.ended().is_some();
        // Every condition is unmet at the start; that is no complaint.
        let complains = |line: &&str| {
            (line.contains(" WARN ") || line.contains(" ERROR ")) && !line.contains("chassis::health")
        };
        let lines: Vec<&str> = text.lines().filter(|line| ended || complains(line)).collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        last.iter().map(|line| line.chars().take(LINE_WIDTH).collect()).collect()
    }

    /// Asks it to end, and makes it end after `grace`. An error if it had ended by itself, or does not end well.
    pub(crate) async fn stop(&mut self, grace: Duration) -> Result<()> {
        if let Some(why) = self.ended() {
            bail!("{why}");
        }
        signal("TERM", self.pid)?;
        match tokio::time::timeout(grace, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => bail!("{} was asked to end: {status}", self.name),
            Ok(Err(error)) => Err(error).with_context(|| format!("cannot wait for {}", self.name)),
            Err(_) => {
                self.child.kill().await.with_context(|| format!("cannot end {}", self.name))?;
                bail!("{} did not end within {} s and was killed", self.name, grace.as_secs())
            }
        }
    }
}

/// When the process `pid` started, in clock ticks since boot (field 22 of proc(5) stat); `None` if there is none.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, so count from its end: state is field 3.
    let fields = stat.rsplit_once(") ")?.1;
    if fields.starts_with('Z') {
        return None;
    }
    fields.split(' ').nth(22 - 3)?.parse().ok()
}

/// Sends a signal through the shell's own `kill`, which is on every machine.
pub(crate) fn signal(name: &str, pid: u32) -> Result<()> {
    let status =
        Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\" 2>/dev/null", name, &pid.to_string()]).status();
    // A process that has just ended cannot be signalled, and need not be.
    status.map(|_| ()).with_context(|| format!("cannot signal process {pid}"))
}

/// Waits until none of them lives.
pub(crate) fn wait_until_gone(processes: impl Iterator<Item = (u32, u64)>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    for (pid, start) in processes {
        while started(pid) == Some(start) {
            if Instant::now() > deadline {
                bail!("process {pid} of an earlier demo does not end");
            }
            std::thread::yield_now();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_pid_and_start() {
        assert!(started(std::process::id()).is_some());
        assert_eq!(started(u32::MAX), None);
    }
}
