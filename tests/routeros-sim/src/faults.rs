//! Faults on command, and the journal of what was asked.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The command does nothing and answers this text.
    Error(String),
    /// The command does nothing and never answers.
    Hang,
    /// The command takes effect, then the connection is cut.
    PerformThenDrop,
    /// The connection is cut before the command takes effect.
    Drop,
    /// The command takes effect after so many milliseconds.
    DelayMs(u64),
}

/// A fault: what goes wrong, with which commands, how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What goes wrong.
    pub effect: Effect,
    /// Only commands that contain this text; empty = all.
    #[serde(default)]
    pub matching: String,
    /// So many matching commands pass first.
    #[serde(default)]
    pub after: u32,
    /// How many commands it hits; 0 = all from then on.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Hits the next command, whatever it is.
    pub fn next(effect: Effect) -> Self {
        Self { effect, matching: String::new(), after: 0, times: 1 }
    }

    /// Hits the next command that contains `text`.
    pub fn next_matching(effect: Effect, text: &str) -> Self {
        Self { matching: text.to_owned(), ..Self::next(effect) }
    }

    /// Hits every command.
    pub fn always(effect: Effect) -> Self {
        Self { times: 0, ..Self::next(effect) }
    }
}

/// One command that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Unix time in milliseconds.
    pub time_ms: u64,
    /// The command as it came.
    pub command: String,
}

/// Entries kept; the oldest go first.
const JOURNAL_LIMIT: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Script {
    faults: Vec<Fault>,
    journal: VecDeque<Entry>,
}

impl Script {
    /// Writes the command down and says what is to go wrong with it.
    pub(crate) fn command(&mut self, command: &str) -> Option<Effect> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        if self.journal.len() == JOURNAL_LIMIT {
            self.journal.pop_front();
        }
        let time_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.journal.push_back(Entry { time_ms, command: command.to_owned() });

        let at = self.faults.iter_mut().position(|fault| {
            let matches = command.contains(&fault.matching);
            if matches && fault.after > 0 {
                fault.after -= 1;
                return false;
            }
            matches
        })?;
        let effect = self.faults[at].effect.clone();
        match self.faults[at].times {
            0 => {}
            1 => drop(self.faults.remove(at)),
            _ => self.faults[at].times -= 1,
        }
        Some(effect)
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(crate) fn clear_faults(&mut self) {
        self.faults.clear();
    }

    pub(crate) fn journal(&self) -> Vec<Entry> {
        self.journal.iter().cloned().collect()
    }

    pub(crate) fn clear_journal(&mut self) {
        self.journal.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_the_commands_it_names_and_no_others() {
        let mut script = Script::default();
        script.add(Fault { after: 1, times: 2, ..Fault::next_matching(Effect::Hang, "add") });
        let hits: Vec<bool> = ["add 1", "print", "add 2", "add 3", "add 4"]
            .iter()
            .map(|c| script.command(c).is_some())
            .collect();
        assert_eq!(hits, [false, false, true, true, false]);
        assert_eq!(script.journal().len(), 5);
    }
}
