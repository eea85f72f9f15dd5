//! Readiness: a set of named conditions. The service is ready when every one is met and it was not asked to stop.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// The conditions of a service.
#[derive(Debug, Clone)]
pub struct Health(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Name → why it is not met; `None` = met.
    conditions: BTreeMap<String, Option<String>>,
    stopping: bool,
    servers: usize,
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }
}

impl Health {
    /// No conditions: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition, which is not met yet. It lasts as long as the service.
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let condition = Condition { health: self.clone(), name: name.into() };
        condition.not_ready("starting");
        condition
    }

    /// `Err` with one line per unmet condition: `<name>: <why>`.
    pub fn readiness(&self) -> Result<(), Vec<String>> {
        let state = self.0.borrow();
        let stopping = state.stopping.then(|| "process: stopping".to_owned());
        let unmet = state
            .conditions
            .iter()
            .filter_map(|(name, why)| why.as_ref().map(|why| format!("{name}: {why}")));
        let unmet: Vec<String> = stopping.into_iter().chain(unmet).collect();
        if unmet.is_empty() { Ok(()) } else { Err(unmet) }
    }

    /// Told of every change.
    pub(crate) fn changes(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// Not ready from now on, whatever the conditions say: calls in flight are finished, new ones are not wanted.
    pub(crate) fn stop(&self) {
        self.0.send_modify(|state| state.stopping = true);
    }

    /// Counts a server until it is dropped.
    pub(crate) fn serving(&self) -> Serving {
        self.0.send_modify(|state| state.servers += 1);
        Serving(self.clone())
    }

    /// Returns when no server is left.
    pub(crate) async fn drained(&self) {
        // The sender is ours and lives as long as this call.
        let _ = self.changes().wait_for(|state| state.servers == 0).await;
    }
}

/// A server that still serves.
#[derive(Debug)]
pub(crate) struct Serving(Health);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.servers -= 1);
    }
}

/// One thing the service needs to be of use.
#[derive(Debug, Clone)]
pub struct Condition {
    health: Health,
    name: String,
}

impl Condition {
    /// It is met.
    pub fn ready(&self) {
        self.set(None);
    }

    /// It is not met: why, and what to do about it.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    fn set(&self, why: Option<String>) {
        let changed = self.health.0.send_if_modified(|state| {
            let before = state.conditions.insert(self.name.clone(), why.clone());
            before != Some(why.clone())
        });
        match (changed, why) {
            (true, Some(why)) => tracing::warn!(condition = self.name, why, "not ready"),
            (true, None) => tracing::info!(condition = self.name, "ready"),
            (false, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_every_condition_is_met() {
        let health = Health::new();
        assert_eq!(health.readiness(), Ok(()));
        let (a, b) = (health.condition("a"), health.condition("b"));
        a.ready();
        b.not_ready("no route");
        assert_eq!(health.readiness(), Err(vec!["b: no route".to_owned()]));
        b.ready();
        assert_eq!(health.readiness(), Ok(()));
    }

    #[test]
    fn who_was_asked_to_stop_is_not_ready_any_more() {
        let health = Health::new();
        let condition = health.condition("a");
        health.stop();
        condition.ready();
        assert_eq!(health.readiness(), Err(vec!["process: stopping".to_owned()]));
    }

    #[tokio::test]
    async fn drained_means_that_the_last_server_has_gone() {
        let health = Health::new();
        let (first, second) = (health.serving(), health.serving());
        let waiting = tokio::spawn({
            let health = health.clone();
            async move { health.drained().await }
        });
        drop(first);
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.expect("ends");
    }
}
