//! Which rows a command means, and how its answer is given: as values, as a number, or for people.

use super::{Call, as_value};
use crate::appliance::Row;
use crate::language::condition::wanted;
use crate::language::eval::{Failure, Outcome};
use crate::language::value::Value;

/// The rows among `rows` that meet the conditions, each with its number in the whole menu.
pub(super) fn matching(
    call: &mut Call<'_, '_>,
    rows: impl Iterator<Item = (usize, Row)>,
) -> Result<Vec<(usize, Row)>, Failure> {
    let mut found = Vec::new();
    for (number, row) in rows {
        let property = |name: &str| row.get(name).cloned().unwrap_or(Value::Nothing);
        let mut all = true;
        for condition in &call.arguments.conditions {
            all &= (call.holds)(condition, &property)?.truth().unwrap_or(false);
        }
        if all {
            found.push((number, row));
        }
    }
    Ok(found)
}

/// The text that one of these indexed properties must have, so that not every row need be looked at.
pub(super) fn indexed(call: &Call<'_, '_>, names: &[&'static str]) -> Option<(&'static str, Vec<u8>)> {
    names.iter().find_map(|name| Some((*name, wanted(&call.arguments.conditions, name)?)))
}

pub(super) fn ids(rows: &[(usize, Row)]) -> Value {
    Value::list(rows.iter().filter_map(|(_, row)| row.get(".id").cloned()))
}

/// `as-value` and `count-only`; anything else is for people, and the caller's affair.
pub(super) fn machine_readable(call: &mut Call<'_, '_>, rows: &[(usize, Row)]) -> Option<Value> {
    if call.arguments.has("count-only") {
        // Standing alone it prints the number; in brackets it is the value (I).
        if !call.arguments.nested {
            call.output.extend(format!("{}\r\n", rows.len()).bytes());
        }
        return Some(Value::Num(rows.len() as i64));
    }
    if !call.arguments.has("as-value") {
        return None;
    }
    let list = call.arguments.named("proplist");
    let only = list.map(|list| list.lossy().split(',').map(str::to_owned).collect::<Vec<_>>());
    Some(Value::list(rows.iter().map(|(_, row)| as_value(row, only.as_deref()))))
}

/// What the first argument names: an id, a name, or a list of them.
pub(super) fn targets(call: &Call<'_, '_>) -> Vec<String> {
    let named = call.arguments.named("numbers").or_else(|| call.arguments.named("number"));
    let flag = |value: &&Value| !matches!(value, Value::Str(text) if text == b"once" || text == b"as-value");
    match call.arguments.positional.iter().find(flag).or(named) {
        Some(Value::Array(items)) => items.iter().map(|(_, item)| item.lossy()).collect(),
        Some(Value::Nothing) | None => Vec::new(),
        // `*1,*2`; a name may hold a comma.
        Some(single) => match single.lossy() {
            text if text.split(',').all(|part| part.starts_with('*')) => {
                text.split(',').map(str::to_owned).collect()
            }
            text => vec![text],
        },
    }
}

/// One property of a row, or all of it.
pub(super) fn property(call: &Call<'_, '_>, row: &Row, index: usize) -> Outcome {
    match call.arguments.positional.get(index).or_else(|| call.arguments.named("value-name")) {
        Some(name) => Ok(row.get(&name.lossy()).cloned().unwrap_or(Value::Nothing)),
        None => Ok(as_value(row, None)),
    }
}
