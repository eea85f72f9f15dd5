//! How answers are printed: tables for people, JSON and YAML for programs.

use proto::size::ByteSize;
use serde::Serialize;

use crate::cli::Output;
use crate::outcome::{Failure, print};

/// Prints `value`, or `text` where people read.
pub(crate) fn show<T: Serialize>(
    output: Output,
    value: &T,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let broken = |error: String| Failure::Refused(format!("the answer cannot be printed: {error}"));
    match output {
        Output::Text => print(&text()),
        Output::Json => {
            let json = serde_json::to_string_pretty(value).map_err(|error| broken(error.to_string()))?;
            print(&format!("{json}\n"));
        }
        Output::Yaml => {
            print(&serde_saphyr::to_string(value).map_err(|error| broken(error.to_string()))?);
        }
    }
    Ok(())
}

/// Columns as wide as their widest cell, two spaces apart. The first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A row of a table.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// Text from an appliance, so that it cannot play with the terminal: control characters are written out.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// A size for people: three digits or so. Never used for anything but showing.
pub(crate) fn rough(bytes: u64) -> String {
    let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => ByteSize::from_bytes(bytes).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_straight_columns_and_no_trailing_spaces() {
        let text = table(&[row(["NAME", "SIZE", "NOTE"]), row(["a", "1", ""]), row(["longer", "22", "x"])]);
        assert_eq!(text, "NAME    SIZE  NOTE\na       1\nlonger  22    x\n");
    }

    #[test]
    fn an_appliance_cannot_play_with_the_terminal() {
        let text = table(&[row(["\u{1b}[2Jname\r\n", "\u{9b}31m"])]);
        assert!(!text.trim_end_matches('\n').contains(char::is_control), "{text:?}");
        assert!(text.contains("\\u{1b}[2Jname"), "{text:?}");
    }

    #[test]
    fn sizes_for_people_are_rough() {
        assert_eq!(
            (rough(3 << 40), rough(1536 << 20), rough(512)),
            ("3.0 TiB".to_owned(), "1.5 GiB".to_owned(), ByteSize::from_bytes(512).to_string())
        );
    }
}
