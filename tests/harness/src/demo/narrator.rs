//! The voice of the demo: one line per step, with its time. Colour only for a person who wants it.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::trace::Line;

const GREEN: &str = "32";
const RED: &str = "31";
const DIM: &str = "2";
const BOLD: &str = "1";

/// One line to standard output. Nobody left to read it is no reason to stop before everything is cleaned up.
fn put(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
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
