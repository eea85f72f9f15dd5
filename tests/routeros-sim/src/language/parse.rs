//! Source to tree.

mod expression;

use super::ast::{Arg, Command, Expr, Place};
use super::scan::{Parsed, Scan};

/// Deepest nesting accepted: a parser's stack is not endless.
const MAX_DEPTH: usize = 128;

/// Tallest tree accepted: a long chain of operators is one as well, and trees are walked by functions that call
/// themselves.
const MAX_HEIGHT: usize = 256;

/// Parses a whole line.
pub(crate) fn parse(source: &[u8]) -> Parsed<Vec<Command>> {
    parse_in(source, &[])
}

/// Parses a line that was typed in a menu.
pub(crate) fn parse_in(source: &[u8], menu: &[String]) -> Parsed<Vec<Command>> {
    let start = Place { line: 1, column: 1 };
    let menu = menu.iter().map(|word| (word.clone(), start)).collect();
    let mut parser =
        Parser { scan: Scan::new(source), depth: 0, height: 0, menu, surrounding: Surrounding::Command };
    let commands = parser.commands(None)?;
    match parser.scan.peek() {
        None => Ok(commands),
        Some(_) => parser.scan.expected_end(),
    }
}

struct Parser<'a> {
    scan: Scan<'a>,
    depth: usize,
    /// At least the height of every tree parsed since somebody set it to 0.
    height: usize,
    /// Menu of the command whose arguments are being read: `[find …]` in them means that menu (D).
    menu: Vec<(String, Place)>,
    surrounding: Surrounding,
}

/// What an expression stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surrounding {
    Command,
    /// A line break does not end it.
    Parenthesis,
    /// Bare words may hold dots: `where file-path=pool/x.img`.
    Conditions,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_./:*@+".contains(&byte)
}

impl Parser<'_> {
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.scan.syntax_error();
        }
        let outer = std::mem::replace(&mut self.height, 0);
        let parsed = parse(self);
        self.height = outer.max(self.height + 1);
        self.depth -= 1;
        parsed
    }

    fn within<T>(
        &mut self,
        surrounding: Surrounding,
        parse: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let outer = std::mem::replace(&mut self.surrounding, surrounding);
        let parsed = parse(self);
        self.surrounding = outer;
        parsed
    }

    fn commands(&mut self, close: Option<u8>) -> Parsed<Vec<Command>> {
        self.within(Surrounding::Command, |parser| parser.commands_until(close))
    }

    fn commands_until(&mut self, close: Option<u8>) -> Parsed<Vec<Command>> {
        let mut commands = Vec::new();
        loop {
            self.scan.skip_blank();
            while self.scan.take(";") {
                self.scan.skip_blank();
            }
            match self.scan.peek() {
                None => {
                    return if close.is_none() { Ok(commands) } else { self.scan.syntax_error() };
                }
                Some(byte) if Some(byte) == close => {
                    self.scan.next();
                    return Ok(commands);
                }
                Some(b']' | b'}' | b')') if close.is_none() => return Ok(commands),
                Some(b'#') => drop(self.scan.take_while(|byte| byte != b'\n')),
                Some(_) => commands.push(self.deeper(Self::command)?),
            }
        }
    }

    fn ends_command(&self) -> bool {
        matches!(self.scan.peek(), None | Some(b';' | b'\n' | b']' | b'}'))
    }

    fn command(&mut self) -> Parsed<Command> {
        let absolute = matches!(self.scan.peek(), Some(b'/' | b':'));
        let mut words = self.command_words()?;
        if !absolute && words.len() == 1 && is_verb(&words[0].0) && !self.menu.is_empty() {
            words.splice(0..0, self.menu.iter().cloned());
        }
        let menu = match words.split_last() {
            Some((_, menu)) if !menu.is_empty() => menu.to_vec(),
            _ => self.menu.clone(),
        };
        let outer = std::mem::replace(&mut self.menu, menu);
        let args = self.arguments(&words);
        self.menu = outer;
        Ok(Command { words, args: args? })
    }

    fn arguments(&mut self, words: &[(String, Place)]) -> Parsed<Vec<Arg>> {
        let mut args = Vec::new();
        loop {
            self.scan.skip_spaces();
            if self.ends_command() {
                return Ok(args);
            }
            let arg = self.argument(words)?;
            let last = matches!(arg, Arg::Where(_));
            args.push(arg);
            if last && !self.ends_command() {
                return self.scan.expected_end();
            }
        }
    }

    /// `:put`, `/disk/print`, `/disk print`, `/ system resource print`: the menu's words up to the first argument.
    fn command_words(&mut self) -> Parsed<Vec<(String, Place)>> {
        let mut words = Vec::new();
        let column = self.scan.place();
        if self.scan.take(":") {
            let word = self.scan.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            return if word.is_empty() {
                self.scan.syntax_error()
            } else {
                Ok(vec![(format!(":{word}"), column)])
            };
        }
        loop {
            self.scan.skip_spaces();
            self.scan.take("/");
            let (start, column) = (self.scan.position(), self.scan.place());
            let word = self.scan.take_while(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
            let ends = matches!(
                self.scan.peek(),
                None | Some(b' ' | b'\t' | b'\r' | b'/' | b';' | b'\n' | b']' | b'}')
            );
            // `find`, `get`, `print` and the like end the path; what follows are arguments.
            let after_verb = words.last().is_some_and(|(word, _): &(String, Place)| is_verb(word));
            if word.is_empty() || !ends || after_verb || (word == "where" && !words.is_empty()) {
                self.scan.back_to(start);
                return if words.is_empty() { self.scan.syntax_error() } else { Ok(words) };
            }
            words.push((word, column));
        }
    }

    fn argument(&mut self, words: &[(String, Place)]) -> Parsed<Arg> {
        let (start, column) = (self.scan.position(), self.scan.place());
        let word = self.scan.take_while(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        if word == "where" {
            return self.conditions().map(Arg::Where);
        }
        let is_find = words.len() > 1 && words.last().is_some_and(|(word, _)| word == "find");
        if is_find {
            self.scan.back_to(start);
            return self.conditions().map(Arg::Where);
        }
        if !word.is_empty() && self.scan.take("=") {
            let foreach = words.first().is_some_and(|(word, _)| word.trim_start_matches(':') == "foreach");
            let code = matches!(word.as_str(), "do" | "else" | "on-error") || (word == "in" && !foreach);
            // The condition of `:do … while=` is looked at anew each time; it is kept as it is.
            let value = if code && self.scan.peek() == Some(b'{') { self.block()? } else { self.value()? };
            return Ok(Arg::Named(word, column, value));
        }
        // `:foreach x in=…`, `:onerror e in=…`: the first word is a name.
        self.scan.back_to(start);
        let names_code = words.first().is_some_and(|(word, _)| word.trim_start_matches(':') == "do");
        if names_code && self.scan.peek() == Some(b'{') {
            return self.block().map(Arg::Positional);
        }
        self.value().map(Arg::Positional)
    }

    fn block(&mut self) -> Parsed<Expr> {
        self.scan.next();
        self.deeper(|parser| parser.commands(Some(b'}'))).map(Expr::Block)
    }

    fn conditions(&mut self) -> Parsed<Vec<Expr>> {
        let mut all = Vec::new();
        loop {
            self.scan.skip_spaces();
            if self.ends_command() {
                return Ok(all);
            }
            let one =
                |parser: &mut Self| parser.within(Surrounding::Conditions, |parser| parser.expression(0));
            all.push(self.deeper(one)?);
        }
    }
}

/// Words that end the path of menus; what follows are arguments.
fn is_verb(word: &str) -> bool {
    const VERBS: [&str; 11] = [
        "find",
        "get",
        "print",
        "set",
        "add",
        "remove",
        "copy",
        "monitor-traffic",
        "smart-info",
        "trim",
        "reboot",
    ];
    VERBS.contains(&word)
}
