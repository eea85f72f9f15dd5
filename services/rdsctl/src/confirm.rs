//! Asks before something is changed.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::outcome::Failure;

/// Goes on after a yes. Where nobody can answer, only `--yes` is one.
pub(crate) fn confirm(yes: bool, what: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "{what} It was not done: nobody is there to ask, give --yes if it is meant"
        )));
    }
    // Whoever cannot see the question cannot answer it.
    let _ = write!(std::io::stderr(), "{what} Go on? [y/N] ");
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        Ok(_) | Err(_) => Err(Failure::Usage("nothing was changed".to_owned())),
    }
}

/// Tells a person what takes long; standard output stays for the answer.
pub(crate) fn progress(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}
