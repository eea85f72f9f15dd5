//! What was asked, in order, and what became of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What became of a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// It runs, or hangs.
    #[default]
    Running,
    /// It ran to its end. What it caught itself is its own affair.
    Ok,
    /// It ended with an error text.
    Error,
    /// It was stopped, or its connection was cut before it was answered.
    Lost,
}

/// One command that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Unix time in milliseconds.
    pub time_ms: u64,
    /// The command as it came.
    pub command: String,
    /// The first menu command in it that changes something, or else the first one, e.g. `disk/add`; empty if there is
    /// none.
    #[serde(default)]
    pub verb: String,
    /// How many changes it made.
    #[serde(default)]
    pub changes: u32,
    /// Milliseconds from its arrival to its end.
    #[serde(default)]
    pub duration_ms: u64,
    /// Number of the connection it came by, from 1.
    #[serde(default)]
    pub connection: u64,
    /// Number of the command on its connection, from 1: one channel each.
    #[serde(default)]
    pub channel: u64,
    /// What became of it.
    #[serde(default)]
    pub outcome: Answered,
}

/// Entries and bytes of commands kept; the oldest go first.
const MAX_ENTRIES: usize = 100_000;
const MAX_BYTES: usize = 128 << 20;

#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<(Entry, Instant)>,
    /// Number of the first entry kept.
    first: u64,
    bytes: usize,
}

impl Journal {
    /// Writes a command down; the number is for [`Self::finish`].
    pub(crate) fn begin(&mut self, command: &str, connection: u64, channel: u64) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let entry = Entry {
            time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            command: command.to_owned(),
            verb: verb(command),
            changes: 0,
            duration_ms: 0,
            connection,
            channel,
            outcome: Answered::Running,
        };
        self.bytes += command.len();
        self.entries.push_back((entry, Instant::now()));
        while self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES && self.entries.len() > 1 {
            self.forget_first();
        }
        self.first + self.entries.len() as u64 - 1
    }

    fn forget_first(&mut self) {
        if let Some((entry, _)) = self.entries.pop_front() {
            self.bytes -= entry.command.len();
            self.first += 1;
        }
    }

    /// Writes down what became of it.
    pub(crate) fn finish(&mut self, number: u64, changes: u32, outcome: Answered) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some((entry, began)) = at.and_then(|at| self.entries.get_mut(at)) {
            entry.changes = changes;
            entry.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            entry.outcome = outcome;
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.iter().map(|(entry, _)| entry.clone()).collect()
    }

    pub(crate) fn clear(&mut self) {
        while !self.entries.is_empty() {
            self.forget_first();
        }
    }
}

/// Looks for `/menu/verb`; what stands in strings may fool it, and nothing depends on it but people and counts.
fn verb(command: &str) -> String {
    let mut first = None;
    for (at, _) in command.match_indices('/') {
        let boundary = command[..at].chars().next_back().is_none_or(|c| " [{(;=".contains(c));
        let word: String = command[at + 1..]
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "-/".contains(*c))
            .collect();
        let words: Vec<&str> = word.split('/').collect();
        if !boundary || words.len() < 2 || !crate::menu::spec::exists(&words) {
            continue;
        }
        if crate::menu::spec::changes(&words) {
            return word;
        }
        first.get_or_insert(word);
    }
    first.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verb_is_the_first_change_or_else_the_first_command() {
        assert_eq!(verb(":put [/disk/print as-value]; /disk/set x"), "disk/set");
        assert_eq!(verb(":local a [/system/resource/get uptime]"), "system/resource/get");
        assert_eq!(verb("/file/remove \"/disk/add\""), "file/remove");
        assert_eq!(verb(":put \"/raid1/x\""), "");
    }

    #[test]
    fn the_oldest_entries_go_first_and_late_ends_find_theirs() {
        let mut journal = Journal::default();
        let first = journal.begin("first", 1, 1);
        for _ in 0..MAX_ENTRIES - 1 {
            journal.begin("x", 1, 1);
        }
        let last = journal.begin("last", 1, 1);
        journal.finish(first, 9, Answered::Ok);
        journal.finish(last, 2, Answered::Error);
        let entries = journal.entries();
        assert_eq!(entries.len(), MAX_ENTRIES);
        assert_eq!((entries[0].command.as_str(), entries[0].changes), ("x", 0));
        assert_eq!(entries.last().map(|entry| (entry.changes, entry.outcome)), Some((2, Answered::Error)));
    }
}
