//! The tree a line is parsed into.

use std::fmt;

/// Where a word stands, counted from 1, as error texts name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(line {} column {})", self.line, self.column)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Command {
    /// Menu and verb, e.g. `disk`, `print`; a command of the language itself has one word, e.g. `:put`.
    pub words: Vec<(String, Place)>,
    pub args: Vec<Arg>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Arg {
    Named(String, Place, Expr),
    Positional(Expr),
    /// What follows `where`: all must hold.
    Where(Vec<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Bytes(Vec<u8>),
    Expr(Expr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Concat,
    Join,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    BitAnd,
    BitOr,
    BitXor,
    Left,
    Right,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Index,
    Match,
    In,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Num(i64),
    /// A bare word: a property in `where`, a text elsewhere.
    Word(String),
    Text(Vec<Part>),
    Var(String),
    /// `[…]`
    Run(Vec<Command>),
    /// `{…}` where code is expected.
    Block(Vec<Command>),
    /// `{…}` where a value is expected.
    Array(Vec<(Option<Expr>, Expr)>),
    Not(Box<Expr>),
    Neg(Box<Expr>),
    /// `~` before an operand: all bits the other way.
    Invert(Box<Expr>),
    /// `any` before a property: it is set.
    Any(Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
}
