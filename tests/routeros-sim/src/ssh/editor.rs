//! A line being typed: echo, backspace, history.

/// What a key did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Show this.
    Echo(Vec<u8>),
    /// The line is complete.
    Line(String),
    /// Ctrl-C: the line is thrown away.
    Interrupt,
    /// Ctrl-D on an empty line.
    End,
    /// `?`: what can follow here?
    Help,
}

#[derive(Debug, Default)]
pub(super) struct Editor {
    line: Vec<char>,
    history: Vec<String>,
    /// Which line of the history is shown; its length: none.
    at: usize,
    /// Bytes of an escape sequence or of a character that are not complete yet.
    pending: Vec<u8>,
    after_return: bool,
}

/// Lines remembered.
const HISTORY: usize = 500;

impl Editor {
    pub(super) fn line(&self) -> String {
        self.line.iter().collect()
    }

    /// Takes one byte.
    pub(super) fn key(&mut self, byte: u8) -> Option<Typed> {
        let after_return = std::mem::take(&mut self.after_return);
        if !self.pending.is_empty() {
            return self.continued(byte);
        }
        match byte {
            // Terminals send CR; CR LF is one end of line.
            b'\n' if after_return => None,
            b'\r' | b'\n' => {
                self.after_return = byte == b'\r';
                let line = self.line();
                self.line.clear();
                if !line.trim().is_empty() && self.history.last() != Some(&line) {
                    self.history.push(line.clone());
                }
                if self.history.len() > HISTORY {
                    self.history.remove(0);
                }
                self.at = self.history.len();
                Some(Typed::Line(line))
            }
            0x03 => {
                self.line.clear();
                Some(Typed::Interrupt)
            }
            0x04 => self.line.is_empty().then_some(Typed::End),
            0x08 | 0x7f => self.line.pop().map(|_| Typed::Echo(b"\x08 \x08".to_vec())),
            0x15 => Some(self.replace(String::new())),
            b'?' if self.line.iter().filter(|letter| **letter == '"').count() % 2 == 0 => Some(Typed::Help),
            0x1b | 0x80.. => {
                self.pending.push(byte);
                None
            }
            0..0x20 => None,
            _ => self.put(char::from(byte)),
        }
    }

    fn put(&mut self, letter: char) -> Option<Typed> {
        self.line.push(letter);
        Some(Typed::Echo(letter.to_string().into_bytes()))
    }

    /// Shows another line instead of this one.
    fn replace(&mut self, line: String) -> Typed {
        let mut echo = b"\x08 \x08".repeat(self.line.len());
        echo.extend(line.bytes());
        self.line = line.chars().collect();
        Typed::Echo(echo)
    }

    fn continued(&mut self, byte: u8) -> Option<Typed> {
        self.pending.push(byte);
        if self.pending[0] != 0x1b {
            let letter = match std::str::from_utf8(&self.pending) {
                Ok(text) => text.chars().next(),
                Err(_) if self.pending.len() < 4 => return None,
                Err(_) => None,
            };
            self.pending.clear();
            return letter.and_then(|letter| self.put(letter));
        }
        match self.pending.as_slice() {
            [0x1b, b'[' | b'O'] => return None,
            [0x1b, b'[', .., b'0'..=b'9' | b';'] if self.pending.len() < 8 => return None,
            _ => {}
        }
        let sequence = std::mem::take(&mut self.pending);
        match sequence.as_slice() {
            [0x1b, _, b'A'] => self.recall(self.at.checked_sub(1)?),
            [0x1b, _, b'B'] => self.recall(self.at + 1),
            _ => None,
        }
    }

    fn recall(&mut self, at: usize) -> Option<Typed> {
        if at > self.history.len() {
            return None;
        }
        self.at = at;
        let line = self.history.get(at).cloned().unwrap_or_default();
        Some(self.replace(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(editor: &mut Editor, keys: &[u8]) -> Vec<Typed> {
        keys.iter()
            .filter_map(|key| editor.key(*key))
            .filter(|typed| !matches!(typed, Typed::Echo(_)))
            .collect()
    }

    fn line(text: &str) -> Typed {
        Typed::Line(text.to_owned())
    }

    #[test]
    fn a_line_is_typed_corrected_and_recalled() {
        let mut editor = Editor::default();
        assert_eq!(typed(&mut editor, b"prinx\x7ft\r\n"), [line("print")]);
        assert_eq!(typed(&mut editor, b"\xc3\xbc\r"), [line("\u{fc}")]);
        assert_eq!(typed(&mut editor, b"\x1b[A\x1b[A\r"), [line("print")]);
        assert_eq!(typed(&mut editor, b"\x1b[A\x1b[B\r"), [line("")]);
    }

    #[test]
    fn control_keys_end_what_they_end() {
        let mut editor = Editor::default();
        assert_eq!(typed(&mut editor, b"abc\x04\x03\x04"), [Typed::Interrupt, Typed::End]);
        assert_eq!(typed(&mut editor, b"disk ?"), [Typed::Help]);
        assert_eq!(editor.line(), "disk ");
        assert_eq!(typed(&mut editor, b"\x15x\r"), [line("x")]);
    }
}
