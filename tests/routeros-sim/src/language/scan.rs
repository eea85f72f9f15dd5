//! A cursor over one line of source.

use super::ast::Place;

/// Why a line cannot be compiled, with the column it was noticed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError(pub(crate) String);

pub(crate) type Parsed<T> = Result<T, SyntaxError>;

pub(crate) struct Scan<'a> {
    source: &'a [u8],
    at: usize,
    line_start: usize,
    line: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(source: &'a [u8]) -> Self {
        Self { source, at: 0, line_start: 0, line: 1 }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    pub(crate) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
            self.line_start = self.at;
        }
        Some(byte)
    }

    /// Takes `text` if it comes next. Not for text with a line break in it.
    pub(crate) fn take(&mut self, text: &str) -> bool {
        let comes = self.comes(text);
        if comes {
            self.at += text.len();
        }
        comes
    }

    pub(crate) fn comes(&self, text: &str) -> bool {
        self.source[self.at..].starts_with(text.as_bytes())
    }

    /// A line that ends in `\` goes on in the next (D).
    pub(crate) fn take_continuation(&mut self) -> bool {
        let length = ["\\\n", "\\\r\n"].iter().find(|end| self.comes(end)).map(|end| end.len());
        for _ in 0..length.unwrap_or(0) {
            self.next();
        }
        length.is_some()
    }

    pub(crate) fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r')) || self.comes("\\") {
            if self.peek() != Some(b'\\') {
                self.at += 1;
            } else if !self.take_continuation() {
                return;
            }
        }
    }

    pub(crate) fn skip_blank(&mut self) {
        self.skip_spaces();
        while self.peek() == Some(b'\n') {
            self.next();
            self.skip_spaces();
        }
    }

    pub(crate) fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&keep) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.source[start..self.at]).into_owned()
    }

    /// Where the cursor is, to come back to within the same line.
    pub(crate) fn position(&self) -> (usize, usize, usize) {
        (self.at, self.line, self.line_start)
    }

    pub(crate) fn back_to(&mut self, position: (usize, usize, usize)) {
        (self.at, self.line, self.line_start) = position;
    }

    pub(crate) fn place(&self) -> Place {
        Place { line: self.line, column: self.at - self.line_start + 1 }
    }

    pub(crate) fn syntax_error<T>(&self) -> Parsed<T> {
        Err(SyntaxError(format!("syntax error {}", self.place())))
    }

    pub(crate) fn expected_end<T>(&self) -> Parsed<T> {
        Err(SyntaxError(format!("expected end of command {}", self.place())))
    }
}
