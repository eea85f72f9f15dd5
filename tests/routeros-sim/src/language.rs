//! The part of RouterOS' scripting language that machines use: parsed into a tree, checked, then evaluated.
//!
//! Grades as everywhere in this crate: **M** measured on real devices, **D** documented, **C** seen in captures,
//! **I** inferred. A whole line is parsed and checked before anything of it runs, so a syntax error or an unknown
//! command is never caught by `:onerror` (M). Absent on purpose: functions, global variables, timers, patterns for
//! `~`, addresses as a type.

pub(crate) mod ast;
mod builtin;
pub(crate) mod check;
pub(crate) mod condition;
pub(crate) mod eval;
pub(crate) mod json;
mod operate;
pub(crate) mod parse;
pub(crate) mod scan;
pub(crate) mod span;
pub(crate) mod value;

#[cfg(test)]
mod tests;
