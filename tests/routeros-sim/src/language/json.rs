//! `:serialize to=json`.

use super::value::Value;

/// The value as JSON. With `json.no-string-conversion` texts stay texts; without it a text that looks like a number
/// or a boolean becomes one (D).
pub(crate) fn serialize(value: &Value, keep_strings: bool) -> Vec<u8> {
    to_json(value, keep_strings).to_string().into_bytes()
}

fn to_json(value: &Value, keep_strings: bool) -> serde_json::Value {
    match value {
        Value::Nothing => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Num(value) => (*value).into(),
        Value::Str(_) if keep_strings => value.lossy().into(),
        Value::Str(_) => match (value.number(), value.lossy().as_str()) {
            (Some(number), _) => number.into(),
            (None, "true") => true.into(),
            (None, "false") => false.into(),
            (None, text) => text.into(),
        },
        // A list is an array, anything with a key is an object (C).
        Value::Array(items) if items.iter().all(|(key, _)| key.is_none()) => {
            items.iter().map(|(_, item)| to_json(item, keep_strings)).collect()
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, (key, item))| {
                (key.clone().unwrap_or_else(|| at.to_string()), to_json(item, keep_strings))
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
