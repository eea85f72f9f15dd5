//! What was seen of each volume, what was told of it, and how often it was tried to be mended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::condition::Condition;
use crate::journal::Entry;
use crate::kernel::Session;

/// A change is told when it was seen in so many looks: what a call changes on its way is nobody's concern.
const LOOKS: u32 = 2;
/// Attempts to recover before it is left to kubelet.
const MOST_ATTEMPTS: u32 = 6;
/// The first pause between two attempts; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// One volume.
#[derive(Debug, Clone)]
struct Row {
    told: Condition,
    since: Instant,
    seen: Condition,
    looks: u32,
    attempts: u32,
    next: Instant,
}

#[derive(Debug, Default)]
struct Rows {
    volumes: HashMap<String, Row>,
    /// How often each was seen, and whether it was dealt with.
    orphans: HashMap<String, (u32, bool)>,
    torn: usize,
    lost: u64,
    recovered: u64,
    recoveries: [u64; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    condition: &'static str,
}

/// The table; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    rows: Arc<Mutex<Rows>>,
    volumes: Family<Labels, Gauge>,
}

/// A change that is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) before: Condition,
    pub(crate) after: Condition,
    /// How long the one before lasted.
    pub(crate) lost_for: Duration,
    /// Looks and attempts while it did.
    pub(crate) attempts: u32,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Recovery {
    Done,
    Failed(String),
}

/// What is known of a volume, for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) condition: Condition,
    pub(crate) attempts: u32,
}

impl Table {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a look; answers a change once it has lasted. The same condition with other words is none.
    pub(crate) fn saw(&self, handle: &str, seen: &Condition, now: Instant) -> Option<Told> {
        let mut rows = self.rows();
        let row = rows.volumes.entry(handle.to_owned()).or_insert_with(|| Row {
            told: Condition::Healthy,
            since: now,
            seen: Condition::Healthy,
            looks: 0,
            attempts: 0,
            next: now,
        });
        row.looks = if row.seen.label() == seen.label() { row.looks.saturating_add(1) } else { 1 };
        row.seen = seen.clone();
        if row.told.label() == seen.label() || row.looks < LOOKS {
            row.attempts = row.attempts.saturating_add(u32::from(matches!(row.told, Condition::PathLost(_))));
            return None;
        }
        let before = std::mem::replace(&mut row.told, seen.clone());
        let told = Told { before, after: seen.clone(), lost_for: now - row.since, attempts: row.attempts };
        (row.since, row.attempts, row.next) = (now, 0, now);
        let lost = |condition: &Condition| matches!(condition, Condition::PathLost(_));
        rows.lost += u64::from(lost(seen));
        rows.recovered += u64::from(lost(&told.before) && *seen == Condition::Healthy);
        Some(told)
    }

    /// True when it has a stale mount and it is time for another attempt to recover.
    pub(crate) fn may_try(&self, handle: &str, now: Instant) -> bool {
        let rows = self.rows();
        let stale = |row: &Row| {
            matches!((&row.told, &row.seen), (Condition::StaleMount(_), Condition::StaleMount(_)))
        };
        let due = |row: &Row| row.attempts < MOST_ATTEMPTS && row.next <= now;
        rows.volumes.get(handle).is_some_and(|row| stale(row) && due(row))
    }

    /// Remembers an attempt; answers how many there were and the last error once no more are made.
    pub(crate) fn tried(&self, handle: &str, outcome: Recovery, now: Instant) -> Option<(u32, String)> {
        let mut rows = self.rows();
        rows.recoveries[usize::from(matches!(outcome, Recovery::Failed(_)))] += 1;
        let row = rows.volumes.get_mut(handle)?;
        row.attempts += 1;
        row.next = now + FIRST_PAUSE * 2u32.saturating_pow(row.attempts - 1);
        match outcome {
            Recovery::Failed(why) if row.attempts == MOST_ATTEMPTS => Some((row.attempts, why)),
            Recovery::Failed(_) | Recovery::Done => None,
        }
    }

    /// Forgets volumes that have no entry any more.
    pub(crate) fn retain(&self, entries: &[Entry]) {
        self.rows().volumes.retain(|handle, _| entries.iter().any(|entry| entry.handle == *handle));
    }

    /// Remembers what no entry has; answers those that were seen often enough and not dealt with yet.
    pub(crate) fn orphans(&self, seen: &[Session]) -> Vec<Session> {
        let mut rows = self.rows();
        rows.orphans.retain(|nqn, _| seen.iter().any(|session| session.nqn.as_str() == nqn));
        let mut due = Vec::new();
        for session in seen {
            let row = rows.orphans.entry(session.nqn.to_string()).or_insert((0, false));
            row.0 = row.0.saturating_add(1);
            if row.0 >= LOOKS && !row.1 {
                due.push(session.clone());
            }
        }
        due
    }

    /// Remembers that one was ended or told of: it is told of once.
    pub(crate) fn dealt_with(&self, orphan: &Session) {
        if let Some(row) = self.rows().orphans.get_mut(orphan.nqn.as_str()) {
            row.1 = true;
        }
    }

    /// Remembers how many entries were set aside.
    pub(crate) fn torn(&self, torn: usize) {
        self.rows().torn = torn;
    }

    /// What is known of a volume.
    pub(crate) fn known(&self, handle: &str) -> Option<Known> {
        let rows = self.rows();
        let row = rows.volumes.get(handle)?;
        Some(Known { condition: row.seen.clone(), attempts: row.attempts })
    }

    /// Shows how many volumes are in each condition.
    pub(crate) fn show(&self) {
        let rows = self.rows();
        for condition in Condition::LABELS {
            let count = rows.volumes.values().filter(|row| row.seen.label() == condition).count();
            self.volumes.get_or_create(&Labels { condition }).set(number(count));
        }
    }

    /// Registers everything under the prefix `rds_node`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("rds_node");
        registry.register("volumes", "Volumes in the journal by how they are", self.volumes.clone());
        self.show();
        type Gauged = (&'static str, &'static str, fn(&Rows) -> i64);
        let gauges: [Gauged; 2] = [
            ("orphan_sessions", "Sessions of ours that no volume of the journal has", |rows| {
                number(rows.orphans.len())
            }),
            ("torn_entries", "Journal entries that could not be understood and were set aside", |rows| {
                number(rows.torn)
            }),
        ];
        for (name, help, read) in gauges {
            let table = self.clone();
            chassis::metrics::gauge(registry, name, help, move || read(&table.rows()));
        }
        type Counted = (&'static str, &'static str, fn(&Rows) -> u64);
        let counters: [Counted; 4] = [
            ("paths_lost", "Paths of staged volumes that were lost", |rows| rows.lost),
            ("paths_recovered", "Lost paths that came back", |rows| rows.recovered),
            ("recoveries", "Stale mounts that were replaced without a call of kubelet", |rows| {
                rows.recoveries[0]
            }),
            ("failed_recoveries", "Attempts to replace a stale mount that failed", |rows| rows.recoveries[1]),
        ];
        for (name, help, read) in counters {
            let table = self.clone();
            chassis::metrics::counter(registry, name, help, move || read(&table.rows()));
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Condition {
        Condition::PathLost("connecting".to_owned())
    }

    #[test]
    fn a_change_is_told_once_and_only_when_it_lasts() {
        let (table, now) = (Table::default(), Instant::now());
        assert_eq!(table.saw("v", &Condition::Healthy, now), None);
        assert_eq!(table.saw("v", &lost(), now), None, "seen once");
        assert_eq!(table.saw("v", &Condition::Healthy, now), None, "it was nothing");
        assert_eq!(table.saw("v", &lost(), now), None);
        let told = table.saw("v", &lost(), now).expect("it lasts");
        assert_eq!((told.before, told.after), (Condition::Healthy, lost()));
        let other_words = Condition::PathLost("resetting".to_owned());
        assert_eq!(table.saw("v", &other_words, now), None, "still lost");
        assert_eq!(table.saw("v", &Condition::Healthy, now), None);
        let back = table.saw("v", &Condition::Healthy, now + Duration::from_secs(9)).expect("it is back");
        assert_eq!((back.before.label(), back.lost_for), ("path_lost", Duration::from_secs(9)));
        let rows = table.rows();
        assert_eq!((rows.lost, rows.recovered), (1, 1));
    }

    #[test]
    fn attempts_are_few_and_the_pauses_between_them_grow() {
        let (table, mut now) = (Table::default(), Instant::now());
        let stale = Condition::StaleMount("/k".to_owned());
        assert!(!table.may_try("v", now), "of nothing");
        table.saw("v", &stale, now);
        table.saw("v", &stale, now);
        assert!(table.may_try("v", now));
        let mut pauses = Vec::new();
        for attempt in 1..=MOST_ATTEMPTS {
            let begun = now;
            while !table.may_try("v", now) {
                now += Duration::from_secs(1);
            }
            pauses.push((now - begun).as_secs());
            let end = table.tried("v", Recovery::Failed("no path".to_owned()), now);
            let expected = (attempt == MOST_ATTEMPTS).then(|| (MOST_ATTEMPTS, "no path".to_owned()));
            assert_eq!(end, expected);
        }
        assert_eq!(pauses, [0, 5, 10, 20, 40, 80]);
        assert!(!table.may_try("v", now + Duration::from_secs(86400)), "it is left to kubelet");
        assert_eq!(table.rows().recoveries, [0, 6]);
    }
}
