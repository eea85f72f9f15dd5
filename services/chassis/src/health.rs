//! Readiness: a set of named conditions. The service is ready when every one is met.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// The conditions of a service.
#[derive(Debug, Clone)]
pub struct Health(Arc<watch::Sender<BTreeMap<String, Option<String>>>>);

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(BTreeMap::new())))
    }
}

impl Health {
    /// No conditions: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition, which is not met yet. It lasts as long as the service.
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let condition = Condition {
            health: self.clone(),
            name: name.into(),
        };
        condition.not_ready("starting");
        condition
    }

    /// `Err` with one line per unmet condition: `<name>: <why>`.
    pub fn readiness(&self) -> Result<(), Vec<String>> {
        let unmet: Vec<String> = self
            .0
            .borrow()
            .iter()
            .filter_map(|(name, why)| why.as_ref().map(|why| format!("{name}: {why}")))
            .collect();
        if unmet.is_empty() { Ok(()) } else { Err(unmet) }
    }

    /// Returns when something has changed since the last call on this receiver.
    pub(crate) fn changes(&self) -> watch::Receiver<BTreeMap<String, Option<String>>> {
        self.0.subscribe()
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
        let changed = self.health.0.send_if_modified(|conditions| {
            let before = conditions.insert(self.name.clone(), why.clone());
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
}
