//! Child processes: the tools that make, check and grow filesystems. Each has a deadline; one that does not end is
//! killed, and one that cannot be killed is left behind, counted, and reaped when the kernel lets go of it.

use std::fs::File;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use chassis::deadline::Deadline;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;

use crate::filesystem::{Command, HELD, Tool};
use crate::kernel::KernelError;
use crate::lanes::{Lanes, Stuck};

/// What is kept of a tool's words, in bytes.
const SAID_LIMIT: u64 = 64 * 1024;
/// What is shown of them, in characters.
const SHOWN: usize = 600;
/// How long a killed child may take to end before it is left behind.
const REAP: Duration = Duration::from_secs(1);
/// Where tools are, whatever the environment says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a tool ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Its exit code: one of the successful ones.
    pub(crate) code: i32,
    /// What it printed.
    pub(crate) output: String,
}

/// The device a tool works on: its standard input, which it finds under [`HELD`]. So it gets the very device that was
/// proven, and the device stays held as long as the tool lives, whatever becomes of this process.
#[derive(Debug)]
pub(crate) struct On {
    /// The open device.
    pub(crate) file: File,
    /// Its node, for messages.
    pub(crate) about: String,
}

/// Runs a tool for `volume`.
pub(crate) async fn run(
    lanes: &Lanes,
    volume: &str,
    command: &Command,
    on: Option<On>,
    deadline: Deadline,
) -> Result<Finished, KernelError> {
    let what = command.tool.name;
    let place = lanes.enter(volume, what, deadline).await?;
    let about = on.as_ref().map(|on| on.about.clone()).unwrap_or_default();
    let shown = || shown(command, &about);
    let mut child = start(command, on)?;
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let talk = async {
        let (said, complained, status) = tokio::join!(read(out.as_mut()), read(err.as_mut()), child.wait());
        status.map(|status| (said, complained, status))
    };
    match tokio::time::timeout_at(deadline.instant(), talk).await {
        Ok(Ok((said, complained, status))) => match status.code() {
            Some(code) if command.success.contains(&code) => Ok(Finished { code, output: said }),
            Some(_) | None => Err(KernelError::Tool {
                command: shown(),
                status: status.to_string(),
                said: end_of(&format!("{said}\n{complained}")),
            }),
        },
        Ok(Err(error)) => Err(KernelError::system(shown(), error)),
        Err(_) => {
            give_up(lanes, volume, what, child, place).await;
            Err(Stuck::Hanging { what }.into())
        }
    }
}

fn start(command: &Command, on: Option<On>) -> Result<Child, KernelError> {
    let about = on.as_ref().map(|on| on.about.clone()).unwrap_or_default();
    let input = on.map_or_else(Stdio::null, |on| Stdio::from(on.file));
    let mut process = tokio::process::Command::new(command.tool.name);
    process.args(&command.arguments).env_clear().env("PATH", PATH).env("LC_ALL", "C");
    process.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    process.spawn().map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            missing(command.tool)
        } else {
            KernelError::system(shown(command, &about), error)
        }
    })
}

fn missing(tool: Tool) -> KernelError {
    KernelError::ToolMissing { tool: tool.name, package: tool.package }
}

/// True when a tool can be found.
pub(crate) fn is_installed(tool: Tool) -> bool {
    PATH.split(':').any(|folder| std::path::Path::new(folder).join(tool.name).exists())
}

/// Reads what fits and lets the rest go by, so that the tool never waits for us.
async fn read(stream: Option<&mut (impl AsyncRead + Unpin)>) -> String {
    let mut kept = Vec::new();
    if let Some(stream) = stream {
        // A stream that breaks has said what it has said.
        let _ = stream.take(SAID_LIMIT).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(stream, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&kept).into_owned()
}

async fn give_up(
    lanes: &Lanes,
    volume: &str,
    what: &'static str,
    mut child: Child,
    place: crate::lanes::Place,
) {
    if let Err(error) = child.start_kill() {
        tracing::warn!(%error, what, volume.id = volume, "tool cannot be killed");
    }
    if tokio::time::timeout(REAP, child.wait()).await.is_err() {
        lanes.remember(volume.to_owned(), what, async move {
            let _ = child.wait().await;
            drop(place);
        });
    }
}

fn shown(command: &Command, about: &str) -> String {
    format!("{} {}", command.tool.name, command.arguments.join(" ")).replace(HELD, about)
}

fn end_of(said: &str) -> String {
    let one_line: Vec<&str> = said.split_whitespace().collect();
    let text = one_line.join(" ");
    let from = text.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &'static str, arguments: &[&str]) -> Command {
        Command {
            tool: Tool { name, package: "some-package" },
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            success: &[0, 3],
        }
    }

    async fn run_it(command: &Command, limit: Duration) -> Result<Finished, KernelError> {
        run(&Lanes::default(), "v", command, None, Deadline::after(limit)).await
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_missing_tool_is_named_with_its_package() {
        let error = run_it(&command("no-such-tool-of-ours", &[]), LONG).await.expect_err("missing");
        assert!(error.to_string().contains("some-package"), "{error}");
    }

    #[tokio::test]
    async fn only_the_exit_codes_that_mean_success_are_success() {
        let ok = run_it(&command("sh", &["-c", "echo yes; exit 3"]), LONG).await.expect("success");
        assert_eq!((ok.code, ok.output.as_str()), (3, "yes\n"));
        let error = run_it(&command("sh", &["-c", "echo why >&2; exit 1"]), LONG).await.expect_err("failure");
        assert!(error.to_string().contains("why"), "{error}");
    }

    #[tokio::test]
    async fn a_tool_that_does_not_end_is_given_up_at_the_deadline_and_leaves_nothing() {
        let lanes = Lanes::default();
        let endless = command("sh", &["-c", "read x < /dev/zero; exec tail -f /dev/null"]);
        let begun = std::time::Instant::now();
        let stuck = run(&lanes, "v", &endless, None, Deadline::after(Duration::from_millis(100))).await;
        assert!(matches!(stuck, Err(KernelError::Stuck(Stuck::Hanging { .. }))), "{stuck:?}");
        assert!(begun.elapsed() < LONG);
        assert_eq!(lanes.stuck(), 0, "it was killed and reaped");
    }

    #[tokio::test]
    async fn a_talkative_tool_never_waits_for_us() {
        let talk = command("sh", &["-c", "head -c 1000000 /dev/zero"]);
        assert_eq!(run_it(&talk, LONG).await.expect("success").output.len() as u64, SAID_LIMIT);
    }
}
