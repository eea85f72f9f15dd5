//! `/disk`.

use super::{as_value, has_flag, print};
use crate::appliance::{Appliance, Row};
use crate::language::eval::{Arguments, Failure, Holds, Outcome};
use crate::language::value::Value;

pub(super) fn run(
    appliance: &mut Appliance,
    verb: &str,
    arguments: Arguments,
    holds: &mut Holds<'_>,
    output: &mut Vec<u8>,
) -> Outcome {
    match verb {
        "find" => {
            let rows = matching(appliance, &arguments, holds)?;
            Ok(Value::list(rows.iter().filter_map(|row| row.get(".id").cloned())))
        }
        "print" => {
            let rows = matching(appliance, &arguments, holds)?;
            if has_flag(&arguments, "as-value") {
                let only = named(&arguments, "proplist")
                    .map(|list| list.lossy().split(',').map(str::to_owned).collect::<Vec<_>>());
                return Ok(Value::list(rows.iter().map(|row| as_value(row, only.as_deref()))));
            }
            print::disks(&rows, output);
            Ok(Value::Nothing)
        }
        "get" => {
            let row = one(appliance, &arguments)?;
            match arguments.positional.get(1).or_else(|| named(&arguments, "value-name")) {
                Some(name) => Ok(row.get(&name.lossy()).cloned().unwrap_or(Value::Nothing)),
                None => Ok(as_value(&row, None)),
            }
        }
        "add" => {
            let added = appliance.add(properties(arguments)?).map_err(Failure)?;
            Ok(Value::text(format!("*{added:X}")))
        }
        // On an empty list both succeed and do nothing (M).
        "set" => {
            for id in targets(appliance, &arguments)? {
                appliance.set(id, properties(arguments.clone())?).map_err(Failure)?;
            }
            Ok(Value::Nothing)
        }
        _ => {
            for id in targets(appliance, &arguments)? {
                appliance.remove(id).map_err(Failure)?;
            }
            Ok(Value::Nothing)
        }
    }
}

fn named<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a Value> {
    arguments.named.iter().find(|(given, _)| given == name).map(|(_, value)| value)
}

fn matching(
    appliance: &Appliance,
    arguments: &Arguments,
    holds: &mut Holds<'_>,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for row in appliance.ids().into_iter().filter_map(|id| appliance.row(id)) {
        let property = |name: &str| row.get(name).cloned().unwrap_or(Value::Nothing);
        let mut all = true;
        for condition in &arguments.conditions {
            all &= holds(condition, &property)?.truth().unwrap_or(false);
        }
        if all {
            rows.push(row);
        }
    }
    Ok(rows)
}

fn one(appliance: &Appliance, arguments: &Arguments) -> Result<Row, Failure> {
    let ids = targets(appliance, arguments)?;
    ids.first().and_then(|id| appliance.row(*id)).ok_or(Failure("no such item".to_owned()))
}

/// The rows the first argument names: an id, a slot, or a list of them.
fn targets(appliance: &Appliance, arguments: &Arguments) -> Result<Vec<u64>, Failure> {
    let named = named(arguments, "numbers").or_else(|| named(arguments, "number"));
    let wanted = match arguments.positional.first().or(named) {
        Some(Value::Array(items)) => items.iter().map(|(_, item)| item.lossy()).collect(),
        Some(Value::Nothing) | None => Vec::new(),
        Some(single) => vec![single.lossy()],
    };
    wanted.iter().map(|target| appliance.resolve(target).ok_or(Failure("no such item".to_owned()))).collect()
}

fn properties(arguments: Arguments) -> Result<Row, Failure> {
    let mut row = Row::new();
    for (name, value) in arguments.named.into_iter().filter(|(name, _)| name != "numbers") {
        let boolean =
            matches!(name.as_str(), "nvme-tcp-export" | "mount-filesystem" | "mount-read-only" | "compress");
        let value = match (boolean, value.truth()) {
            (false, _) => value,
            (true, Some(truth)) => Value::Bool(truth),
            (true, None) => return Failure::new(format!("invalid value for argument {name}")),
        };
        row.insert(name, value);
    }
    Ok(row)
}
