//! What a person sees: flags with a legend, wrapped lines, CRLF, byte counts with spaces (M).

use crate::appliance::{Row, text, yes};
use crate::language::value::Value;

/// Columns where no terminal says how many it has: what the captured print of a device fits (C).
pub(crate) const WIDTH: usize = 115;
const INDENT: &str = "      ";

/// What a device prints of a file disk, in its order; where we keep nothing, what it prints then (M).
const DETAIL: [(&str, Option<&str>); 26] = [
    ("type", None),
    ("slot", None),
    ("slot-default", Some("\"\"")),
    ("parent", Some("\"\"")),
    ("fs", Some("-")),
    ("model", None),
    ("size", None),
    ("mount-filesystem", None),
    ("mount-read-only", None),
    ("compress", None),
    ("sector-size", Some("512")),
    ("raid-master", Some("none")),
    ("nvme-tcp-export", None),
    ("nvme-tcp-server-port", None),
    ("nvme-tcp-server-nqn", Some("\"\"")),
    ("nvme-tcp-server-allow-host-name", Some("\"\"")),
    ("iscsi-export", Some("no")),
    ("nfs-sharing", Some("no")),
    ("smb-sharing", Some("no")),
    ("media-sharing", Some("no")),
    ("media-interface", Some("none")),
    ("swap", Some("no")),
    ("file-path", None),
    ("file-size", None),
    ("file-offset", Some("0")),
    ("disabled", None),
];

/// `1 099 511 627 776`
fn spaced(number: i64) -> String {
    let digits = number.to_string();
    let grouped: Vec<String> =
        digits.as_bytes().rchunks(3).rev().map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect();
    grouped.join(" ")
}

/// `1024.0GiB`: rounded to one decimal.
fn rounded(number: i64) -> String {
    const UNITS: [(&str, f64); 3] = [("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1024.0)];
    let number = number as f64;
    UNITS
        .iter()
        .find(|(_, unit)| number >= *unit)
        .map_or_else(|| format!("{number}B"), |(name, unit)| format!("{:.1}{name}", number / unit))
}

fn shown(key: &str, value: &Value) -> String {
    match (key, value) {
        (_, Value::Bool(true)) => "yes".to_owned(),
        (_, Value::Bool(false)) => "no".to_owned(),
        ("file-size", Value::Num(number)) => rounded(*number),
        ("size" | "free", Value::Num(number)) => spaced(*number),
        (
            "slot"
            | "model"
            | "name"
            | "fullname"
            | "nvme-tcp-server-nqn"
            | "nvme-tcp-server-allow-host-name"
            | "uuid"
            | "label",
            value,
        ) => format!("\"{}\"", value.lossy()),
        (_, value) => value.lossy(),
    }
}

/// Letter, meaning, and whether a row has it.
type Flag = (char, &'static str, fn(&Row) -> bool);

/// Letters and order as documented (D).
const FLAGS: [Flag; 5] = [
    ('X', "DISABLED", |row| yes(row, "disabled")),
    ('B', "BLOCK-DEVICE", |_| true),
    ('M', "MOUNTED", |row| row.contains_key("mount-point")),
    ('r', "RAID-MEMBER", |row| text(row, "type") == "hardware" && row.contains_key("raid-master")),
    ('t', "NVME-TCP-EXPORT", |row| yes(row, "nvme-tcp-export")),
];

const OF_SUBVOLUMES: [Flag; 4] = [
    ('*', "DEFAULT", |row| yes(row, "default")),
    ('S', "SNAPSHOT", |row| yes(row, "snapshot")),
    ('r', "READ-ONLY", |row| yes(row, "read-only")),
    ('M', "MOUNTED", |row| yes(row, "mount")),
];

fn legend(flags: &[Flag]) -> String {
    let names: Vec<String> = flags.iter().map(|(letter, name, _)| format!("{letter} - {name}")).collect();
    format!("Flags: {}\r\n", names.join("; "))
}

fn set(flags: &[Flag], row: &Row) -> String {
    flags.iter().map(|(letter, _, has)| if has(row) { *letter } else { ' ' }).collect()
}

/// `/disk/print`, with and without `detail`.
pub(super) fn disks(rows: &[(usize, Row)], detail: bool, width: usize, output: &mut Vec<u8>) {
    // The legend names the flags that occur, and stands there even without rows (M).
    let seen = |(letter, _, has): &Flag| *letter == 'B' || rows.iter().any(|(_, row)| has(row));
    let flags: Vec<Flag> = FLAGS.into_iter().filter(seen).collect();
    output.extend(legend(&flags).bytes());
    if !detail {
        if !rows.is_empty() {
            columns(&["slot", "model", "size", "free", "fs", "comment"], rows, &flags, output);
        }
        return;
    }
    for (number, row) in rows {
        let mut lines = Wrapped::new(format!("{number:2} {}", set(&flags, row)), width);
        if let Some(comment) = row.get("comment").filter(|comment| comment.len() > 0) {
            lines.word(&format!(";;; {}", comment.lossy()));
            lines.end_line();
        }
        for (key, text) in in_order(row) {
            lines.word(&format!("{key}={text}"));
        }
        lines.finish(output);
    }
}

fn in_order(row: &Row) -> Vec<(String, String)> {
    let file = text(row, "type") == "file";
    let mut all = Vec::new();
    for (key, otherwise) in DETAIL {
        let text = row.get(key).map(|value| shown(key, value));
        if let Some(text) = text.or_else(|| otherwise.filter(|_| file).map(str::to_owned)) {
            all.push((key.to_owned(), text));
        }
    }
    let known = |key: &String| {
        DETAIL.iter().any(|(name, _)| name == key) || matches!(key.as_str(), ".id" | "comment")
    };
    all.extend(
        row.iter().filter(|(key, _)| !known(key)).map(|(key, value)| (key.clone(), shown(key, value))),
    );
    all
}

/// Words on lines of a width; a word longer than a line is broken, even inside a value (M).
struct Wrapped {
    lines: Vec<String>,
    current: String,
    empty: bool,
    width: usize,
}

impl Wrapped {
    fn new(start: String, width: usize) -> Self {
        Self { lines: Vec::new(), current: start, empty: false, width: width.max(20) }
    }

    fn end_line(&mut self) {
        self.lines.push(std::mem::replace(&mut self.current, INDENT.to_owned()));
        self.empty = true;
    }

    fn word(&mut self, word: &str) {
        let gap = usize::from(!self.empty);
        if self.current.chars().count() + gap + word.chars().count() > self.width {
            if !self.empty {
                self.end_line();
            }
        } else if gap == 1 {
            self.current.push(' ');
        }
        for letter in word.chars() {
            if self.current.chars().count() == self.width {
                self.end_line();
            }
            self.current.push(letter);
        }
        self.empty = false;
    }

    fn finish(mut self, output: &mut Vec<u8>) {
        self.lines.push(self.current);
        for line in self.lines {
            output.extend(format!("{}\r\n", line.trim_end()).bytes());
        }
    }
}

/// `/disk/btrfs/subvolume/print` (D: the flags; I: the rest, the documentation shows no output of it).
pub(super) fn subvolumes(rows: &[(usize, Row)], detail: bool, width: usize, output: &mut Vec<u8>) {
    let seen = |(.., has): &Flag| rows.iter().any(|(_, row)| has(row));
    let flags: Vec<Flag> = OF_SUBVOLUMES.into_iter().filter(seen).collect();
    output.extend(legend(&flags).bytes());
    if !detail {
        return columns(&["name", "fs", "top-level", "parent", "creation-time"], rows, &flags, output);
    }
    for (number, row) in rows {
        let mut lines = Wrapped::new(format!("{number:2} {}", set(&flags, row)), width);
        let flagged =
            |key: &str| matches!(key, ".id" | "default" | "snapshot" | "read-only" | "dead" | "mount");
        for (key, value) in row.iter().filter(|(key, _)| !flagged(key)) {
            lines.word(&format!("{key}={}", shown(key, value)));
        }
        lines.finish(output);
    }
}

/// `/file/print`; in detail sizes are rounded (D).
pub(super) fn files(rows: &[(usize, Row)], detail: bool, width: usize, output: &mut Vec<u8>) {
    if !detail {
        return table(&["name", "type", "size", "last-modified"], rows, output);
    }
    for (number, row) in rows {
        let mut lines = Wrapped::new(format!("{number:2}"), width);
        for key in ["name", "type", "size", "last-modified"] {
            match row.get(key) {
                Some(Value::Num(size)) => lines.word(&format!("{key}={}", rounded(*size))),
                Some(value) => lines.word(&format!("{key}={}", value.lossy())),
                None => {}
            }
        }
        lines.finish(output);
    }
}

/// A table with a line of column names; columns that no row has are left out (C).
pub(super) fn table(names: &[&str], rows: &[(usize, Row)], output: &mut Vec<u8>) {
    columns(names, rows, &[], output);
}

fn columns(names: &[&str], rows: &[(usize, Row)], flags: &[Flag], output: &mut Vec<u8>) {
    let cell =
        |name: &str, row: &Row| row.get(name).map(|value| shown(name, value).trim_matches('"').to_owned());
    let used: Vec<&str> =
        names.iter().copied().filter(|name| rows.iter().any(|(_, row)| row.contains_key(*name))).collect();
    if used.is_empty() {
        return;
    }
    let widths: Vec<usize> = used
        .iter()
        .map(|name| {
            let longest =
                rows.iter().filter_map(|(_, row)| cell(name, row)).map(|text| text.chars().count()).max();
            longest.unwrap_or(0).max(name.len())
        })
        .collect();
    let upper: Vec<String> = used.iter().map(|name| name.to_uppercase()).collect();
    output.extend(format!("Columns: {}\r\n", upper.join(", ")).bytes());
    let start = 3 + flags.len() + usize::from(!flags.is_empty());
    let mut lines = vec![format!("{:<start$}{}", "#", padded(&upper, &widths))];
    for (number, row) in rows {
        let set = set(flags, row);
        let cells: Vec<String> = used.iter().map(|name| cell(name, row).unwrap_or_default()).collect();
        lines.push(format!("{:<start$}{}", format!("{number} {set}"), padded(&cells, &widths)));
    }
    for line in lines {
        output.extend(format!("{}\r\n", line.trim_end()).bytes());
    }
}

fn padded(cells: &[String], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    cells.collect::<Vec<_>>().join("  ")
}

/// One column, without numbers, each line padded to the longest (D).
pub(super) fn lines(name: &str, rows: &[(usize, Row)], output: &mut Vec<u8>) {
    let texts: Vec<String> = rows.iter().map(|(_, row)| text(row, name)).collect();
    let width = texts.iter().map(String::len).max().unwrap_or(0);
    let upper = name.to_uppercase();
    output.extend(format!("Columns: {upper}\r\n{upper:<width$}\r\n").bytes());
    for text in texts {
        output.extend(format!("{text:<width$}\r\n").bytes());
    }
}

/// `/system/resource/print`.
pub(super) fn properties(row: &Row, output: &mut Vec<u8>) {
    let width = row.keys().map(String::len).max().unwrap_or(0);
    for (key, value) in row {
        let value = shown(key, value);
        output.extend(format!("{key:>width$}: {}\r\n", value.trim_matches('"')).bytes());
    }
}
