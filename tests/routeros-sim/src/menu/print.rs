//! What a person sees: flags with a legend, wrapped lines, CRLF, byte counts with spaces (M).

use crate::appliance::Row;
use crate::language::value::Value;

/// Where a terminal wraps.
const WIDTH: usize = 100;
const INDENT: &str = "      ";

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
        ("slot" | "model" | "comment" | "nvme-tcp-server-nqn" | "nvme-tcp-server-allow-host-name", value) => {
            format!("\"{}\"", value.lossy())
        }
        (_, value) => value.lossy(),
    }
}

/// `/disk/print detail`.
pub(super) fn disks(rows: &[Row], output: &mut Vec<u8>) {
    let exported = |row: &Row| row.get("nvme-tcp-export").and_then(Value::truth).unwrap_or(false);
    // The legend names the flags that occur, and stands there even without rows.
    let legend = if rows.iter().any(exported) {
        "Flags: B - BLOCK-DEVICE; t - NVME-TCP-EXPORT"
    } else {
        "Flags: B - BLOCK-DEVICE"
    };
    output.extend(format!("{legend}\r\n").bytes());
    for (number, row) in rows.iter().enumerate() {
        let mut line = format!("{number:2} B{} ", if exported(row) { "t" } else { " " });
        for (key, value) in row.iter().filter(|(key, _)| *key != ".id") {
            let word = format!("{key}={} ", shown(key, value));
            if line.len() + word.len() > WIDTH {
                output.extend(format!("{}\r\n", line.trim_end()).bytes());
                INDENT.clone_into(&mut line);
            }
            line.push_str(&word);
        }
        output.extend(format!("{}\r\n", line.trim_end()).bytes());
    }
}

/// `/system/resource/print`.
pub(super) fn properties(row: &Row, output: &mut Vec<u8>) {
    let width = row.keys().map(String::len).max().unwrap_or(0);
    for (key, value) in row {
        output.extend(format!("{key:>width$}: {}\r\n", shown(key, value)).bytes());
    }
}
