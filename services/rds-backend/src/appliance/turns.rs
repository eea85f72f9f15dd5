//! Who may send next: so many changes at once, one command per volume, and one channel more that no change takes.
//!
//! Waiting is in order of arrival. As a volume has one command in the queue's front at most, none can crowd out the
//! others; as changes never take the last channel, a read does not wait for a slow change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chassis::deadline::Deadline;
use proto::id::Slot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

/// Commands that may wait; more would only be answered after their callers have gone.
const MAX_WAITING: u32 = 4096;

/// The channels of one appliance.
#[derive(Debug)]
pub(crate) struct Turns {
    channels: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    volumes: Mutex<HashMap<Slot, Arc<Semaphore>>>,
    running: AtomicU32,
    waiting: AtomicU32,
}

/// Permission to send one command; dropping it lets the next one go.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    slot: Option<Slot>,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Turns {
    /// `changes` changes at once, and one command more.
    pub(crate) fn new(changes: u32) -> Self {
        let changes = changes.max(1) as usize;
        Self {
            channels: Arc::new(Semaphore::new(changes + 1)),
            changes: Arc::new(Semaphore::new(changes)),
            volumes: Mutex::default(),
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
        }
    }

    /// Waits for a turn, at most until `deadline`.
    ///
    /// # Errors
    /// Why there is none. Nothing was sent.
    pub(crate) async fn take(
        &self,
        slot: Option<&Slot>,
        mutates: bool,
        deadline: Deadline,
    ) -> Result<Turn<'_>, String> {
        let waiting = Counted::up(&self.waiting);
        if waiting.number > MAX_WAITING {
            return Err(format!("{MAX_WAITING} commands wait for this appliance already"));
        }
        let mut turn = Turn { turns: self, slot: None, permits: Vec::with_capacity(3) };
        let mut wanted = Vec::with_capacity(3);
        if let Some(slot) = slot {
            wanted.push(self.volume(slot));
            turn.slot = Some(slot.clone());
        }
        if mutates {
            wanted.push(Arc::clone(&self.changes));
        }
        wanted.push(Arc::clone(&self.channels));
        for semaphore in wanted {
            let permit = timeout_at(deadline.instant(), semaphore.acquire_owned()).await;
            let Ok(Ok(permit)) = permit else {
                let others = self.running.load(Ordering::Relaxed);
                return Err(format!("{others} other commands kept the connection busy until the deadline"));
            };
            turn.permits.push(permit);
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        turn.permits.shrink_to_fit();
        Ok(turn)
    }

    fn volume(&self, slot: &Slot) -> Arc<Semaphore> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(volumes.entry(slot.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }

    /// Commands that run and commands that wait.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.running.load(Ordering::Relaxed), self.waiting.load(Ordering::Relaxed))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // One that was given up while it waited never ran: it lacks the channel, which comes last.
        let ran = self.permits.iter().any(|permit| Arc::ptr_eq(permit.semaphore(), &self.turns.channels));
        if ran {
            self.turns.running.fetch_sub(1, Ordering::Relaxed);
        }
        self.permits.clear();
        if let Some(slot) = &self.slot {
            let mut volumes = self.turns.volumes.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody else knows it: the map does not grow with volumes that were.
            if volumes.get(slot).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
                volumes.remove(slot);
            }
        }
    }
}

/// Counts itself for as long as it lives.
struct Counted<'a> {
    counter: &'a AtomicU32,
    number: u32,
}

impl<'a> Counted<'a> {
    fn up(counter: &'a AtomicU32) -> Self {
        Self { counter, number: counter.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn slot(name: &str) -> Slot {
        Slot::derive(&"demo".parse().expect("a cluster"), name)
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(1))
    }

    #[tokio::test(start_paused = true)]
    async fn changes_never_take_the_last_channel_and_a_read_finds_it() {
        let turns = Turns::new(2);
        let first = turns.take(Some(&slot("a")), true, soon()).await.expect("free");
        let _second = turns.take(Some(&slot("b")), true, soon()).await.expect("free");
        let why = turns.take(Some(&slot("c")), true, soon()).await.expect_err("only two changes at once");
        assert!(why.contains("2 other commands"), "{why}");
        let read = turns.take(None, false, soon()).await.expect("the last channel is for reads");
        assert_eq!(turns.counts(), (3, 0));
        drop((first, read));
        turns.take(Some(&slot("c")), true, soon()).await.expect("free again");
        assert_eq!(turns.counts(), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_volume_has_one_command_at_a_time_and_others_pass_it() {
        let turns = Turns::new(8);
        let held = turns.take(Some(&slot("a")), false, soon()).await.expect("free");
        turns.take(Some(&slot("a")), false, soon()).await.expect_err("the same volume");
        turns.take(Some(&slot("b")), false, soon()).await.expect("another volume");
        drop(held);
        turns.take(Some(&slot("a")), false, soon()).await.expect("free again");
        assert!(turns.volumes.lock().expect("sound").is_empty(), "nothing is remembered");
    }

    #[tokio::test(start_paused = true)]
    async fn one_change_at_a_time_leaves_a_channel_for_reads_and_reads_have_a_bound_too() {
        let turns = Turns::new(1);
        let change = turns.take(Some(&slot("a")), true, soon()).await.expect("free");
        let read = turns.take(None, false, soon()).await.expect("kept for reads");
        turns.take(None, false, soon()).await.expect_err("both are taken");
        drop((change, read));
        turns.take(Some(&slot("b")), true, soon()).await.expect("free again");
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_has_an_end() {
        let turns = Turns::new(1);
        turns.waiting.store(MAX_WAITING, Ordering::Relaxed);
        let why =
            turns.take(None, false, Deadline::after(Duration::from_secs(3600))).await.expect_err("full");
        assert!(why.contains("wait"), "{why}");
    }
}
