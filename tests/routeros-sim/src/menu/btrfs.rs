//! `/disk/btrfs/subvolume` and `/disk/btrfs/filesystem`.

use super::selection::{ids, indexed, machine_readable, matching, property, targets};
use super::{Call, print};
use crate::appliance::{Row, id_text, text};
use crate::language::eval::{Failure, Outcome};
use crate::language::value::Value;

pub(super) fn subvolumes(verb: &str, call: &mut Call<'_, '_>) -> Outcome {
    match verb {
        "find" => Ok(ids(&rows(call)?)),
        "print" => {
            let rows = rows(call)?;
            if let Some(value) = machine_readable(call, &rows) {
                return Ok(value);
            }
            print::subvolumes(&rows, call.arguments.has("detail"), call.width, call.output);
            Ok(Value::Nothing)
        }
        "get" => {
            let id = resolved(call)?.first().copied();
            let row = id.and_then(|id| call.appliance.subvolume_row(id)).ok_or("no such item")?;
            property(call, &row, 1)
        }
        "add" => {
            let id = call.appliance.add_subvolume(&properties(call)?)?;
            call.done.changed = true;
            Ok(Value::text(id_text(id)))
        }
        "set" => {
            for id in resolved(call)? {
                call.appliance.set_subvolume(id, properties(call)?)?;
                call.done.changed = true;
            }
            Ok(Value::Nothing)
        }
        _ => {
            for id in resolved(call)? {
                call.appliance.remove_subvolume(id)?;
                call.done.changed = true;
            }
            Ok(Value::Nothing)
        }
    }
}

fn rows(call: &mut Call<'_, '_>) -> Result<Vec<(usize, Row)>, Failure> {
    let ids = match indexed(call, &["fullname", "name"]) {
        Some((name, text)) => call.appliance.subvolumes.with(name, &text),
        None => call.appliance.subvolumes.ids(),
    };
    let appliance = &call.appliance;
    let rows: Vec<Row> = ids.into_iter().filter_map(|id| appliance.subvolume_row(id)).collect();
    matching(call, rows.into_iter().enumerate())
}

fn resolved(call: &Call<'_, '_>) -> Result<Vec<u64>, Failure> {
    let table = &call.appliance.subvolumes;
    let one = |target: &String| {
        table
            .resolve(target, "name")
            .or_else(|| table.resolve(target, "fullname"))
            .ok_or_else(|| "no such item".into())
    };
    targets(call).iter().map(one).collect()
}

fn properties(call: &Call<'_, '_>) -> Result<Row, Failure> {
    let mut row = Row::new();
    for (name, value) in call.arguments.named.iter().filter(|(name, _)| name != "numbers") {
        let value = match (name.as_str(), value.truth()) {
            ("read-only" | "mount", Some(truth)) => Value::Bool(truth),
            ("read-only" | "mount", None) => {
                return Failure::new(format!("invalid value for argument {name}"));
            }
            _ => Value::Str(value.bytes()),
        };
        row.insert(name.clone(), value);
    }
    Ok(row)
}

pub(super) fn filesystems(verb: &str, call: &mut Call<'_, '_>) -> Outcome {
    let all = call.appliance.filesystems();
    match verb {
        "find" => Ok(ids(&matching(call, all.into_iter().enumerate())?)),
        "print" => {
            let rows = matching(call, all.into_iter().enumerate())?;
            if let Some(value) = machine_readable(call, &rows) {
                return Ok(value);
            }
            print::table(&["label", "default-subvolume", "uuid", "devs"], &rows, call.output);
            Ok(Value::Nothing)
        }
        _ => {
            let wanted = targets(call);
            let is =
                |row: &&Row, target: &String| text(row, ".id") == *target || text(row, "label") == *target;
            let chosen: Option<Vec<&Row>> =
                wanted.iter().map(|target| all.iter().find(|row| is(row, target))).collect();
            let chosen = chosen.ok_or("no such item")?;
            if verb == "get" {
                let row = chosen.first().ok_or("no such item")?;
                return property(call, row, 1);
            }
            for row in chosen {
                if let Some(label) = call.arguments.named("label").map(Value::lossy) {
                    call.appliance.set_label(&text(row, "devs"), &label);
                    call.done.changed = true;
                }
            }
            Ok(Value::Nothing)
        }
    }
}
