//! Whether a row meets a condition: `where slot="x" and !disabled`.

use super::ast::{Expr, Op, Part};
use super::eval::Outcome;
use super::operate::{binary, negate};
use super::value::Value;

/// The condition, whose variables have been looked up, on one row.
pub(crate) fn holds(expr: &Expr, property: &dyn Fn(&str) -> Value) -> Outcome {
    match expr {
        Expr::Word(name) => Ok(property(name)),
        Expr::Num(number) => Ok(Value::Num(*number)),
        Expr::Not(inner) => match holds(inner, property)? {
            // A property that is not set is not true (I).
            Value::Nothing => Ok(Value::Bool(true)),
            value => negate(&value),
        },
        Expr::Any(inner) => {
            let value = holds(inner, property)?;
            Ok(Value::Bool(!matches!(value, Value::Nothing) && value.len() > 0))
        }
        Expr::Binary(op, left, right) => {
            let left = holds(left, property)?;
            // On the right a bare word is a text: `type=file`.
            let right = match &**right {
                Expr::Word(word) if !matches!(op, Op::And | Op::Or) => Value::text(word.as_str()),
                other => holds(other, property)?,
            };
            match op {
                // `where comment=""` finds what has no comment (C).
                Op::Eq | Op::Ne if left == Value::Nothing && right == Value::Str(Vec::new()) => {
                    Ok(Value::Bool(*op == Op::Eq))
                }
                Op::And | Op::Or => binary(*op, &known(left), &known(right)),
                _ => binary(*op, &left, &right),
            }
        }
        Expr::Text(parts) => Ok(Value::Str(
            parts
                .iter()
                .filter_map(|part| if let Part::Bytes(bytes) = part { Some(bytes.clone()) } else { None })
                .flatten()
                .collect(),
        )),
        Expr::Var(_) | Expr::Run(_) | Expr::Block(_) | Expr::Array(_) | Expr::Neg(_) | Expr::Invert(_) => {
            Ok(Value::Nothing)
        }
    }
}

fn known(value: Value) -> Value {
    if matches!(value, Value::Nothing) { Value::Bool(false) } else { value }
}

/// The text a row's property must equal for all conditions to hold, where they say so: it leads to an index. Texts that
/// read as numbers, times or booleans equal more than themselves and do not.
pub(crate) fn wanted(conditions: &[Expr], name: &str) -> Option<Vec<u8>> {
    conditions.iter().find_map(|condition| wanted_by(condition, name))
}

fn wanted_by(condition: &Expr, name: &str) -> Option<Vec<u8>> {
    let Expr::Binary(op, left, right) = condition else {
        return None;
    };
    match op {
        Op::And => wanted_by(left, name).or_else(|| wanted_by(right, name)),
        Op::Eq if **left == Expr::Word(name.to_owned()) => {
            let text = match &**right {
                Expr::Word(word) => word.clone().into_bytes(),
                Expr::Text(parts) => match parts.as_slice() {
                    [Part::Bytes(bytes)] => bytes.clone(),
                    _ => return None,
                },
                _ => return None,
            };
            let value = Value::Str(text.clone());
            let exact = value.number().is_none() && value.truth().is_none() && value.span().is_none();
            (exact && !text.is_empty()).then_some(text)
        }
        _ => None,
    }
}
