//! Messages that are sent later, by a task, so that nobody waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::backoff;
use crate::shutdown::Shutdown;

/// Largest batch handed to `send` at once.
pub const MAX_BATCH: usize = 100;
/// How long the rest may take to go out once the process is asked to stop.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The side that puts messages in. Never blocks; what does not fit is dropped and counted.
#[derive(Debug)]
pub struct Outbox<T> {
    queue: mpsc::Sender<T>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    dropped: AtomicU64,
    waiting: AtomicU64,
}

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), counts: Arc::clone(&self.counts) }
    }
}

impl<T> Outbox<T> {
    /// An outbox that holds at most `capacity` messages (at least one), and the task that empties it.
    pub fn new(capacity: usize) -> (Self, Sending<T>) {
        let (queue, receiver) = mpsc::channel(capacity.max(1));
        let counts = Arc::new(Counts::default());
        (Self { queue, counts: Arc::clone(&counts) }, Sending { queue: receiver, counts })
    }

    /// Puts a message in; false when it was dropped because the outbox is full or closed.
    pub fn push(&self, message: T) -> bool {
        // Before it is in: it may be sent before this thread goes on.
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        let accepted = self.queue.try_send(message).is_ok();
        if !accepted {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        accepted
    }

    /// How many messages were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// How many messages wait to be sent, those that are on their way included.
    pub fn waiting(&self) -> u64 {
        self.counts.waiting.load(Ordering::Relaxed)
    }
}

/// The side that empties the outbox.
#[derive(Debug)]
pub struct Sending<T> {
    queue: mpsc::Receiver<T>,
    counts: Arc<Counts>,
}

impl<T: Clone> Sending<T> {
    /// Hands batches to `send` until asked to stop, then takes nothing more and flushes what is left for a few
    /// seconds. `send` returns what has to be sent again; that is retried with back-off.
    ///
    /// Calls in flight still put messages in while the process drains. So pass a shutdown of its own, requested when
    /// the servers and tasks have ended, not the one of the process.
    pub async fn run<F, S>(mut self, mut send: S, shutdown: Shutdown)
    where
        F: Future<Output = Result<(), Vec<T>>>,
        S: FnMut(Vec<T>) -> F,
    {
        let mut batch = Vec::new();
        loop {
            if batch.is_empty() {
                tokio::select! {
                    received = self.queue.recv_many(&mut batch, MAX_BATCH) => if received == 0 { return },
                    () = shutdown.requested() => break,
                }
            } else {
                tokio::select! {
                    () = deliver(&mut batch, &mut send, &self.counts) => {}
                    () = shutdown.requested() => break,
                }
            }
        }
        self.flush(batch, send).await;
    }

    async fn flush<F, S>(mut self, mut batch: Vec<T>, mut send: S)
    where
        F: Future<Output = Result<(), Vec<T>>>,
        S: FnMut(Vec<T>) -> F,
    {
        self.queue.close();
        let everything = async {
            loop {
                deliver(&mut batch, &mut send, &self.counts).await;
                if self.queue.recv_many(&mut batch, MAX_BATCH).await == 0 {
                    return;
                }
            }
        };
        if tokio::time::timeout(FLUSH_LIMIT, everything).await.is_err() {
            let lost = batch.len() + self.queue.len();
            self.counts.dropped.fetch_add(lost as u64, Ordering::Relaxed);
            tracing::warn!(lost, "stopped before the outbox was empty");
        }
    }
}

/// Sends until nothing of the batch is left. Dropped in mid-flight, the batch stays whole: a repeat is harmless,
/// a loss is not.
async fn deliver<T: Clone, F, S>(batch: &mut Vec<T>, send: &mut S, counts: &Counts)
where
    F: Future<Output = Result<(), Vec<T>>>,
    S: FnMut(Vec<T>) -> F,
{
    let mut waits = backoff::exponential(RETRY_MIN, RETRY_MAX);
    while !batch.is_empty() {
        let again = send(batch.clone()).await.err().unwrap_or_default();
        let sent = batch.len().saturating_sub(again.len());
        counts.waiting.fetch_sub(sent as u64, Ordering::Relaxed);
        *batch = again;
        if batch.is_empty() {
            return;
        }
        if let Some(wait) = waits.next() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests;
