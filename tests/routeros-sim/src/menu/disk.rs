//! `/disk`.

use super::selection::{ids, indexed, machine_readable, matching, property, targets};
use super::{Call, as_value, print, spec};
use crate::appliance::{Row, text};
use crate::language::eval::{Failure, Outcome};
use crate::language::value::Value;

pub(super) fn run(verb: &str, call: &mut Call<'_, '_>) -> Outcome {
    match verb {
        "find" => Ok(ids(&rows(call)?)),
        "print" => {
            let rows = rows(call)?;
            if let Some(value) = machine_readable(call, &rows) {
                return Ok(value);
            }
            print::disks(&rows, call.arguments.has("detail"), call.width, call.output);
            Ok(Value::Nothing)
        }
        "get" => {
            let row = one(call)?;
            property(call, &row, 1)
        }
        "add" => {
            let properties = properties(call)?;
            if text(&properties, "type") == "file" && !spec::knows_file_disks(&call.appliance.version) {
                return Failure::new("input does not match any value of type");
            }
            let added = call.appliance.add(properties)?;
            call.done.changed = true;
            Ok(Value::text(crate::appliance::id_text(added)))
        }
        // On an empty list both succeed and do nothing (M).
        "set" => {
            for id in resolved(call)? {
                let properties = properties(call)?;
                call.appliance.set(id, properties)?;
                call.done.changed = true;
            }
            Ok(Value::Nothing)
        }
        "remove" => {
            for id in resolved(call)? {
                call.appliance.remove(id)?;
                call.done.changed = true;
            }
            Ok(Value::Nothing)
        }
        "trim" => resolved(call).map(|_| Value::Nothing),
        "smart-info" => {
            let rows: Vec<(usize, Row)> = smart(&one(call)?)?.into_iter().enumerate().collect();
            if let Some(value) = machine_readable(call, &rows) {
                return Ok(value);
            }
            print::lines("output", &rows, call.output);
            Ok(Value::Nothing)
        }
        _ => {
            let row = traffic(&one(call)?);
            if call.arguments.has("as-value") {
                return Ok(Value::list([as_value(&row, None)]));
            }
            print::properties(&row, call.output);
            Ok(Value::Nothing)
        }
    }
}

fn rows(call: &mut Call<'_, '_>) -> Result<Vec<(usize, Row)>, Failure> {
    let disks = &call.appliance.disks;
    let ids = match indexed(call, &["slot", "file-path", "nvme-tcp-server-nqn"]) {
        Some((name, text)) => disks.with(name, &text),
        None => disks.ids(),
    };
    // Numbers are those of the whole menu, also of a filtered print (C). Counting them is only needed for people.
    let counted = !call.arguments.has("as-value") && ids.len() < disks.len();
    let number = |at: usize, id: u64| if counted { disks.position(id) } else { at };
    let numbered: Vec<(usize, u64)> =
        ids.into_iter().enumerate().map(|(at, id)| (number(at, id), id)).collect();
    let rows: Vec<(usize, Row)> =
        numbered.into_iter().filter_map(|(number, id)| Some((number, call.appliance.row(id)?))).collect();
    matching(call, rows.into_iter())
}

fn one(call: &Call<'_, '_>) -> Result<Row, Failure> {
    let id = resolved(call)?.first().copied();
    id.and_then(|id| call.appliance.row(id)).ok_or_else(|| "no such item".into())
}

fn resolved(call: &Call<'_, '_>) -> Result<Vec<u64>, Failure> {
    let one =
        |target: &String| call.appliance.disks.resolve(target, "slot").ok_or_else(|| "no such item".into());
    targets(call).iter().map(one).collect()
}

fn properties(call: &Call<'_, '_>) -> Result<Row, Failure> {
    let mut row = Row::new();
    for (name, value) in
        call.arguments.named.iter().filter(|(name, _)| name != "numbers" && name != "copy-from")
    {
        let value = match name.as_str() {
            "nvme-tcp-export" | "mount-filesystem" | "mount-read-only" | "compress" | "disabled" => {
                match value.truth() {
                    Some(truth) => Value::Bool(truth),
                    None => return Failure::new(format!("invalid value for argument {name}")),
                }
            }
            "file-size" | "file-offset" => match bytes(value) {
                Some(bytes) => Value::Num(bytes),
                None => return Failure::new(format!("invalid value for argument {name}")),
            },
            "nvme-tcp-server-port" => match value.number() {
                Some(port @ 1..=65_535) => Value::Num(port),
                _ => return Failure::new(format!("invalid value for argument {name}")),
            },
            _ => Value::Str(value.bytes()),
        };
        row.insert(name.clone(), value);
    }
    copied(call, row)
}

/// `copy-from=` takes the properties of another row, never its data (D).
fn copied(call: &Call<'_, '_>, given: Row) -> Result<Row, Failure> {
    let Some(source) = call.arguments.named("copy-from") else { return Ok(given) };
    let source = call.appliance.disks.resolve(&source.lossy(), "slot");
    let source = source.and_then(|id| call.appliance.disks.get(id));
    let mut row = source.ok_or("no such item")?.clone();
    row.extend(given);
    Ok(row)
}

/// `1073741824`, `10G` (C: drivers in the field write sizes so; binary units).
fn bytes(value: &Value) -> Option<i64> {
    let text = value.lossy();
    let (digits, shift) = match text.chars().last()? {
        'K' | 'k' => (&text[..text.len() - 1], 10),
        'M' => (&text[..text.len() - 1], 20),
        'G' => (&text[..text.len() - 1], 30),
        'T' => (&text[..text.len() - 1], 40),
        _ => (text.as_str(), 0),
    };
    digits.parse::<i64>().ok()?.checked_mul(1 << shift)
}

/// Nothing flows in a simulator (D: the names; bits per second).
fn traffic(row: &Row) -> Row {
    let mut seen = Row::from([("slot".to_owned(), Value::text(text(row, "slot")))]);
    let rates = [
        "io-ops",
        "io-errors",
        "read-bytes",
        "read-rate",
        "read-ops-per-second",
        "write-bytes",
        "write-rate",
        "write-ops-per-second",
        "in-flight-ops",
    ];
    seen.extend(rates.map(|name| (name.to_owned(), Value::Num(0))));
    seen
}

/// Lines of a report, each a row with `output` (D). The lines are ours.
fn smart(row: &Row) -> Result<Vec<Row>, Failure> {
    if text(row, "type") != "hardware" {
        return Failure::new("failure: no S.M.A.R.T. data");
    }
    let lines = [
        format!("Model Number: {}", text(row, "model")),
        format!("Serial Number: {}", text(row, "serial")),
        "SMART overall-health self-assessment test result: PASSED".to_owned(),
        format!("Temperature: {} Celsius", text(row, "temperature")),
        "Percentage Used: 1%".to_owned(),
    ];
    Ok(lines.into_iter().map(|line| Row::from([("output".to_owned(), Value::text(line))])).collect())
}
