//! `:serialize to=json` and `:deserialize from=json`.

use std::collections::BTreeMap;

use super::eval::{Failure, Outcome};
use super::operate::MAX_TEXT;
use super::value::Value;

/// The value as JSON. With `json.no-string-conversion` texts stay texts; without it a text that looks like a number
/// or a boolean becomes one (D). A time is a text (I).
pub(crate) fn serialize(value: &Value, keep_strings: bool) -> Result<Vec<u8>, Failure> {
    let mut output = Vec::new();
    write(value, keep_strings, &mut output)?;
    Ok(output)
}

fn write(value: &Value, keep: bool, output: &mut Vec<u8>) -> Result<(), Failure> {
    match value {
        Value::Nothing => output.extend(b"null"),
        Value::Bool(_) | Value::Num(_) => output.extend(value.bytes()),
        Value::Time(span) => text(&span.to_string(), output),
        Value::Str(bytes)
            if !keep && (value.number().is_some() || matches!(&**bytes, b"true" | b"false")) =>
        {
            match value.number() {
                Some(number) => output.extend(number.to_string().bytes()),
                None => output.extend(bytes),
            }
        }
        Value::Str(bytes) => text(&String::from_utf8_lossy(bytes), output),
        // A list is an array, anything with a key is an object (C), its keys in order (I).
        Value::Array(items) if items.iter().all(|(key, _)| key.is_none()) => {
            output.push(b'[');
            for (at, (_, item)) in items.iter().enumerate() {
                if at > 0 {
                    output.push(b',');
                }
                write(item, keep, output)?;
            }
            output.push(b']');
        }
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            let keyed: BTreeMap<String, &Value> = numbered
                .map(|(at, (key, item))| (key.clone().unwrap_or_else(|| at.to_string()), item))
                .collect();
            output.push(b'{');
            for (at, (key, item)) in keyed.into_iter().enumerate() {
                if at > 0 {
                    output.push(b',');
                }
                text(&key, output);
                output.push(b':');
                write(item, keep, output)?;
            }
            output.push(b'}');
        }
    }
    if output.len() > MAX_TEXT { Failure::new("failure: out of memory") } else { Ok(()) }
}

fn text(text: &str, output: &mut Vec<u8>) {
    output.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => output.extend([b'\\', byte]),
            b'\n' => output.extend(b"\\n"),
            b'\r' => output.extend(b"\\r"),
            b'\t' => output.extend(b"\\t"),
            8 => output.extend(b"\\b"),
            12 => output.extend(b"\\f"),
            0..=31 => output.extend(format!("\\u{byte:04x}").bytes()),
            _ => output.push(byte),
        }
    }
    output.push(b'"');
}

/// JSON as a value. Fractions stay texts: the language has none (D).
pub(crate) fn deserialize(source: &[u8], keep_strings: bool) -> Outcome {
    match serde_json::from_slice(source) {
        Ok(json) => Ok(value(json, keep_strings)),
        Err(_) => Failure::new("failure: invalid json"),
    }
}

fn value(json: serde_json::Value, keep: bool) -> Value {
    match json {
        serde_json::Value::Null => Value::Nothing,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::text(number.to_string()), Value::Num)
        }
        serde_json::Value::String(text) => {
            let converted = text.parse().ok().filter(|_| !keep).map(Value::Num);
            converted.unwrap_or_else(|| Value::text(text))
        }
        serde_json::Value::Array(items) => Value::list(items.into_iter().map(|item| value(item, keep))),
        serde_json::Value::Object(items) => {
            Value::array(items.into_iter().map(|(key, item)| (Some(key), value(item, keep))).collect())
        }
    }
}
