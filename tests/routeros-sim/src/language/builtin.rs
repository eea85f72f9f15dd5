//! The commands of the language itself.

use std::collections::HashMap;

use super::ast::{Arg, Expr};
use super::eval::{Failure, Machine, Outcome};
use super::value::Value;

/// Their names, without the colon.
pub(crate) const NAMES: &[&str] = &[
    "local",
    "set",
    "if",
    "put",
    "error",
    "onerror",
    "foreach",
    "while",
    "do",
    "len",
    "pick",
    "find",
    "tostr",
    "tonum",
    "tobool",
    "toarray",
    "typeof",
    "parse",
    "serialize",
    "nothing",
    "delay",
    "log",
];

struct Given<'a>(&'a [Arg]);

impl<'a> Given<'a> {
    fn named(&self, name: &str) -> Option<&'a Expr> {
        self.0.iter().find_map(|arg| match arg {
            Arg::Named(given, _, expr) if given == name => Some(expr),
            Arg::Named(..) | Arg::Positional(_) | Arg::Where(_) => None,
        })
    }

    fn at(&self, index: usize) -> Option<&'a Expr> {
        let mut positional = self.0.iter().filter_map(|arg| match arg {
            Arg::Positional(expr) => Some(expr),
            Arg::Named(..) | Arg::Where(_) => None,
        });
        positional.nth(index)
    }

    fn word(&self, index: usize) -> Result<String, Failure> {
        match self.at(index) {
            Some(Expr::Word(word)) => Ok(word.clone()),
            Some(Expr::Text(_) | Expr::Num(_) | Expr::Var(_)) | None => {
                Failure::new("missing value(s) of argument(s) name")
            }
            Some(_) => Failure::new("invalid value for argument name"),
        }
    }
}

pub(crate) fn run(machine: &mut Machine<'_>, name: &str, args: &[Arg]) -> Outcome {
    let given = Given(args);
    match name {
        "local" | "set" => variable(machine, name == "local", &given),
        "if" | "while" | "foreach" | "do" | "onerror" => control(machine, name, &given),
        "put" | "log" | "delay" => {
            let value = first(machine, &given)?;
            if name == "put" {
                machine.output.extend(value.bytes());
                machine.output.extend(b"\r\n");
            }
            Ok(Value::Nothing)
        }
        // The suffix is what devices add to a raised error (M).
        "error" => Failure::new(format!("{} (:error; line 1)", first(machine, &given)?.lossy())),
        "serialize" => serialize(machine, &given),
        "parse" => {
            let source = first(machine, &given)?.bytes();
            Ok(machine.compile(&source))
        }
        _ => text(machine, name, &given),
    }
}

fn first(machine: &mut Machine<'_>, given: &Given<'_>) -> Outcome {
    at(machine, given, 0)
}

fn at(machine: &mut Machine<'_>, given: &Given<'_>, index: usize) -> Outcome {
    given.at(index).map_or(Ok(Value::Nothing), |expr| machine.value(expr))
}

fn variable(machine: &mut Machine<'_>, local: bool, given: &Given<'_>) -> Outcome {
    let name = given.word(0)?;
    let value = at(machine, given, 1)?;
    if local {
        machine.declare(name, value);
    } else if !machine.assign(&name, value) {
        return Failure::new(format!("no such variable {name}"));
    }
    Ok(Value::Nothing)
}

fn control(machine: &mut Machine<'_>, name: &str, given: &Given<'_>) -> Outcome {
    let code = |which: &str| given.named(which);
    let scope = HashMap::new;
    match name {
        "if" => {
            let branch = if condition(machine, given)? { code("do") } else { code("else") };
            branch.map_or(Ok(Value::Nothing), |branch| machine.block(branch, scope()))
        }
        "while" => {
            while condition(machine, given)? {
                let Some(body) = code("do") else { break };
                machine.block(body, scope())?;
            }
            Ok(Value::Nothing)
        }
        "foreach" => {
            let name = given.word(0)?;
            let items = match code("in").map(|expr| machine.value(expr)).transpose()? {
                Some(Value::Array(items)) => items,
                Some(Value::Nothing) | None => Vec::new(),
                Some(single) => vec![(None, single)],
            };
            if let Some(body) = code("do") {
                for (_, item) in items {
                    machine.block(body, HashMap::from([(name.clone(), item)]))?;
                }
            }
            Ok(Value::Nothing)
        }
        "do" => {
            let Some(body) = given.at(0) else {
                return Ok(Value::Nothing);
            };
            match (machine.block(body, scope()), code("on-error")) {
                (Err(_), Some(rescue)) => machine.block(rescue, scope()),
                (result, _) => result,
            }
        }
        _ => {
            let name = given.word(0)?;
            let tried = code("in").map_or(Ok(Value::Nothing), |body| machine.block(body, scope()));
            match (tried, code("do")) {
                (Err(Failure(text)), Some(rescue)) => {
                    machine.block(rescue, HashMap::from([(name, Value::text(text))]))
                }
                (result, _) => result,
            }
        }
    }
}

fn condition(machine: &mut Machine<'_>, given: &Given<'_>) -> Result<bool, Failure> {
    match first(machine, given)?.truth() {
        Some(truth) => Ok(truth),
        None => Failure::new("conditional not boolean").map(|()| false),
    }
}

fn serialize(machine: &mut Machine<'_>, given: &Given<'_>) -> Outcome {
    let mut named = |name: &str| given.named(name).map_or(Ok(Value::Nothing), |expr| machine.value(expr));
    let value = named("value")?;
    let options = named("options")?.lossy();
    match named("to")?.lossy().as_str() {
        "json" => Ok(Machine::serialize(
            &value,
            options.split(',').any(|option| option == "json.no-string-conversion"),
        )),
        _ => Failure::new("input does not match any value of to"),
    }
}

fn text(machine: &mut Machine<'_>, name: &str, given: &Given<'_>) -> Outcome {
    let value = first(machine, given)?;
    Ok(match name {
        "len" => Value::Num(value.len() as i64),
        "typeof" => Value::text(value.type_name()),
        "tostr" => Value::Str(value.bytes()),
        "tonum" => value.number().map_or(Value::Nothing, Value::Num),
        "tobool" => value.truth().map_or(Value::Nothing, Value::Bool),
        "toarray" => match value {
            Value::Array(items) => Value::Array(items),
            other => Value::list(other.lossy().split(',').map(Value::text)),
        },
        "pick" => pick(machine, &value, given)?,
        "find" => {
            let wanted = at(machine, given, 1)?.bytes();
            let from =
                at(machine, given, 2)?.number().and_then(|from| usize::try_from(from + 1).ok()).unwrap_or(0);
            find(&value, &wanted, from)
        }
        _ => Value::Nothing,
    })
}

/// `[:pick $text start end]`: past the end there is simply less.
fn pick(machine: &mut Machine<'_>, value: &Value, given: &Given<'_>) -> Outcome {
    let start = at(machine, given, 1)?.number().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let end = match at(machine, given, 2)? {
        Value::Nothing => start + 1,
        end => end.number().and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
    };
    let clamp = |length: usize| start.min(length)..end.clamp(start.min(length), length);
    Ok(match value {
        Value::Array(items) => Value::Array(items[clamp(items.len())].to_vec()),
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
