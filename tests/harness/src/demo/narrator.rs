//! The voice of the demo: one line per step, with its time. Colour only for a person who wants it.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::trace::Line;

/// Hex digits of a slot, and how many of them are shown.
const SLOT_DIGITS: usize = 28;
const SHOWN_DIGITS: usize = 8;

const GREEN: &str = "32";
const RED: &str = "31";
const DIM: &str = "2";
const BOLD: &str = "1";

/// One line to standard output. Nobody left to read it is no reason to stop before everything is cleaned up.
fn put(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A text as the story tells it: slots with their first digits only, and without the trace id a message ends in.
pub(crate) fn brief(text: &str) -> String {
    let text = match text.rfind(" (trace ") {
        Some(at) if text.ends_with(')') => &text[..at],
        _ => text,
    };
    let mut parts = text.split("csi-");
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        told.push_str("csi-");
        match digits {
            SLOT_DIGITS => {
                told.push_str(&part[..SHOWN_DIGITS]);
                told.push('…');
                told.push_str(&part[SLOT_DIGITS..]);
            }
            _ => told.push_str(part),
        }
    }
    told
}

/// Writes to standard output.
pub(crate) struct Narrator {
    colour: bool,
    steps: u32,
    began: Instant,
}

impl Narrator {
    /// Colour if standard output is a terminal and NO_COLOR is not set (no-color.org).
    pub(crate) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && std::io::stdout().is_terminal(), steps: 0, began: Instant::now() }
    }

    fn paint(&self, code: &str, text: impl Display) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// A heading.
    pub(crate) fn heading(&self, text: &str) {
        put(format_args!("\n{}", self.paint(BOLD, text)));
    }

    /// Text as it is.
    pub(crate) fn say(&self, text: impl Display) {
        put(text);
    }

    /// Text of lesser weight.
    pub(crate) fn aside(&self, text: impl Display) {
        put(self.paint(DIM, text));
    }

    /// One step is done: how long it took and what is now so.
    pub(crate) fn done(&mut self, took: Duration, text: impl Display) {
        self.steps += 1;
        let took = format!("{:>7.0} ms", took.as_secs_f64() * 1000.0);
        put(format_args!("{:>3} {} {}  {text}", self.steps, self.paint(GREEN, "ok"), self.paint(DIM, took)));
    }

    /// Something failed.
    pub(crate) fn failed(&self, text: impl Display) {
        put(format_args!("    {} {text}", self.paint(RED, "failed")));
    }

    /// Since the narrator began to speak.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A trace as a tree.
    pub(crate) fn tree(&self, lines: &[Line]) {
        for (line, text) in lines.iter().zip(crate::trace::columns(lines)) {
            if line.failed {
                put(format_args!("  {}", self.paint(RED, text)));
            } else {
                put(format_args!("  {text}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_told_by_its_first_digits_and_everything_else_as_it_is() {
        let slot = "csi-cff6594eabc44159512b911eeebd";
        assert_eq!(
            brief(&format!("nqn.x:{slot}.e2 on csi-front (trace 0af7)")),
            "nqn.x:csi-cff6594e….e2 on csi-front"
        );
        assert_eq!(brief("nothing to cut (here)"), "nothing to cut (here)");
    }
}
