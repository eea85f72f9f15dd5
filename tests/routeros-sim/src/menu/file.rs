//! `/file`.

use super::selection::{ids, machine_readable, matching, property, targets};
use super::{Call, print};
use crate::appliance::Row;
use crate::language::eval::{Failure, Outcome};
use crate::language::value::Value;

pub(super) fn run(verb: &str, call: &mut Call<'_, '_>) -> Outcome {
    let given =
        |call: &Call<'_, '_>, name: &str| call.arguments.named(name).map(Value::bytes).unwrap_or_default();
    let text = |call: &Call<'_, '_>, name: &str| String::from_utf8_lossy(&given(call, name)).into_owned();
    match verb {
        "find" => Ok(ids(&rows(call)?)),
        "print" => {
            let rows = rows(call)?;
            if let Some(value) = machine_readable(call, &rows) {
                return Ok(value);
            }
            print::files(&rows, call.arguments.has("detail"), call.width, call.output);
            Ok(Value::Nothing)
        }
        // By its name it is found without a walk (M).
        "get" => {
            let target = targets(call).into_iter().next().unwrap_or_default();
            let path = call.appliance.file_path(&target).ok_or("no such item")?;
            let node = call.appliance.node(&path).ok_or("no such item")?;
            let mut row = call.appliance.file_row(&node);
            row.extend(
                call.appliance.contents(&node).map(|bytes| ("contents".to_owned(), Value::Str(bytes))),
            );
            property(call, &row, 1)
        }
        "remove" => {
            for target in targets(call) {
                call.appliance.remove_file(&target)?;
                call.done.changed = true;
            }
            Ok(Value::Nothing)
        }
        "add" => {
            call.appliance.add_file(&text(call, "name"), &text(call, "type"), &given(call, "contents"))?;
            call.done.changed = true;
            Ok(Value::Nothing)
        }
        // Documented is `copy source name=target` (D); `src=` and `dst=` are what programs in the field expect (I).
        _ => {
            let either = |call: &Call<'_, '_>, name: &str, other: Option<String>| match text(call, name) {
                given if given.is_empty() => other.unwrap_or_default(),
                given => given,
            };
            let source = either(call, "src", targets(call).into_iter().next());
            let target = either(call, "name", Some(text(call, "dst")));
            call.appliance.copy_file(&source, &target)?;
            call.done.changed = true;
            Ok(Value::Nothing)
        }
    }
}

fn rows(call: &mut Call<'_, '_>) -> Result<Vec<(usize, Row)>, Failure> {
    let below = call.arguments.named("path").map(|path| format!("/{}/", path.lossy().trim_matches('/')));
    let mut rows = Vec::new();
    for node in call.appliance.tree() {
        if below.as_ref().is_none_or(|below| below == "//" || node.path.starts_with(below)) {
            rows.push(call.appliance.file_row(&node));
        }
    }
    matching(call, rows.into_iter().enumerate())
}
