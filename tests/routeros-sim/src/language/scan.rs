//! A cursor over one line of source.

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

    /// Takes `text` if it comes next.
    pub(crate) fn take(&mut self, text: &str) -> bool {
        let comes = self.source[self.at..].starts_with(text.as_bytes());
        if comes {
            self.at += text.len();
        }
        comes
    }

    pub(crate) fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    pub(crate) fn skip_blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.next();
        }
    }

    pub(crate) fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&keep) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.source[start..self.at]).into_owned()
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn back_to(&mut self, position: usize) {
        self.at = position;
    }

    pub(crate) fn column(&self) -> usize {
        self.at - self.line_start + 1
    }

    fn place(&self) -> String {
        format!("(line {} column {})", self.line, self.column())
    }

    pub(crate) fn syntax_error<T>(&self) -> Parsed<T> {
        Err(SyntaxError(format!("syntax error {}", self.place())))
    }

    pub(crate) fn expected_end<T>(&self) -> Parsed<T> {
        Err(SyntaxError(format!("expected end of command {}", self.place())))
    }
}
