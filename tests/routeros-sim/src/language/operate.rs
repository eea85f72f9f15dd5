//! Operators.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::ast::Op;
use super::eval::{Failure, Outcome};
use super::span::Span;
use super::value::Value;

/// Longest text a script may build: a loop that doubles must not eat the machine (I: a device ends such scripts too).
pub(crate) const MAX_TEXT: usize = 32 << 20;

pub(super) fn negate(value: &Value) -> Outcome {
    match value.truth() {
        Some(truth) => Ok(Value::Bool(!truth)),
        None => Failure::new(format!("cannot negate {}", value.type_name())),
    }
}

pub(super) fn minus(value: &Value) -> Outcome {
    let negative = match value {
        Value::Time(span) => span.0.checked_neg().map(|time| Value::Time(Span(time))),
        other => other.number().and_then(i64::checked_neg).map(Value::Num),
    };
    negative.map_or_else(|| Failure::new(format!("cannot negate {}", value.type_name())), Ok)
}

pub(super) fn invert(value: &Value) -> Outcome {
    match value.number() {
        Some(number) => Ok(Value::Num(!number)),
        None => Failure::new(format!("cannot invert {}", value.type_name())),
    }
}

pub(super) fn binary(op: Op, left: &Value, right: &Value) -> Outcome {
    let compare = |holds: fn(std::cmp::Ordering) -> bool| match left.order(right) {
        Some(order) => Ok(Value::Bool(holds(order))),
        None => Failure::new(format!("cannot compare {} with {}", left.type_name(), right.type_name())),
    };
    let logic = |apply: fn(bool, bool) -> bool| match (left.truth(), right.truth()) {
        (Some(a), Some(b)) => Ok(Value::Bool(apply(a, b))),
        _ => Failure::new(format!("conditional not boolean: {} and {}", left.type_name(), right.type_name())),
    };
    match op {
        Op::Concat => concat(left, right),
        Op::Join => join(left, right),
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Rem => calculate(op, left, right),
        Op::BitAnd | Op::BitOr | Op::BitXor | Op::Left | Op::Right => bits(op, left, right),
        Op::And => logic(|a, b| a && b),
        Op::Or => logic(|a, b| a || b),
        Op::Eq => Ok(Value::Bool(left.same(right))),
        Op::Ne => Ok(Value::Bool(!left.same(right))),
        Op::Lt => compare(|order| order == Less),
        Op::Gt => compare(|order| order == Greater),
        Op::Le => compare(|order| matches!(order, Less | Equal)),
        Op::Ge => compare(|order| matches!(order, Greater | Equal)),
        Op::Index => Ok(index(left, right)),
        Op::Match => matches_text(left, right),
        Op::In => within(left, right),
    }
}

fn calculate(op: Op, left: &Value, right: &Value) -> Outcome {
    let timed = matches!(left, Value::Time(_)) || matches!(right, Value::Time(_));
    let result = if timed { of_times(op, left, right) } else { of_numbers(op, left, right) };
    match result {
        Some(Some(value)) => Ok(value),
        Some(None) => Failure::new("division by zero or overflow"),
        None => Failure::new(format!("cannot compute with {} and {}", left.type_name(), right.type_name())),
    }
}

/// The outer `None`: not of these types. The inner: no result.
fn of_numbers(op: Op, left: &Value, right: &Value) -> Option<Option<Value>> {
    let (a, b) = (left.number()?, right.number()?);
    let result = match op {
        Op::Add => a.checked_add(b),
        Op::Sub => a.checked_sub(b),
        Op::Mul => a.checked_mul(b),
        Op::Div => a.checked_div(b),
        _ => a.checked_rem(b),
    };
    Some(result.map(Value::Num))
}

/// `3ms + 5s`, `15h - 2s`, `12s * 4`, `10s / 3` (D).
fn of_times(op: Op, left: &Value, right: &Value) -> Option<Option<Value>> {
    let result = match op {
        Op::Add => left.span()?.0.checked_add(right.span()?.0),
        Op::Sub => left.span()?.0.checked_sub(right.span()?.0),
        Op::Mul => left.span()?.0.checked_mul(right.number()?),
        Op::Div => left.span()?.0.checked_div(right.number()?),
        _ => return None,
    };
    Some(result.map(|time| Value::Time(Span(time))))
}

fn bits(op: Op, left: &Value, right: &Value) -> Outcome {
    let (Some(a), Some(b)) = (left.number(), right.number()) else {
        return Failure::new(format!("cannot compute with {} and {}", left.type_name(), right.type_name()));
    };
    let shift = u32::try_from(b).ok();
    let result = match op {
        Op::BitAnd => Some(a & b),
        Op::BitOr => Some(a | b),
        Op::BitXor => Some(a ^ b),
        Op::Left => shift.and_then(|by| a.checked_shl(by)),
        _ => shift.and_then(|by| a.checked_shr(by)),
    };
    result.map_or_else(|| Failure::new("division by zero or overflow"), |number| Ok(Value::Num(number)))
}

fn concat(left: &Value, right: &Value) -> Outcome {
    let (mut left, right) = (left.bytes(), right.bytes());
    if left.len() + right.len() > MAX_TEXT {
        return Failure::new("failure: out of memory");
    }
    left.extend_from_slice(&right);
    Ok(Value::Str(left))
}

/// `,` puts lists together; what is no list is a list of one (D).
fn join(left: &Value, right: &Value) -> Outcome {
    let mut items = match left {
        Value::Array(items) => items.as_ref().clone(),
        Value::Nothing => Vec::new(),
        single => vec![(None, single.clone())],
    };
    match right {
        Value::Array(more) => items.extend(more.iter().cloned()),
        single => items.push((None, single.clone())),
    }
    Ok(Value::array(items))
}

/// `$a->0`, `$a->"key"`; what is not there is nothing.
fn index(array: &Value, key: &Value) -> Value {
    let Value::Array(items) = array else {
        return Value::Nothing;
    };
    position(items, key).and_then(|at| items.get(at)).map_or(Value::Nothing, |(_, item)| item.clone())
}

fn position(items: &[(Option<String>, Value)], key: &Value) -> Option<usize> {
    match key {
        Value::Num(at) => usize::try_from(*at).ok().filter(|at| *at < items.len()),
        other => {
            let wanted = other.bytes();
            items.iter().position(|(name, _)| name.as_ref().is_some_and(|name| name.as_bytes() == wanted))
        }
    }
}

/// `:set ($a->"key") value`: an element that is not there is made. Gives what was there before.
pub(super) fn put(array: &mut Value, key: &Value, value: Value) -> Outcome {
    if matches!(array, Value::Nothing) {
        *array = Value::array(Vec::new());
    }
    let Value::Array(items) = array else {
        return Failure::new(format!("cannot set an element of {}", array.type_name()));
    };
    let items = Arc::make_mut(items);
    match (position(items, key), key) {
        (Some(at), _) => return Ok(std::mem::replace(&mut items[at].1, value)),
        (None, Value::Num(at)) if usize::try_from(*at) == Ok(items.len()) => items.push((None, value)),
        (None, Value::Num(_)) => return Failure::new("no such element"),
        (None, key) => items.push((Some(key.lossy()), value)),
    }
    Ok(Value::Nothing)
}

/// `~` with a text that holds no pattern is a search for it. Patterns are not simulated: a wrong reading of one would
/// be worse than none.
fn matches_text(left: &Value, right: &Value) -> Outcome {
    let (text, wanted) = (left.bytes(), right.bytes());
    if wanted.iter().any(|byte| b"\\^$.[]|()*+?{}".contains(byte)) {
        return Failure::new(
            "failure: the simulator matches plain texts only with ~, no patterns; compare with =",
        );
    }
    Ok(Value::Bool(wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted)))
}

/// `10.0.0.1 in 10.0.0.0/8` (D).
fn within(left: &Value, right: &Value) -> Outcome {
    let network = |value: &Value| -> Option<(u32, u32)> {
        let text = value.lossy();
        let (address, length) = text.split_once('/').unwrap_or((&text, "32"));
        let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
        Some((address.parse::<Ipv4Addr>().ok()?.to_bits(), length))
    };
    let (Some((inner, long)), Some((outer, short))) = (network(left), network(right)) else {
        return Failure::new("value of in must be an address");
    };
    let mask = u32::MAX.checked_shl(32 - short).unwrap_or(0);
    Ok(Value::Bool(long >= short && inner & mask == outer & mask))
}
