//! Work that must come to its end even if the one who asked for it is gone.

use std::time::Duration;

use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// The tasks of a service.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

/// The task panicked or the runtime stopped: what it did is not known.
#[derive(Debug, thiserror::Error)]
#[error("the operation ended without an answer")]
pub struct TaskLost(#[source] tokio::task::JoinError);

impl Tasks {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` to its end, in the current span, and returns what it gives. A caller that stops waiting does not
    /// stop the work: a format or an SSH command is never cut in half because a client hung up.
    pub async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, TaskLost> {
        self.0.spawn(work.in_current_span()).await.map_err(TaskLost)
    }

    /// Runs `work` beside everything else.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(work.in_current_span());
    }

    /// Waits until all tasks have ended, at most `grace`; returns how many still run.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.0.close();
        // Running out of time is an answer: the count says so.
        let _ = tokio::time::timeout(grace, self.0.wait()).await;
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_when_its_caller_stops_waiting() {
        let tasks = Tasks::new();
        let done = Arc::new(AtomicBool::new(false));
        let work = {
            let done = Arc::clone(&done);
            async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                done.store(true, Ordering::SeqCst);
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(1), tasks.finish(work)).await;
        assert!(waited.is_err() && !done.load(Ordering::SeqCst));
        assert_eq!(tasks.drain(Duration::from_secs(60)).await, 0);
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn draining_counts_what_does_not_end() {
        let tasks = Tasks::new();
        tasks.spawn(std::future::pending());
        assert_eq!(tasks.drain(Duration::from_secs(1)).await, 1);
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let tasks = Tasks::new();
        assert!(tasks.finish(async { panic!("on purpose") }).await.is_err());
    }
}
