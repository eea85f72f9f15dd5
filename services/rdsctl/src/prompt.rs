//! The question before something is changed: on standard error, answered on a terminal with y or N.

use std::io::{BufRead, IsTerminal as _, Write};

use crate::outcome::Failure;

/// How the operator agrees to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// By --yes.
    Given,
    /// When asked.
    Asked,
}

impl Consent {
    /// Fails where nobody could be asked: before any work is done, and without a guess.
    pub(crate) fn of(yes: bool) -> Result<Self, Failure> {
        match (yes, std::io::stdin().is_terminal()) {
            (true, _) => Ok(Self::Given),
            (false, true) => Ok(Self::Asked),
            (false, false) => Err(Failure::Usage(
                "this changes something and there is no terminal to ask on; nothing was done. Give --yes if it is meant"
                    .to_owned(),
            )),
        }
    }

    /// Asks if it has to. Anything but a clear yes is a no.
    pub(crate) fn confirm(self, question: &str) -> Result<(), Failure> {
        let agreed = match self {
            Self::Given => true,
            // The only task that matters now: it may block.
            Self::Asked => agrees(question, &mut std::io::stdin().lock(), &mut std::io::stderr().lock()),
        };
        if agreed { Ok(()) } else { Err(Failure::Refused("not confirmed; nothing was changed".to_owned())) }
    }
}

fn agrees(question: &str, input: &mut dyn BufRead, output: &mut dyn Write) -> bool {
    let asked = write!(output, "{question} [y/N] ").and_then(|()| output.flush());
    let mut answer = String::new();
    asked.is_ok()
        && input.read_line(&mut answer).is_ok()
        && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(answer: &str) -> (bool, String) {
        let mut shown = Vec::new();
        let agreed = agrees("Remove it?", &mut answer.as_bytes(), &mut shown);
        (agreed, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        for yes in ["y\n", "Y\n", "yes\n", " YES \r\n", "y"] {
            assert_eq!(answered(yes), (true, "Remove it? [y/N] ".to_owned()), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yy\n", "j\n", "\u{1b}[Ay\n", "\ny\n"] {
            assert!(!answered(no).0, "{no:?}");
        }
    }

    #[test]
    fn with_yes_nobody_is_asked() {
        assert_eq!(Consent::of(true).unwrap(), Consent::Given);
        assert!(Consent::Given.confirm("Remove it?").is_ok());
    }
}
