//! The folder on the host that the journal lies in, and who may write to it: one agent at a time. Two releases that were
//! given the same folder would each take the other's entries for its own, and its sessions too.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use chassis::StartError;
use chassis::deadline::Deadline;

/// How long an earlier process may take to end before the folder counts as another agent's.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The folder, locked until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct StateLock {
    _folder: File,
}

impl StateLock {
    /// Locks the folder, which is made when it is missing.
    pub(crate) async fn take(folder: &Path) -> Result<Self, StartError> {
        let tell = |error: std::io::Error| {
            let text = format!("--state-dir {} cannot be used: {error}", folder.display());
            StartError::failed(std::io::Error::new(error.kind(), text))
        };
        fs::create_dir_all(folder).map_err(tell)?;
        let file = File::open(folder).map_err(tell)?;
        let until = Deadline::after(PATIENCE);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _folder: file }),
                Err(TryLockError::Error(error)) => return Err(tell(error)),
                Err(TryLockError::WouldBlock) if until.has_passed() => {
                    return Err(tell(std::io::Error::other(
                        "another nvme-agent works with it. Two releases on one node need a state folder and a socket each",
                    )));
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_agent_is_told_that_the_folder_is_taken_and_the_next_one_gets_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let first = StateLock::take(&state).await.expect("free");
        let error = StateLock::take(&state).await.expect_err("taken").to_string();
        assert!(error.contains("another nvme-agent") && error.contains("state"), "{error}");
        drop(first);
        StateLock::take(&state).await.expect("free again");
    }
}
