//! Requests of CSI, read once and turned into requests of our own services.
//!
//! Every INVALID_ARGUMENT is born below this module. All problems of a request are collected and told in one message,
//! each with the field, its value and what is allowed. Nothing here talks to anybody: a request that is refused has
//! touched nothing.

use std::fmt::Display;

use proto::fault::{Fault, Reason};

pub(crate) mod attachment;
pub(crate) mod capability;
pub(crate) mod create;
pub(crate) mod expand;
pub(crate) mod node;
pub(crate) mod path;
pub(crate) mod size;
pub(crate) mod validate;
pub(crate) mod volume_id;

/// Problems told of one request; a request with more has a cause they share.
const MAX_TOLD: usize = 12;
/// Characters of a value that are shown.
const MAX_SHOWN: usize = 64;

/// What is wrong with a request, collected so that it can be mended in one go.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    /// Notes what is wrong with a field.
    pub(crate) fn note(&mut self, field: impl Display, problem: impl Display) {
        self.0.push(format!("{field}: {problem}"));
    }

    /// The value, or `None` and a note.
    pub(crate) fn check<T, E: Display>(&mut self, field: impl Display, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.note(field, error)).ok()
    }

    /// True when nothing was noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Err` with everything that was noted.
    #[cfg(test)]
    pub(crate) fn finish(self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err(self.into_fault()) }
    }

    /// Everything that was noted, as one refusal.
    pub(crate) fn into_fault(self) -> Fault {
        Fault::settled(Reason::InvalidArgument, self.to_string())
    }
}

impl Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0[..self.0.len().min(MAX_TOLD)].join("; "))?;
        match self.0.len().saturating_sub(MAX_TOLD) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A value as messages show it: quoted, escaped, and cut when it is long.
pub(crate) fn shown(value: &str) -> String {
    let start: String = value.chars().take(MAX_SHOWN).collect();
    if start.len() == value.len() {
        format!("{value:?}")
    } else {
        format!("{start:?}… ({} bytes)", value.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_of_a_request_are_told_in_one_message() {
        let mut problems = Problems::default();
        problems.note("name", "must not be empty");
        problems.check::<u8, _>("parameters[ioQueues]", "x".parse::<u8>());
        let fault = problems.into_fault();
        assert_eq!(fault.reason, Reason::InvalidArgument);
        assert!(fault.settled);
        assert!(fault.message.contains("name: must not be empty; parameters[ioQueues]: invalid digit"));
    }

    #[test]
    fn a_flood_of_problems_is_cut() {
        let mut problems = Problems::default();
        for number in 0..1000 {
            problems.note("f", number);
        }
        let text = problems.to_string();
        assert!(text.ends_with("and 988 more"), "{text}");
    }

    #[test]
    fn a_long_value_is_cut_and_its_length_is_told() {
        let text = shown(&"é".repeat(1 << 20));
        assert!(text.len() < 300 && text.contains("(2097152 bytes)"), "{text}");
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
    }
}
