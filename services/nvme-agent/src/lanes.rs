//! Blocking work, kept off the runtime and apart by volume.
//!
//! Whatever may hang in the kernel (mount, umount, open or read of a dead device) runs on a thread of its own with a
//! deadline. A volume gets a few threads and no more; when they hang, its next call is told so at once, and every other
//! volume goes on. A thread that hangs cannot be cancelled: it is counted, and its end is logged.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chassis::deadline::Deadline;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Threads and children that may work, or hang, for one volume.
const THREADS_PER_VOLUME: usize = 3;
/// A volume whose threads all hang is told so after this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// The work did not end in time. It may still be going on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stuck {
    /// It was begun and hangs.
    #[error("{what} did not end in time and may still be going on; is the path to the volume alive?")]
    Hanging {
        /// What was being done.
        what: &'static str,
    },
    /// Earlier work of the volume hangs, so it was not begun.
    #[error(
        "{what} was not begun: {THREADS_PER_VOLUME} earlier operations of this volume hang in the kernel"
    )]
    Crowded {
        /// What was to be done.
        what: &'static str,
    },
    /// It ended without an answer.
    #[error("{what} ended without an answer")]
    Lost {
        /// What was being done.
        what: &'static str,
    },
}

/// One of a volume's places; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// The threads of all volumes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lanes {
    volumes: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
    stuck: Arc<AtomicI64>,
    hanging: Arc<Mutex<HashMap<String, Vec<&'static str>>>>,
}

impl Lanes {
    /// How many operations hang now.
    pub(crate) fn stuck(&self) -> i64 {
        self.stuck.load(Ordering::Relaxed)
    }

    /// What hangs now for a volume.
    pub(crate) fn hanging(&self, volume: &str) -> Vec<&'static str> {
        let table = self.hanging.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(volume).cloned().unwrap_or_default()
    }

    /// Takes one of the volume's few places until it is dropped.
    pub(crate) async fn enter(
        &self,
        volume: &str,
        what: &'static str,
        deadline: Deadline,
    ) -> Result<Place, Stuck> {
        let lane = {
            let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
            // A lane nobody uses is worth nothing: keeps the table as small as what is going on.
            volumes.retain(|_, lane| Arc::strong_count(lane) > 1);
            Arc::clone(
                volumes
                    .entry(volume.to_owned())
                    .or_insert_with(|| Arc::new(Semaphore::new(THREADS_PER_VOLUME))),
            )
        };
        let free = tokio::time::timeout_at(deadline.at_most(PATIENCE).instant(), lane.acquire_owned());
        match free.await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(Stuck::Crowded { what }),
        }
    }

    /// Runs `work` for `volume` on a thread of its own, in the current span.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        volume: &str,
        what: &'static str,
        deadline: Deadline,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stuck> {
        let permit = self.enter(volume, what, deadline).await?;
        let (answer, answered) = oneshot::channel();
        let span = tracing::Span::current();
        let begun = std::thread::Builder::new().name("volume-lane".to_owned()).spawn(move || {
            let done = span.in_scope(work);
            drop(permit);
            // Nobody listens any more when the deadline has passed; whoever waits for that is told below.
            let _ = answer.send(done);
        });
        if let Err(error) = begun {
            tracing::error!(%error, what, "no thread could be started");
            return Err(Stuck::Lost { what });
        }
        let mut answered = answered;
        match tokio::time::timeout_at(deadline.instant(), &mut answered).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(Stuck::Lost { what }),
            Err(_) => {
                // Its answer is of no use to anybody any more.
                self.remember(volume.to_owned(), what, async move { drop(answered.await) });
                Err(Stuck::Hanging { what })
            }
        }
    }

    /// Counts what hangs until it ends.
    pub(crate) fn remember(
        &self,
        volume: String,
        what: &'static str,
        end: impl Future<Output = ()> + Send + 'static,
    ) {
        let (stuck, hanging) = (Arc::clone(&self.stuck), Arc::clone(&self.hanging));
        stuck.fetch_add(1, Ordering::Relaxed);
        let table = || hanging.lock().unwrap_or_else(PoisonError::into_inner);
        table().entry(volume.clone()).or_default().push(what);
        tracing::warn!(volume.id = volume, what, "operation hangs in the kernel");
        let hanging = Arc::clone(&hanging);
        tokio::spawn(async move {
            end.await;
            stuck.fetch_sub(1, Ordering::Relaxed);
            let mut table = hanging.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(all) = table.get_mut(&volume) {
                all.iter().position(|one| *one == what).map(|at| all.swap_remove(at));
            }
            table.retain(|_, all| !all.is_empty());
            drop(table);
            tracing::info!(volume.id = volume, what, "operation that hung has ended");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(20))
    }

    #[tokio::test]
    async fn a_volume_that_hangs_never_delays_another_and_is_not_piled_upon() {
        let lanes = Lanes::default();
        let (release, hold) = mpsc::channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        for _ in 0..THREADS_PER_VOLUME {
            let hold = Arc::clone(&hold);
            let hung = lanes.run("dead", "umount", soon(), move || {
                let _ = hold.lock().unwrap_or_else(PoisonError::into_inner).recv();
            });
            assert_eq!(hung.await, Err(Stuck::Hanging { what: "umount" }));
        }
        assert_eq!(lanes.stuck(), 3);
        assert_eq!(lanes.hanging("dead"), ["umount"; 3]);
        assert_eq!(lanes.run("dead", "mount", soon(), || ()).await, Err(Stuck::Crowded { what: "mount" }));
        let healthy = lanes.run("alive", "mount", Deadline::after(Duration::from_secs(20)), || 7).await;
        assert_eq!(healthy, Ok(7));
        drop(release);
        let deadline = Deadline::after(Duration::from_secs(20));
        while lanes.stuck() > 0 && !deadline.has_passed() {
            tokio::task::yield_now().await;
        }
        assert_eq!((lanes.stuck(), lanes.hanging("dead").len()), (0, 0), "what has ended is forgotten");
        assert_eq!(lanes.run("dead", "mount", Deadline::after(Duration::from_secs(20)), || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn a_panic_of_the_work_is_an_answer() {
        let lanes = Lanes::default();
        let lost =
            lanes.run("v", "mount", Deadline::after(Duration::from_secs(20)), || panic!("on purpose")).await;
        assert_eq!(lost, Err::<(), _>(Stuck::Lost { what: "mount" }));
    }
}
