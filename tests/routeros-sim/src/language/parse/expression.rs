//! Expressions: operators by their power, operands, texts with their escapes.

use super::{MAX_HEIGHT, Parser, Surrounding, is_word};
use crate::language::ast::{Expr, Op, Part};
use crate::language::scan::Parsed;

fn is_operand_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_:*/".contains(&byte)
}

/// Text, meaning, power; where one begins with another, the longer stands first. The order of powers is inferred (I).
const OPERATORS: [(&str, Op, u8); 27] = [
    ("->", Op::Index, 9),
    ("&&", Op::And, 1),
    ("||", Op::Or, 0),
    ("!=", Op::Ne, 2),
    ("<<", Op::Left, 5),
    (">>", Op::Right, 5),
    ("<=", Op::Le, 2),
    (">=", Op::Ge, 2),
    ("=", Op::Eq, 2),
    ("<", Op::Lt, 2),
    (">", Op::Gt, 2),
    ("~", Op::Match, 2),
    (".", Op::Concat, 3),
    (",", Op::Join, 3),
    ("&", Op::BitAnd, 4),
    ("|", Op::BitOr, 4),
    ("^", Op::BitXor, 4),
    ("+", Op::Add, 6),
    ("-", Op::Sub, 6),
    ("*", Op::Mul, 7),
    ("/", Op::Div, 7),
    ("%", Op::Rem, 7),
    ("and ", Op::And, 1),
    ("or ", Op::Or, 0),
    ("in ", Op::In, 2),
    ("and(", Op::And, 1),
    ("or(", Op::Or, 0),
];

impl Parser<'_> {
    /// One value: what stands after `=` or as an argument.
    pub(super) fn value(&mut self) -> Parsed<Expr> {
        match self.scan.peek() {
            None | Some(b' ' | b';' | b'\n' | b']' | b'}') => Ok(Expr::Text(Vec::new())),
            Some(b'"' | b'$' | b'[' | b'(' | b'{') => self.deeper(Self::operand),
            Some(byte) if is_word(byte) => {
                let word = self.scan.take_while(|byte| is_word(byte) || byte == b',');
                Ok(number_or_word(word))
            }
            Some(_) => self.scan.syntax_error(),
        }
    }

    /// Operator precedence climbing.
    pub(super) fn expression(&mut self, floor: u8) -> Parsed<Expr> {
        let outer = std::mem::replace(&mut self.height, 0);
        let mut left = self.deeper(Self::operand)?;
        loop {
            let before = self.scan.position();
            self.skip();
            let Some((op, power)) = self.operator().filter(|(_, power)| *power >= floor) else {
                self.scan.back_to(before);
                self.height = self.height.max(outer);
                return Ok(left);
            };
            self.skip();
            let right = self.deeper(|parser| parser.expression(power + 1))?;
            left = Expr::Binary(op, Box::new(left), Box::new(right));
            self.height += 1;
            if self.height > MAX_HEIGHT {
                return self.scan.syntax_error();
            }
        }
    }

    fn skip(&mut self) {
        match self.surrounding {
            Surrounding::Parenthesis => self.scan.skip_blank(),
            Surrounding::Command | Surrounding::Conditions => self.scan.skip_spaces(),
        }
    }

    fn operator(&mut self) -> Option<(Op, u8)> {
        let (text, op, power) = OPERATORS.iter().find(|(text, ..)| self.scan.comes(text))?;
        // What only delimits a word is left where it is.
        self.scan.take(text.trim_end_matches([' ', '(']));
        Some((*op, *power))
    }

    pub(super) fn operand(&mut self) -> Parsed<Expr> {
        self.scan.skip_spaces();
        for (word, made) in [("not ", Expr::Not as fn(Box<Expr>) -> Expr), ("any ", Expr::Any)] {
            if self.scan.take(word) {
                return self.deeper(Self::operand).map(|inner| made(Box::new(inner)));
            }
        }
        let Some(made) = prefix(self.scan.peek()) else {
            return self.plain();
        };
        self.scan.next();
        self.deeper(Self::operand).map(|inner| made(Box::new(inner)))
    }

    fn plain(&mut self) -> Parsed<Expr> {
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
            Some(b'.' | b'*') => {
                let first = self.scan.take_while(|byte| byte == b'.' || byte == b'*');
                let rest = self.scan.take_while(is_operand_word);
                Ok(Expr::Word(first + &rest))
            }
            Some(byte) if is_operand_word(byte) => Ok(number_or_word(self.operand_word(byte))),
            _ => self.scan.syntax_error(),
        }
    }

    /// A word; what begins with a digit may hold dots: `10.0.0.1`, `00:00:01.5`.
    fn operand_word(&mut self, first: u8) -> String {
        let dots = self.surrounding == Surrounding::Conditions;
        let takes = |byte: u8| is_operand_word(byte) || dots && (byte == b'.' || byte == b'@');
        let mut word = String::new();
        // An arrow ends a word: `($a->0->"k")`.
        while self.scan.peek().is_some_and(takes) && !self.scan.comes("->") {
            word.extend(self.scan.next().map(char::from));
        }
        let dotted = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
        while !dots && first.is_ascii_digit() && dotted(&word) && self.scan.peek() == Some(b'.') {
            let before = self.scan.position();
            self.scan.next();
            let more = self.scan.take_while(|byte| byte.is_ascii_digit());
            if more.is_empty() {
                self.scan.back_to(before);
                break;
            }
            word = format!("{word}.{more}");
        }
        // The length of a network.
        if word.matches('.').count() == 3 && self.scan.take("/") {
            let length = self.scan.take_while(|byte| byte.is_ascii_digit());
            word = format!("{word}/{length}");
        }
        word
    }

    pub(super) fn variable(&mut self) -> Parsed<Expr> {
        if self.scan.take("\"") {
            let name = self.scan.take_while(|byte| byte != b'"' && byte != b'\n');
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
        let surrounding = match self.surrounding {
            Surrounding::Conditions => Surrounding::Conditions,
            Surrounding::Command | Surrounding::Parenthesis => Surrounding::Parenthesis,
        };
        let inner = self.deeper(|parser| parser.within(surrounding, |parser| parser.expression(0)))?;
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
            // The indent of the next line is not part of the text (C: exported scripts).
            if self.scan.take_continuation() {
                self.scan.take_while(|byte| byte == b' ' || byte == b'\t');
                continue;
            }
            match self.scan.next() {
                None => return self.scan.syntax_error(),
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut bytes)?,
                Some(b'$') => match self.scan.peek() {
                    Some(b'(') => self.part(&mut parts, &mut bytes, Self::parenthesis)?,
                    Some(b'[') => self.part(&mut parts, &mut bytes, Self::operand)?,
                    Some(byte) if byte.is_ascii_alphanumeric() => {
                        self.part(&mut parts, &mut bytes, Self::variable)?;
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

fn prefix(byte: Option<u8>) -> Option<fn(Box<Expr>) -> Expr> {
    match byte {
        Some(b'!') => Some(Expr::Not),
        Some(b'-') => Some(Expr::Neg),
        Some(b'~') => Some(Expr::Invert),
        _ => None,
    }
}

/// Only what reads back the same is a number: `007` stays a text.
fn number_or_word(word: String) -> Expr {
    match word.parse::<i64>() {
        Ok(number) if number.to_string() == word => Expr::Num(number),
        _ => Expr::Word(word),
    }
}

/// Hexadecimal escapes are written with capital letters (D).
fn is_upper_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)
}

fn hex(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit - b'A' + 10 }
}
