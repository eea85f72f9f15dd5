//! The tree a line is parsed into.

/// Column of a word, counted from 1, as error texts name it.
pub(crate) type Column = usize;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Command {
    /// Menu and verb, e.g. `disk`, `print`; a command of the language itself has one word, e.g. `:put`.
    pub words: Vec<(String, Column)>,
    pub args: Vec<Arg>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Arg {
    Named(String, Column, Expr),
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
    Add,
    Sub,
    Mul,
    Div,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Index,
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
    Binary(Op, Box<Expr>, Box<Expr>),
}
