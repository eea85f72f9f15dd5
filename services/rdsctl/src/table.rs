//! What people read: tables, lists of fields, sizes. All foreign text on its way to a terminal goes through
//! [`visible`], so that a name on an appliance cannot move the operator's cursor, colour the screen or forge a line.

use std::fmt::Write as _;

use proto::size::ByteSize;

/// True for characters that steer a terminal: C0, DEL, C1, and those that turn the direction of writing.
pub(crate) const fn steers(c: char) -> bool {
    c.is_ascii_control()
        || matches!(c, '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with everything that steers a terminal written out: `\n`, `\x1b`, `\u{202e}`.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '\n' => write!(shown, "\\n"),
            '\r' => write!(shown, "\\r"),
            '\t' => write!(shown, "\\t"),
            c if steers(c) && u32::from(c) <= 0xff => write!(shown, "\\x{:02x}", u32::from(c)),
            c if steers(c) => write!(shown, "\\u{{{:x}}}", u32::from(c)),
            c => write!(shown, "{c}"),
        };
    }
    shown
}

/// The lines of a text, each one [`visible`].
pub(crate) fn lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().map(visible)
}

/// Rows below a heading, columns as wide as their widest cell and two spaces apart.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// An empty table with this heading.
    pub(crate) fn new(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(ToOwned::to_owned)] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| visible(&cell)));
    }

    /// True while there is a heading only.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// One text per row, the heading first, without spaces at the end.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &[String; N]| {
            let cells: Vec<String> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

impl<const N: usize> std::fmt::Display for Table<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lines().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// One thing: a line per field, `-` where it has none.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| {
        let value = if value.is_empty() { "-".to_owned() } else { visible(value) };
        format!("{name:<width$}  {value}\n")
    };
    fields.iter().map(line).collect()
}

/// Puts an empty line between the parts that are not empty.
pub(crate) fn paragraphs(parts: &[String]) -> String {
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join("\n")
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

/// A size for people and to the byte.
pub(crate) fn exact(bytes: u64) -> String {
    if bytes < 1 << 20 { rough(bytes) } else { format!("{} ({bytes} bytes)", rough(bytes)) }
}

pub(crate) fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_steers_a_terminal_and_what_steers_none_is_unchanged(text in any::<String>()) {
            let shown = visible(&text);
            prop_assert!(!shown.contains(steers));
            if !text.contains(steers) {
                prop_assert_eq!(shown, text);
            }
        }
    }

    #[test]
    fn columns_are_as_wide_as_needed_and_lines_end_without_spaces() {
        let mut table = Table::new(["NAME", "SIZE", "NOTE"]);
        table.row(["a-long-name".to_owned(), "1".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "NAME         SIZE  NOTE\na-long-name  1\n");
    }

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        let hostile = "a\u{1b}[2Jb\rc\nd\u{9b}31me\u{7f}\u{202e}f\u{0}";
        assert_eq!(visible(hostile), "a\\x1b[2Jb\\rc\\nd\\x9b31me\\x7f\\u{202e}f\\x00");
        let mut table = Table::new(["NAME"]);
        table.row([hostile.to_owned()]);
        let shown = table.to_string() + &fields(&[("name", hostile.to_owned())]);
        assert!(shown.chars().all(|c| c == '\n' || !steers(c)), "{shown:?}");
        assert_eq!(shown.lines().count(), 3, "no cell makes a line of its own");
        assert_eq!(visible("Umlaute äöü, 漢字 and 🦀 stay"), "Umlaute äöü, 漢字 and 🦀 stay");
    }

    #[test]
    fn sizes_are_readable_and_small_ones_exact() {
        assert_eq!(rough(3 << 40), "3.0 TiB");
        assert_eq!(rough(1536 << 20), "1.5 GiB");
        assert_eq!(rough(0), "0 bytes");
        assert_eq!(exact((1 << 30) + 1), "1.0 GiB (1073741825 bytes)");
    }
}
