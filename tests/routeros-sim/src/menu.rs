//! The menus: what `/disk`, `/file` and `/system` answer.

mod disk;
mod print;

use crate::appliance::{Appliance, Row};
use crate::language::ast::{Arg, Command};
use crate::language::eval::{Arguments, Failure, Holds, Menus, Outcome};
use crate::language::scan::SyntaxError;
use crate::language::value::Value;

/// Below this the name of an export cannot be set (C/M).
const NQN_SINCE: (u32, u32) = (7, 21);

const PRINT: &[&str] =
    &["proplist", "from", "detail", "as-value", "once", "count-only", "without-paging", "terse"];
const DISK: &[&str] = &[
    "type",
    "slot",
    "comment",
    "disabled",
    "file-path",
    "file-size",
    "file-offset",
    "mount-filesystem",
    "mount-read-only",
    "compress",
    "nvme-tcp-export",
    "nvme-tcp-server-port",
    "nvme-tcp-server-nqn",
    "nvme-tcp-server-allow-host-name",
    "nvme-tcp-server-password",
    "copy-from",
    "numbers",
];

/// Menu, verb, and the parameters it knows.
const COMMANDS: &[(&str, &str, &[&str])] = &[
    ("disk", "print", PRINT),
    ("disk", "find", &[]),
    ("disk", "get", &["number", "value-name"]),
    ("disk", "add", DISK),
    ("disk", "set", DISK),
    ("disk", "remove", &["numbers"]),
    ("file", "print", PRINT),
    ("file", "find", &[]),
    ("file", "get", &["number", "value-name"]),
    ("file", "remove", &["numbers"]),
    ("system resource", "print", PRINT),
    ("system resource", "get", &["value-name"]),
    ("system identity", "print", PRINT),
    ("system identity", "get", &["value-name"]),
    ("system device-mode", "print", PRINT),
    ("system device-mode", "get", &["value-name"]),
];

fn version_of(text: &str) -> (u32, u32) {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// True from that version on.
pub(crate) fn is_at_least(version: &str, since: (u32, u32)) -> bool {
    version_of(version) >= since
}

impl Appliance {
    fn knows(&self, parameter: &str) -> bool {
        parameter != "nvme-tcp-server-nqn" || version_of(&self.version) >= NQN_SINCE
    }
}

impl Menus for Appliance {
    fn check(&self, command: &Command) -> Result<(), SyntaxError> {
        let words: Vec<&str> = command.words.iter().map(|(word, _)| word.as_str()).collect();
        let column = command.words.last().map_or(1, |(_, column)| *column);
        let bad = |what: &str, name: &str, column: usize| {
            Err(SyntaxError(format!("bad {what} {name} (line 1 column {column})")))
        };
        let Some((verb, menu)) = words.split_last() else {
            return bad("command name", "", column);
        };
        let Some((.., known)) = COMMANDS.iter().find(|(m, v, _)| *m == menu.join(" ") && v == verb) else {
            let wrong = COMMANDS.iter().any(|(m, ..)| m.starts_with(menu.first().copied().unwrap_or(verb)));
            let (name, column) = match command.words.first() {
                Some((first, column)) if !wrong => (first.as_str(), *column),
                _ => (*verb, column),
            };
            return bad("command name", name, column);
        };
        for arg in &command.args {
            if let Arg::Named(name, column, _) = arg
                && !(known.contains(&name.as_str()) && self.knows(name))
            {
                return bad("parameter", name, *column);
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        words: &[&str],
        arguments: Arguments,
        holds: &mut Holds<'_>,
        output: &mut Vec<u8>,
    ) -> Outcome {
        match words {
            ["disk", verb] => disk::run(self, verb, arguments, holds, output),
            ["file", verb] => file(self, verb, &arguments),
            ["system", menu, verb] => {
                let row = self.system(menu);
                match *verb {
                    "get" => {
                        let name = arguments.positional.first().map(Value::lossy).unwrap_or_default();
                        Ok(row.get(&name).cloned().unwrap_or(Value::Nothing))
                    }
                    _ if has_flag(&arguments, "as-value") => Ok(as_value(&row, None)),
                    _ => {
                        print::properties(&row, output);
                        Ok(Value::Nothing)
                    }
                }
            }
            _ => Failure::new("no such command"),
        }
    }
}

impl Appliance {
    fn system(&self, menu: &str) -> Row {
        let texts: &[(&str, &str)] = match menu {
            "resource" => &[
                ("uptime", "1w2d03:04:05"),
                ("version", &self.version),
                ("cpu", "ARM64"),
                ("architecture-name", "arm64"),
                ("board-name", "RDS2216"),
                ("platform", "MikroTik"),
            ],
            "identity" => &[("name", "simulated-rds")],
            _ => &[("mode", "advanced")],
        };
        let mut row: Row = texts.iter().map(|(key, text)| ((*key).to_owned(), Value::text(*text))).collect();
        match menu {
            "resource" => {
                row.insert("cpu-count".to_owned(), Value::Num(16));
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

fn file(appliance: &mut Appliance, verb: &str, arguments: &Arguments) -> Outcome {
    let name = arguments.positional.first().map(Value::lossy).unwrap_or_default();
    match verb {
        "remove" => appliance.remove_file(&name).map(|()| Value::Nothing).map_err(Failure),
        "find" | "print" => {
            // Every walk is a walk of the whole tree, filtered or not (M).
            let names =
                appliance.files().into_iter().map(|(path, _)| Value::text(path.trim_start_matches('/')));
            Ok(Value::list(names))
        }
        _ => {
            let wanted = format!("/{}", name.trim_start_matches('/'));
            match appliance.files().into_iter().find(|(path, _)| *path == wanted) {
                Some((_, size)) => Ok(Value::Num(size as i64)),
                None => Failure::new("no such item"),
            }
        }
    }
}

fn has_flag(arguments: &Arguments, flag: &str) -> bool {
    arguments.positional.iter().any(|value| value.lossy() == flag)
}

/// A row as a keyed array; with a list of properties, only those.
pub(crate) fn as_value(row: &Row, only: Option<&[String]>) -> Value {
    let wanted = |key: &String| only.is_none_or(|only| only.contains(key));
    Value::Array(
        row.iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, value)| (Some(key.clone()), value.clone()))
            .collect(),
    )
}

#[cfg(test)]
mod tests;
