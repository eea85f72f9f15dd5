//! One server process: its log in a file, killed on drop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// Lines of a log that an error shows.
const TAIL: usize = 20;

/// A running process.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `program`, whose log goes to `folder`.
    pub(crate) fn start(folder: &Path, program: &Path, arguments: &[String]) -> Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("no log for {name}"))?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().with_context(|| format!("no log for {name}"))?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name, child, log })
    }

    /// An error with the end of the log when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("{} was lost", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{} ended early ({status}):\n{}", self.name, self.log_tail()),
        }
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself. Its data are worthless, so it need not be asked politely.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
