//! The commands of the language itself: variables, control, output. Those that turn one value into another are in
//! `text`.

mod text;

use std::collections::HashMap;

use super::ast::{Arg, Expr, Op};
use super::eval::{Failure, Machine, Outcome};
use super::json;
use super::span::Span;
use super::value::Value;

/// Name, first version (C), and the parameters it knows by name.
const COMMANDS: [(&str, (u32, u32), &[&str]); 28] = [
    ("local", (7, 0), &["value"]),
    ("set", (7, 0), &["value"]),
    ("if", (7, 0), &["do", "else"]),
    ("put", (7, 0), &["message"]),
    ("error", (7, 0), &["message"]),
    ("onerror", (7, 13), &["in", "do"]),
    ("foreach", (7, 0), &["in", "do"]),
    ("for", (7, 0), &["from", "to", "step", "do"]),
    ("while", (7, 0), &["do"]),
    ("do", (7, 0), &["on-error", "while"]),
    ("len", (7, 0), &[]),
    ("pick", (7, 0), &["begin", "end"]),
    ("find", (7, 0), &["from"]),
    ("tostr", (7, 0), &[]),
    ("tonum", (7, 0), &[]),
    ("tobool", (7, 0), &[]),
    ("toarray", (7, 0), &[]),
    ("toip", (7, 0), &[]),
    ("totime", (7, 0), &[]),
    ("timestamp", (7, 0), &[]),
    ("typeof", (7, 0), &[]),
    ("parse", (7, 0), &[]),
    ("serialize", (7, 13), &["to", "value", "options"]),
    ("deserialize", (7, 13), &["from", "value", "options"]),
    ("nothing", (7, 0), &[]),
    ("delay", (7, 0), &["delay-time"]),
    ("log", (7, 0), &["message"]),
    ("return", (7, 0), &["value"]),
];

/// From this version on `:serialize` and `:deserialize` take `options=` (C).
const OPTIONS_SINCE: (u32, u32) = (7, 16);

/// The name of a command of the language, if the first of `words` words is one: with a colon, or alone without.
pub(super) fn name(first: &str, words: usize) -> Option<&str> {
    let name = match first.strip_prefix(':') {
        Some(name) => name,
        None if words == 1 => first,
        None => return None,
    };
    COMMANDS.iter().any(|(known, ..)| *known == name).then_some(name)
}

pub(super) fn since(name: &str) -> (u32, u32) {
    COMMANDS.iter().find(|(known, ..)| *known == name).map_or((0, 0), |(_, since, _)| *since)
}

pub(super) fn knows(name: &str, parameter: &str, version: (u32, u32)) -> bool {
    let known = COMMANDS.iter().any(|(known, _, all)| *known == name && all.contains(&parameter));
    known && (parameter != "options" || version >= OPTIONS_SINCE)
}

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

    /// The argument at `index`, or the one called `name`.
    fn either(&self, index: usize, name: &str) -> Option<&'a Expr> {
        self.at(index).or_else(|| self.named(name))
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

pub(super) fn run(machine: &mut Machine<'_>, name: &str, line: usize, args: &[Arg]) -> Outcome {
    let given = Given(args);
    match name {
        "local" => {
            let (name, value) = (given.word(0)?, optional(machine, given.either(1, "value"))?);
            machine.declare(name, value).map(|()| Value::Nothing)
        }
        "set" => set(machine, &given),
        "if" => {
            let branch = if condition(machine, given.at(0))? { "do" } else { "else" };
            given.named(branch).map_or(Ok(Value::Nothing), |branch| machine.block(branch, HashMap::new()))
        }
        "while" => loops(machine, given.named("do"), given.at(0), false),
        "foreach" => foreach(machine, &given),
        "for" => count(machine, &given),
        "do" => attempt(machine, &given),
        "onerror" => onerror(machine, &given),
        "put" => {
            let mut text = optional(machine, given.either(0, "message"))?.bytes();
            text.extend(b"\r\n");
            machine.print(&text).map(|()| Value::Nothing)
        }
        "log" => optional(machine, given.either(0, "message")).map(|_| Value::Nothing),
        "delay" => {
            let wait = optional(machine, given.either(0, "delay-time"))?;
            let span = wait.span().or_else(|| wait.number().and_then(Span::seconds));
            machine.menus.wait(span.unwrap_or(Span(1000))).map(|()| Value::Nothing)
        }
        // The suffix is what devices add to a raised error (M).
        "error" => {
            let message = optional(machine, given.either(0, "message"))?.lossy();
            Failure::new(format!("{message} (:error; line {line})"))
        }
        // On a device a bare one hangs (M); a simulator that hangs helps nobody.
        "return" => Failure::new("failure: :return is not simulated: outside a function it hangs a device"),
        "serialize" => serialize(machine, &given),
        "deserialize" => deserialize(machine, &given),
        "parse" => {
            let source = optional(machine, given.at(0))?.bytes();
            Ok(machine.compile(&source))
        }
        _ => text::run(machine, name, &given),
    }
}

fn optional(machine: &mut Machine<'_>, expr: Option<&Expr>) -> Outcome {
    expr.map_or(Ok(Value::Nothing), |expr| machine.value(expr))
}

fn set(machine: &mut Machine<'_>, given: &Given<'_>) -> Outcome {
    let value = optional(machine, given.either(1, "value"))?;
    match given.at(0) {
        Some(target @ Expr::Binary(Op::Index, ..)) => machine.assign_element(target, value)?,
        // `:set $name` is what many scripts write; devices take it (C).
        Some(Expr::Var(name)) => machine.assign(name, value)?,
        _ => machine.assign(&given.word(0)?, value)?,
    }
    Ok(Value::Nothing)
}

fn condition(machine: &mut Machine<'_>, expr: Option<&Expr>) -> Result<bool, Failure> {
    match optional(machine, expr)?.truth() {
        Some(truth) => Ok(truth),
        None => Failure::new("conditional not boolean").map(|()| false),
    }
}

/// `:while (…) do={…}` and `:do {…} while=(…)`.
fn loops(machine: &mut Machine<'_>, body: Option<&Expr>, holds: Option<&Expr>, first: bool) -> Outcome {
    let mut again = first || condition(machine, holds)?;
    while again {
        let Some(body) = body else { break };
        machine.block(body, HashMap::new())?;
        again = condition(machine, holds)?;
    }
    Ok(Value::Nothing)
}

/// `:foreach x in=…` and `:foreach key,value in=…` (D).
fn foreach(machine: &mut Machine<'_>, given: &Given<'_>) -> Outcome {
    let names = given.word(0)?;
    let items = match optional(machine, given.named("in"))? {
        Value::Array(items) => items,
        Value::Nothing => return Ok(Value::Nothing),
        single => std::sync::Arc::new(vec![(None, single)]),
    };
    let Some(body) = given.named("do") else { return Ok(Value::Nothing) };
    for (at, (key, item)) in items.iter().enumerate() {
        let variables = match names.split_once(',') {
            None => HashMap::from([(names.clone(), item.clone())]),
            Some((first, second)) => {
                let key = key.as_ref().map_or(Value::Num(at as i64), Value::text);
                HashMap::from([(first.to_owned(), key), (second.to_owned(), item.clone())])
            }
        };
        machine.block(body, variables)?;
    }
    Ok(Value::Nothing)
}

/// `:for i from=1 to=9 step=2 do={…}`; it counts down where `to` is less (D).
fn count(machine: &mut Machine<'_>, given: &Given<'_>) -> Outcome {
    let name = given.word(0)?;
    let mut number = |name: &str| -> Result<Option<i64>, Failure> {
        Ok(given.named(name).map(|expr| machine.value(expr)).transpose()?.and_then(|value| value.number()))
    };
    let (from, to) = (number("from")?.unwrap_or(0), number("to")?.unwrap_or(0));
    let step = number("step")?.unwrap_or(if from <= to { 1 } else { -1 });
    if step == 0 {
        return Failure::new("invalid value for argument step");
    }
    let Some(body) = given.named("do") else { return Ok(Value::Nothing) };
    let mut at = Some(from);
    while let Some(current) = at.filter(|at| if step > 0 { *at <= to } else { *at >= to }) {
        machine.block(body, HashMap::from([(name.clone(), Value::Num(current))]))?;
        at = current.checked_add(step);
    }
    Ok(Value::Nothing)
}

fn attempt(machine: &mut Machine<'_>, given: &Given<'_>) -> Outcome {
    let body = given.at(0);
    if given.named("while").is_some() {
        return loops(machine, body, given.named("while"), true);
    }
    let Some(body) = body else { return Ok(Value::Nothing) };
    match (machine.block(body, HashMap::new()), given.named("on-error")) {
        (Err(Failure::Raised(_)), Some(rescue)) => machine.block(rescue, HashMap::new()),
        (result, _) => result,
    }
}

fn onerror(machine: &mut Machine<'_>, given: &Given<'_>) -> Outcome {
    let name = given.word(0)?;
    let tried = given.named("in").map_or(Ok(Value::Nothing), |body| machine.block(body, HashMap::new()));
    match (tried, given.named("do")) {
        (Err(Failure::Raised(text)), Some(rescue)) => {
            machine.block(rescue, HashMap::from([(name, Value::text(text))]))
        }
        (result, _) => result,
    }
}

fn keeps_strings(options: &Value) -> bool {
    options.lossy().split(',').any(|option| option == "json.no-string-conversion")
}

fn serialize(machine: &mut Machine<'_>, given: &Given<'_>) -> Outcome {
    let value = optional(machine, given.named("value"))?;
    let options = optional(machine, given.named("options"))?;
    match optional(machine, given.named("to"))?.lossy().as_str() {
        "json" => json::serialize(&value, keeps_strings(&options)).map(Value::Str),
        _ => Failure::new("input does not match any value of to"),
    }
}

fn deserialize(machine: &mut Machine<'_>, given: &Given<'_>) -> Outcome {
    let value = optional(machine, given.either(0, "value"))?;
    let options = optional(machine, given.named("options"))?;
    match optional(machine, given.named("from"))?.lossy().as_str() {
        "json" => json::deserialize(&value.bytes(), keeps_strings(&options)),
        _ => Failure::new("input does not match any value of from"),
    }
}
