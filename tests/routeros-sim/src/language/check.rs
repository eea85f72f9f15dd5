//! A line is compiled as a whole before it runs: every command in it, also those in blocks and brackets.

use super::ast::{Arg, Command, Expr, Part};
use super::builtin;
use super::eval::Menus;
use super::scan::SyntaxError;

/// Checks words and parameter names.
pub(crate) fn check(commands: &[Command], menus: &dyn Menus) -> Result<(), SyntaxError> {
    for command in commands {
        match command.words.first() {
            Some((word, place)) => match builtin::name(word, command.words.len()) {
                Some(name) => language(name, command, menus)?,
                None if word.starts_with(':') => {
                    return Err(SyntaxError(format!("bad command name {} {place}", &word[1..])));
                }
                None => menus.check(command)?,
            },
            None => menus.check(command)?,
        }
        for arg in &command.args {
            match arg {
                Arg::Named(_, _, expr) | Arg::Positional(expr) => check_expr(expr, menus)?,
                Arg::Where(all) => all.iter().try_for_each(|expr| check_expr(expr, menus))?,
            }
        }
    }
    Ok(())
}

/// A command of the language: it must exist in this version, and so must its parameters.
fn language(name: &str, command: &Command, menus: &dyn Menus) -> Result<(), SyntaxError> {
    let version = menus.version();
    if version < builtin::since(name) {
        let place = command.words[0].1;
        return Err(SyntaxError(format!("bad command name {name} {place}")));
    }
    for arg in &command.args {
        if let Arg::Named(parameter, place, _) = arg
            && !builtin::knows(name, parameter, version)
        {
            return Err(SyntaxError(format!("bad parameter {parameter} {place}")));
        }
    }
    Ok(())
}

fn check_expr(expr: &Expr, menus: &dyn Menus) -> Result<(), SyntaxError> {
    match expr {
        Expr::Run(commands) | Expr::Block(commands) => check(commands, menus),
        Expr::Not(inner) | Expr::Neg(inner) | Expr::Invert(inner) | Expr::Any(inner) => {
            check_expr(inner, menus)
        }
        Expr::Binary(_, left, right) => check_expr(left, menus).and_then(|()| check_expr(right, menus)),
        Expr::Array(items) => items.iter().try_for_each(|(key, item)| {
            key.as_ref().map_or(Ok(()), |key| check_expr(key, menus))?;
            check_expr(item, menus)
        }),
        Expr::Text(parts) => parts.iter().try_for_each(|part| match part {
            Part::Expr(inner) => check_expr(inner, menus),
            Part::Bytes(_) => Ok(()),
        }),
        Expr::Num(_) | Expr::Word(_) | Expr::Var(_) => Ok(()),
    }
}
