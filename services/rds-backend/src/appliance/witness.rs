//! What the keeper sees of an appliance, as Events: each change once, nothing twice.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use proto::event::EventReason;
use proto::rds::volume::v1::Pool;
use proto::size::ByteSize;

use super::session::ConnectError;
use crate::capacity;
use crate::report::{About, Reporter};
use crate::routeros::probe::Version;

/// Tells about one appliance.
#[derive(Debug)]
pub(crate) struct Witness {
    reporter: Reporter,
    /// Node of this pod, which the Events are about; without it they are only logged.
    node: String,
    /// `appliance rds1 at 10.0.0.1:22`
    what: String,
    seen: Mutex<Seen>,
}

/// What was told last.
#[derive(Debug, Default)]
struct Seen {
    connected: Option<bool>,
    host_key: Option<String>,
    version: Option<String>,
    pools: BTreeMap<String, PoolState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PoolState {
    Fine,
    NearlyFull,
    Unusable,
}

type Notes = Vec<(EventReason, String)>;

impl Witness {
    pub(crate) fn new(reporter: Reporter, node: String, what: String) -> Self {
        Self { reporter, node, what, seen: Mutex::default() }
    }

    /// The connection is up.
    pub(crate) fn connected(&self, version: &Version) {
        self.tell(|seen| seen.connected(version));
    }

    /// An attempt has failed, or the connection has ended.
    pub(crate) fn failed(&self, error: &ConnectError) {
        self.tell(|seen| seen.failed(error));
    }

    /// The pools were looked at.
    pub(crate) fn pools(&self, pools: &[Pool]) {
        self.tell(|seen| seen.pools(pools));
    }

    fn tell(&self, look: impl FnOnce(&mut Seen) -> Notes) {
        let notes = look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        for (reason, note) in notes {
            let note = format!("{}: {note}", self.what);
            if self.node.is_empty() {
                tracing::info!(event.reason = %reason, event.note = note, "event about an appliance, no node to tell it of");
            } else {
                self.reporter.tell(reason, About::Node(&self.node), &self.what, note);
            }
        }
    }
}

impl Seen {
    fn connected(&mut self, version: &Version) -> Notes {
        let mut notes = Notes::new();
        if self.connected.replace(true) == Some(false) {
            notes.push((EventReason::ApplianceReconnected, "it answers again".to_owned()));
        }
        self.host_key = None;
        let changed = self.version.as_deref() != Some(version.as_str());
        if changed && version.has_known_holes() {
            notes.push((EventReason::AppliancePatchMissing, version.warnings().join("; ")));
        }
        self.version = Some(version.as_str().to_owned());
        notes
    }

    fn failed(&mut self, error: &ConnectError) -> Notes {
        if let ConnectError::HostKey { offered, .. } = error {
            let known = self.host_key.replace(offered.clone());
            self.connected = Some(false);
            return match known.as_ref() == Some(offered) {
                true => Notes::new(),
                false => vec![(EventReason::HostKeyChanged, error.to_string())],
            };
        }
        match self.connected.replace(false) {
            Some(false) => Notes::new(),
            Some(true) | None => {
                vec![(EventReason::ApplianceDisconnected, format!("{error}; it is tried again"))]
            }
        }
    }

    fn pools(&mut self, pools: &[Pool]) -> Notes {
        let mut notes = Notes::new();
        for pool in pools {
            let state = match (pool.healthy, capacity::is_nearly_full(pool)) {
                (false, _) => PoolState::Unusable,
                (true, true) => PoolState::NearlyFull,
                (true, false) => PoolState::Fine,
            };
            let before = self.pools.insert(pool.slot.clone(), state);
            if before == Some(state) {
                continue;
            }
            match state {
                PoolState::Fine => {}
                PoolState::NearlyFull => notes.push((
                    EventReason::PoolNearlyFull,
                    format!(
                        "pool {} has {} free, of which {} are kept; no volume that does not fit is made",
                        pool.slot,
                        ByteSize::from_bytes(pool.free_bytes),
                        ByteSize::from_bytes(pool.reserve_bytes)
                    ),
                )),
                PoolState::Unusable => {
                    let state = if pool.state.is_empty() { "not mounted" } else { &pool.state };
                    let note =
                        format!("pool {} is {state}; no volume is made on it, see /disk/print", pool.slot);
                    notes.push((EventReason::PoolDegraded, note));
                }
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(notes: Notes) -> Vec<EventReason> {
        notes.into_iter().map(|(reason, _)| reason).collect()
    }

    fn away() -> ConnectError {
        ConnectError::Network("connection refused".to_owned())
    }

    fn key(offered: &str) -> ConnectError {
        ConnectError::HostKey { expected: "SHA256:a".to_owned(), offered: offered.to_owned() }
    }

    #[test]
    fn an_outage_is_told_once_and_so_is_its_end() {
        let mut seen = Seen::default();
        let version = Version::parse("7.24.4 (stable)");
        assert_eq!(reasons(seen.connected(&version)), []);
        assert_eq!(reasons(seen.failed(&away())), [EventReason::ApplianceDisconnected]);
        assert_eq!(reasons(seen.failed(&away())), []);
        assert_eq!(reasons(seen.connected(&version)), [EventReason::ApplianceReconnected]);
        assert_eq!(reasons(seen.connected(&version)), []);
    }

    #[test]
    fn each_strange_host_key_is_told_once() {
        let mut seen = Seen::default();
        assert_eq!(reasons(seen.failed(&key("SHA256:b"))), [EventReason::HostKeyChanged]);
        assert_eq!(reasons(seen.failed(&key("SHA256:b"))), []);
        assert_eq!(reasons(seen.failed(&key("SHA256:c"))), [EventReason::HostKeyChanged]);
    }

    #[test]
    fn a_version_with_holes_is_told_when_it_is_seen_first() {
        let mut seen = Seen::default();
        let holes = Version::parse("7.23.1");
        assert_eq!(reasons(seen.connected(&holes)), [EventReason::AppliancePatchMissing]);
        assert_eq!(reasons(seen.connected(&holes)), []);
        assert_eq!(reasons(seen.connected(&Version::parse("7.24.4"))), []);
    }

    #[test]
    fn a_pool_is_told_of_when_it_gets_worse() {
        let pool = |healthy, free: u64| Pool {
            slot: "raid1".to_owned(),
            size_bytes: 100 << 30,
            free_bytes: free << 30,
            reserve_bytes: 1 << 30,
            healthy,
            ..Pool::default()
        };
        let mut seen = Seen::default();
        assert_eq!(reasons(seen.pools(&[pool(true, 50)])), []);
        assert_eq!(reasons(seen.pools(&[pool(true, 5)])), [EventReason::PoolNearlyFull]);
        assert_eq!(reasons(seen.pools(&[pool(true, 5)])), []);
        assert_eq!(reasons(seen.pools(&[pool(false, 0)])), [EventReason::PoolDegraded]);
        assert_eq!(reasons(seen.pools(&[pool(true, 50)])), []);
    }
}
