//! Commands that turn one value into another.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Given, optional};
use crate::language::eval::{Machine, Outcome};
use crate::language::span::Span;
use crate::language::value::Value;

pub(super) fn run(machine: &mut Machine<'_>, name: &str, given: &Given<'_>) -> Outcome {
    let value = optional(machine, given.at(0))?;
    Ok(match name {
        "len" => Value::Num(value.len() as i64),
        "typeof" => Value::text(value.type_name()),
        "tostr" => Value::Str(value.bytes()),
        // Of a time it is the seconds (C: users turn `:timestamp` into Unix time that way).
        "tonum" => match value {
            Value::Time(span) => Value::Num(span.whole_seconds()),
            other => other.number().map_or(Value::Nothing, Value::Num),
        },
        // A number is seconds, a text is read as a time (D).
        "totime" => match &value {
            Value::Num(seconds) => Span::seconds(*seconds).map_or(Value::Nothing, Value::Time),
            other => other.span().map_or(Value::Nothing, Value::Time),
        },
        // Time since 1970, as a time (C).
        "timestamp" => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            Value::Time(Span(i64::try_from(since.as_millis()).unwrap_or(0)))
        }
        "tobool" => match &value {
            Value::Num(number) => Value::Bool(*number != 0),
            other => other.truth().map_or(Value::Nothing, Value::Bool),
        },
        // There is no type for addresses here: they stay texts (I).
        "toip" => match value.lossy().parse::<Ipv4Addr>() {
            Ok(address) => Value::text(address.to_string()),
            Err(_) => Value::Nothing,
        },
        "toarray" => match value {
            Value::Array(items) => Value::Array(items),
            other if other.len() == 0 => Value::list([]),
            other => Value::list(other.lossy().split(',').map(Value::text)),
        },
        "pick" => pick(machine, &value, given)?,
        "find" => {
            let wanted = optional(machine, given.at(1))?.bytes();
            let from = optional(machine, given.either(2, "from"))?.number();
            find(
                &value,
                &wanted,
                from.and_then(|from| usize::try_from(from.checked_add(1)?).ok()).unwrap_or(0),
            )
        }
        _ => Value::Nothing,
    })
}

/// `[:pick $text start end]`: past the end there is simply less.
fn pick(machine: &mut Machine<'_>, value: &Value, given: &Given<'_>) -> Outcome {
    let index = |value: Value| value.number().and_then(|n| usize::try_from(n).ok());
    let start = index(optional(machine, given.either(1, "begin"))?).unwrap_or(0);
    let end = match optional(machine, given.either(2, "end"))? {
        Value::Nothing => start.saturating_add(1),
        end => index(end).unwrap_or(0),
    };
    let clamp = |length: usize| start.min(length)..end.clamp(start.min(length), length);
    Ok(match value {
        Value::Array(items) => Value::array(items[clamp(items.len())].to_vec()),
        Value::Str(bytes) => Value::Str(bytes[clamp(bytes.len())].to_vec()),
        other => {
            let bytes = other.bytes();
            Value::Str(bytes[clamp(bytes.len())].to_vec())
        }
    })
}

fn find(value: &Value, wanted: &[u8], from: usize) -> Value {
    let found = match value {
        Value::Array(items) => items.iter().skip(from).position(|(_, item)| item.bytes() == wanted),
        other => {
            let bytes = other.bytes();
            let rest = bytes.get(from..).unwrap_or_default();
            if wanted.is_empty() {
                None
            } else {
                rest.windows(wanted.len()).position(|window| window == wanted)
            }
        }
    };
    found.map_or(Value::Nothing, |at| Value::Num((from + at) as i64))
}
