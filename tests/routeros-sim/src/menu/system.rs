//! `/system/resource`, `/system/identity`, `/system/device-mode` and `/system/health`.

use super::selection::{ids, machine_readable, matching, property, targets};
use super::{Call, as_value, print};
use crate::appliance::{Appliance, Row, text};
use crate::language::eval::Outcome;
use crate::language::span::Span;
use crate::language::value::Value;

pub(super) fn run(menu: &str, verb: &str, call: &mut Call<'_, '_>) -> Outcome {
    if menu == "health" {
        return health(verb, call);
    }
    let row = call.appliance.system(menu);
    match verb {
        "get" => property(call, &row, 0),
        _ if call.arguments.has("as-value") => Ok(as_value(&row, None)),
        _ => {
            print::properties(&row, call.output);
            Ok(Value::Nothing)
        }
    }
}

/// Sensors as rows of name, value and type (D).
fn health(verb: &str, call: &mut Call<'_, '_>) -> Outcome {
    const SENSORS: [(&str, &str, &str); 7] = [
        ("cpu-temperature", "47", "C"),
        ("board-temperature1", "38", "C"),
        ("fan1-speed", "4920", "RPM"),
        ("fan2-speed", "4860", "RPM"),
        ("psu1-state", "ok", ""),
        ("psu2-state", "ok", ""),
        ("power-consumption", "86.4", "W"),
    ];
    let row = |(at, (name, value, kind)): (usize, (&str, &str, &str))| {
        let texts =
            [(".id", format!("*{:X}", at + 1)), ("name", name.to_owned()), ("value", value.to_owned())];
        let mut row: Row = texts.into_iter().map(|(key, text)| (key.to_owned(), Value::text(text))).collect();
        row.insert("type".to_owned(), Value::text(kind));
        row
    };
    let all: Vec<Row> = SENSORS.into_iter().enumerate().map(row).collect();
    if verb == "get" {
        let target = targets(call).into_iter().next().unwrap_or_default();
        let found = all.iter().find(|row| text(row, "name") == target || text(row, ".id") == target);
        return property(call, found.ok_or("no such item")?, 1);
    }
    let rows = matching(call, all.into_iter().enumerate())?;
    if verb == "find" {
        return Ok(ids(&rows));
    }
    if let Some(value) = machine_readable(call, &rows) {
        return Ok(value);
    }
    print::table(&["name", "value", "type"], &rows, call.output);
    Ok(Value::Nothing)
}

impl Appliance {
    fn system(&self, menu: &str) -> Row {
        let texts: &[(&str, &str)] = match menu {
            "resource" => &[
                ("version", &self.version),
                ("cpu", "ARM64"),
                ("architecture-name", "arm64"),
                ("board-name", "RDS2216"),
                ("platform", "MikroTik"),
            ],
            "identity" => &[("name", &self.identity)],
            _ => &[("mode", "advanced")],
        };
        let mut row: Row = texts.iter().map(|(key, text)| ((*key).to_owned(), Value::text(*text))).collect();
        match menu {
            "resource" => {
                let uptime = i64::try_from(self.uptime()).ok().and_then(Span::seconds);
                row.insert("uptime".to_owned(), uptime.map_or(Value::Nothing, Value::Time));
                row.insert("cpu-count".to_owned(), Value::Num(16));
                row.insert("cpu-load".to_owned(), Value::Num(3));
                row.insert("free-memory".to_owned(), Value::Num(32_000_000_000));
                row.insert("total-memory".to_owned(), Value::Num(34_359_738_368));
            }
            "device-mode" => {
                row.insert("flagged".to_owned(), Value::Bool(self.flagged));
            }
            _ => {}
        }
        row
    }
}
