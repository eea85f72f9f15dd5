//! Faults on command.

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
    /// The command waits so many milliseconds before it begins, and then takes effect whether its channel or its
    /// connection is still there or not. Only a reboot keeps it from it.
    DelayMs(u64),
    /// The script runs until it has made that many changes (0: until it is about to make the first) and then stops for
    /// good, as if power failed there; the connection is cut. A script that makes fewer changes is not touched.
    StopAfter(u32),
    /// The connection is cut when that many changes are made (0: when the first is about to be); the script goes on to
    /// its end.
    DropAfter(u32),
    /// The script makes that many changes, then neither answers nor goes on. The connection stays.
    HangAfter(u32),
}

/// A link that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaky {
    /// Every so many-th connection is cut; 0 = none.
    pub every: u64,
    /// After so many commands on it: the next one is lost, without effect.
    pub after: u64,
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

#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// What is to go wrong with a command.
    pub(crate) fn with(&mut self, command: &str) -> Option<Effect> {
        let at = self.0.iter_mut().position(|fault| {
            let matches = command.contains(&fault.matching);
            if matches && fault.after > 0 {
                fault.after -= 1;
                return false;
            }
            matches
        })?;
        let effect = self.0[at].effect.clone();
        match self.0[at].times {
            0 => {}
            1 => drop(self.0.remove(at)),
            _ => self.0[at].times -= 1,
        }
        Some(effect)
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_the_commands_it_names_and_no_others() {
        let mut faults = Faults::default();
        faults.add(Fault { after: 1, times: 2, ..Fault::next_matching(Effect::Hang, "add") });
        let hits: Vec<bool> =
            ["add 1", "print", "add 2", "add 3", "add 4"].iter().map(|c| faults.with(c).is_some()).collect();
        assert_eq!(hits, [false, false, true, true, false]);
    }
}
