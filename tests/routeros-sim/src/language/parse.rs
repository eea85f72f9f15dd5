//! Source to tree.

use super::ast::{Arg, Command, Expr, Op, Part};
use super::scan::{Parsed, Scan};

/// Deepest nesting accepted: a line is 8 KiB, a parser's stack is not endless.
const MAX_DEPTH: usize = 64;

/// Parses a whole line.
pub(crate) fn parse(source: &[u8]) -> Parsed<Vec<Command>> {
    let mut parser = Parser { scan: Scan::new(source), depth: 0, menu: Vec::new() };
    let commands = parser.commands(None)?;
    match parser.scan.peek() {
        None => Ok(commands),
        Some(_) => parser.scan.expected_end(),
    }
}

struct Parser<'a> {
    scan: Scan<'a>,
    depth: usize,
    /// Menu of the command whose arguments are being read: `[find …]` in them means that menu (D).
    menu: Vec<(String, usize)>,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_./:*@+".contains(&byte)
}

fn is_operand_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_:*/".contains(&byte)
}

impl Parser<'_> {
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.scan.syntax_error();
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn commands(&mut self, close: Option<u8>) -> Parsed<Vec<Command>> {
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

    fn arguments(&mut self, words: &[(String, usize)]) -> Parsed<Vec<Arg>> {
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
    fn command_words(&mut self) -> Parsed<Vec<(String, usize)>> {
        let mut words = Vec::new();
        let column = self.scan.column();
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
            let (start, column) = (self.scan.position(), self.scan.column());
            let word = self.scan.take_while(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
            let ends = matches!(
                self.scan.peek(),
                None | Some(b' ' | b'\t' | b'\r' | b'/' | b';' | b'\n' | b']' | b'}')
            );
            // `find`, `get`, `print` and the like end the path; what follows are arguments.
            let after_verb = words.last().is_some_and(|(word, _): &(String, usize)| is_verb(word));
            if word.is_empty() || !ends || after_verb || (word == "where" && !words.is_empty()) {
                self.scan.back_to(start);
                return if words.is_empty() { self.scan.syntax_error() } else { Ok(words) };
            }
            words.push((word, column));
        }
    }

    fn argument(&mut self, words: &[(String, usize)]) -> Parsed<Arg> {
        let (start, column) = (self.scan.position(), self.scan.column());
        let word = self.scan.take_while(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        if word == "where" {
            return self.conditions().map(Arg::Where);
        }
        let is_find = words.last().is_some_and(|(word, _)| word == "find");
        if !word.is_empty() && self.scan.peek() == Some(b'=') && is_find {
            self.scan.back_to(start);
            return self.conditions().map(Arg::Where);
        }
        if !word.is_empty() && self.scan.take("=") {
            let foreach = words.first().is_some_and(|(word, _)| word == ":foreach");
            let code = matches!(word.as_str(), "do" | "else" | "on-error") || (word == "in" && !foreach);
            let value = if code && self.scan.peek() == Some(b'{') { self.block()? } else { self.value()? };
            return Ok(Arg::Named(word, column, value));
        }
        // `:foreach x in=…`, `:onerror e in=…`: the first word is a name.
        self.scan.back_to(start);
        let names_code = words.first().is_some_and(|(word, _)| word == ":do" || word == ":parse");
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
            all.push(self.deeper(|parser| parser.expression(0))?);
        }
    }

    /// One value: what stands after `=` or as an argument.
    fn value(&mut self) -> Parsed<Expr> {
        match self.scan.peek() {
            None | Some(b' ' | b';' | b'\n' | b']' | b'}') => Ok(Expr::Text(Vec::new())),
            Some(b'"' | b'$' | b'[' | b'(' | b'{') => self.deeper(Self::operand),
            Some(byte) if is_word(byte) => {
                let word = self.scan.take_while(|byte| is_word(byte) || byte == b',');
                Ok(word.parse().map_or(Expr::Word(word), Expr::Num))
            }
            Some(_) => self.scan.syntax_error(),
        }
    }

    /// Operator precedence climbing.
    fn expression(&mut self, floor: u8) -> Parsed<Expr> {
        let mut left = self.deeper(Self::operand)?;
        loop {
            let before = self.scan.position();
            self.scan.skip_spaces();
            let Some((op, power)) = self.operator() else {
                self.scan.back_to(before);
                return Ok(left);
            };
            if power < floor {
                self.scan.back_to(before);
                return Ok(left);
            }
            self.scan.skip_spaces();
            let right = self.deeper(|parser| parser.expression(power + 1))?;
            left = Expr::Binary(op, Box::new(left), Box::new(right));
        }
    }

    fn operator(&mut self) -> Option<(Op, u8)> {
        const OPERATORS: [(&str, Op, u8); 16] = [
            ("->", Op::Index, 7),
            ("&&", Op::And, 1),
            ("||", Op::Or, 0),
            ("!=", Op::Ne, 2),
            ("<=", Op::Le, 2),
            (">=", Op::Ge, 2),
            ("=", Op::Eq, 2),
            ("<", Op::Lt, 2),
            (">", Op::Gt, 2),
            (".", Op::Concat, 3),
            ("+", Op::Add, 4),
            ("-", Op::Sub, 4),
            ("*", Op::Mul, 5),
            ("/", Op::Div, 5),
            ("and ", Op::And, 1),
            ("or ", Op::Or, 0),
        ];
        OPERATORS.iter().find(|(text, ..)| self.scan.take(text)).map(|(_, op, power)| (*op, *power))
    }

    fn operand(&mut self) -> Parsed<Expr> {
        self.scan.skip_spaces();
        match self.scan.peek() {
            Some(b'"') => self.text(),
            Some(b'$') => {
                self.scan.next();
                self.variable()
            }
            Some(b'[') => {
                self.scan.next();
                self.deeper(|parser| parser.commands(Some(b']'))).map(Expr::Run)
            }
            Some(b'(') => self.parenthesis(),
            Some(b'{') => self.array(),
            Some(b'!') => {
                self.scan.next();
                self.deeper(Self::operand).map(|inner| Expr::Not(Box::new(inner)))
            }
            Some(b'-') => {
                self.scan.next();
                self.deeper(Self::operand).map(|inner| Expr::Neg(Box::new(inner)))
            }
            Some(b'.') | Some(b'*') => {
                let first = self.scan.take_while(|byte| byte == b'.' || byte == b'*');
                let rest = self.scan.take_while(is_operand_word);
                Ok(Expr::Word(first + &rest))
            }
            Some(byte) if is_operand_word(byte) => {
                let word = self.scan.take_while(is_operand_word);
                Ok(word.parse().map_or(Expr::Word(word), Expr::Num))
            }
            _ => self.scan.syntax_error(),
        }
    }

    fn variable(&mut self) -> Parsed<Expr> {
        if self.scan.take("\"") {
            let name = self.scan.take_while(|byte| byte != b'"');
            return if self.scan.take("\"") { Ok(Expr::Var(name)) } else { self.scan.syntax_error() };
        }
        let name = self.scan.take_while(|byte| byte.is_ascii_alphanumeric());
        if name.is_empty() { self.scan.syntax_error() } else { Ok(Expr::Var(name)) }
    }

    fn parenthesis(&mut self) -> Parsed<Expr> {
        self.scan.next();
        self.scan.skip_blank();
        if self.scan.take(")") {
            return Ok(Expr::Array(Vec::new()));
        }
        let inner = self.deeper(|parser| parser.expression(0))?;
        self.scan.skip_blank();
        if self.scan.take(")") { Ok(inner) } else { self.scan.syntax_error() }
    }

    /// `{a; b}` and `{"k"=a; "l"=b}`.
    fn array(&mut self) -> Parsed<Expr> {
        self.scan.next();
        let mut items = Vec::new();
        loop {
            self.scan.skip_blank();
            while self.scan.take(";") {
                self.scan.skip_blank();
            }
            if self.scan.take("}") {
                return Ok(Expr::Array(items));
            }
            let first = self.deeper(Self::operand)?;
            self.scan.skip_spaces();
            if self.scan.take("=") {
                self.scan.skip_spaces();
                let value = self.deeper(Self::operand)?;
                items.push((Some(first), value));
            } else {
                items.push((None, first));
            }
            self.scan.skip_blank();
            if !matches!(self.scan.peek(), Some(b';' | b'}')) {
                return self.scan.syntax_error();
            }
        }
    }

    /// A string in double quotes: escapes, `$name`, `$(expression)`, `$[command]` (D).
    fn text(&mut self) -> Parsed<Expr> {
        self.scan.next();
        let mut parts = Vec::new();
        let mut bytes = Vec::new();
        loop {
            match self.scan.next() {
                None => return self.scan.syntax_error(),
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut bytes)?,
                Some(b'$') => match self.scan.peek() {
                    Some(b'(') => self.part(&mut parts, &mut bytes, Self::parenthesis)?,
                    Some(b'[') => self.part(&mut parts, &mut bytes, Self::operand)?,
                    Some(byte) if byte.is_ascii_alphanumeric() => {
                        self.part(&mut parts, &mut bytes, Self::variable)?
                    }
                    _ => bytes.push(b'$'),
                },
                Some(byte) => bytes.push(byte),
            }
        }
        parts.push(Part::Bytes(bytes));
        Ok(Expr::Text(parts))
    }

    fn part(
        &mut self,
        parts: &mut Vec<Part>,
        bytes: &mut Vec<u8>,
        parse: impl FnOnce(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<()> {
        parts.push(Part::Bytes(std::mem::take(bytes)));
        parts.push(Part::Expr(self.deeper(parse)?));
        Ok(())
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Parsed<()> {
        let simple = match self.scan.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'a') => 0x07,
            Some(b'b') => 0x08,
            Some(b'v') => 0x0b,
            Some(b'f') => 0x0c,
            Some(b'_') => b' ',
            Some(byte @ (b'"' | b'\\' | b'$' | b'?')) => byte,
            Some(high) if is_upper_hex(high) && self.scan.peek().is_some_and(is_upper_hex) => {
                let low = self.scan.next().unwrap_or(b'0');
                hex(high) << 4 | hex(low)
            }
            _ => return self.scan.syntax_error(),
        };
        bytes.push(simple);
        Ok(())
    }
}

/// Hexadecimal escapes are written with capital letters (D).
fn is_upper_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)
}

fn hex(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit - b'A' + 10 }
}

fn is_verb(word: &str) -> bool {
    matches!(word, "find" | "get" | "print" | "set" | "add" | "remove")
}
