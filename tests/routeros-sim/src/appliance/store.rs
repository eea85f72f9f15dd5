//! Rows on disk: `state.jsonl`, one change a line, written in one piece when it happens. It is rewritten when it holds
//! much more than the rows there are. A half line at its end, from a process that was killed, is left out.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::json;

use super::table::Row;
use crate::language::value::Value;

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Disk(u64, Option<Row>),
    Subvolume(u64, Option<Row>),
    /// The file shares its data with the others of the group.
    Group(String, Option<u64>),
    /// Label of a pool's filesystem.
    Label(String, String),
}

#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Store {
    /// Reads what is there.
    pub(crate) fn read(path: &std::path::Path) -> io::Result<Vec<Change>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(bytes.split(|byte| *byte == b'\n').filter_map(change).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Replaces what is there by `changes` and goes on writing behind them.
    pub(crate) fn create(path: PathBuf, changes: &[Change]) -> io::Result<Self> {
        let unfinished = path.with_extension("new");
        let text: String = changes.iter().map(line).collect();
        std::fs::write(&unfinished, text)?;
        std::fs::rename(&unfinished, &path)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        Ok(Self { path, file, lines: changes.len() })
    }

    pub(crate) fn write(&mut self, changes: &[Change]) -> io::Result<()> {
        self.lines += changes.len();
        let text: String = changes.iter().map(line).collect();
        self.file.write_all(text.as_bytes())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Whether it holds much more than `live` things.
    pub(crate) fn is_long(&self, live: usize) -> bool {
        self.lines > 4 * live + 1000
    }
}

fn line(change: &Change) -> String {
    let row = |row: &Option<Row>| row.as_ref().map(to_json);
    let json = match change {
        Change::Disk(id, after) => json!(["disk", id, row(after)]),
        Change::Subvolume(id, after) => json!(["subvolume", id, row(after)]),
        Change::Group(path, group) => json!(["group", path, group]),
        Change::Label(pool, label) => json!(["label", pool, label]),
    };
    format!("{json}\n")
}

fn change(line: &[u8]) -> Option<Change> {
    let json: serde_json::Value = serde_json::from_slice(line).ok()?;
    let (second, third) = (json.get(1)?, json.get(2)?);
    Some(match json.get(0)?.as_str()? {
        "disk" => Change::Disk(second.as_u64()?, from_json(third)),
        "subvolume" => Change::Subvolume(second.as_u64()?, from_json(third)),
        "group" => Change::Group(second.as_str()?.to_owned(), third.as_u64()),
        "label" => Change::Label(second.as_str()?.to_owned(), third.as_str()?.to_owned()),
        _ => return None,
    })
}

/// Texts that are not UTF-8 are written as lists of bytes.
fn to_json(row: &Row) -> serde_json::Value {
    let value = |value: &Value| match value {
        Value::Bool(truth) => json!(truth),
        Value::Num(number) => json!(number),
        Value::Str(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!(bytes),
        },
        Value::Nothing | Value::Time(_) | Value::Array(_) => json!(value.lossy()),
    };
    row.iter().map(|(key, one)| (key.clone(), value(one))).collect::<serde_json::Map<_, _>>().into()
}

fn from_json(json: &serde_json::Value) -> Option<Row> {
    let value = |json: &serde_json::Value| match json {
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => Value::Num(number.as_i64().unwrap_or(0)),
        serde_json::Value::String(text) => Value::text(text.as_str()),
        serde_json::Value::Array(bytes) => {
            Value::Str(bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect())
        }
        _ => Value::Nothing,
    };
    Some(json.as_object()?.iter().map(|(key, one)| (key.clone(), value(one))).collect())
}
