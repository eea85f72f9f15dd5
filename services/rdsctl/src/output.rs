//! How an answer is printed: for people, as JSON, or as YAML. One place for all commands.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::Value;

use crate::table::steers;

/// How to print an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

impl Output {
    /// Prints what is asked for; the other is not even made.
    pub(crate) fn show(self, text: impl FnOnce() -> String, value: impl FnOnce() -> Value) {
        match self {
            Self::Text => print(&text()),
            Self::Json => print(&json(&value())),
            Self::Yaml => print(&yaml(&value())),
        }
    }
}

/// Prints on standard output. A reader that went away is no failure of ours.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Prints a line on standard error: progress, explanations.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Indented, and with everything that steers a terminal written as `\u001b`: inside a string it means the same.
pub(crate) fn json(value: &Value) -> String {
    let mut text = String::new();
    for c in format!("{value:#}\n").chars() {
        // serde_json leaves DEL and C1 as they are. Line ends are those of the layout: in strings they are escaped.
        // Writing to a String cannot fail.
        let _ = match c {
            c if c != '\n' && steers(c) => write!(text, "\\u{:04x}", u32::from(c)),
            c => write!(text, "{c}"),
        };
    }
    text
}

/// Block style. Characters that steer a terminal are escaped by the writer.
pub(crate) fn yaml(value: &Value) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false, compact_list_indent: true };
    // What it cannot write it could only refuse; JSON is YAML too.
    serde_saphyr::to_string_with_options(value, options).unwrap_or_else(|_| json(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn awkward() -> Value {
        let texts = [
            "",
            " ",
            "yes",
            "no",
            "null",
            "~",
            "1",
            "1e3",
            "0x1f",
            "0o7",
            "2027-01-15T08:00:00Z",
            "a: b",
            "- a",
            "# a",
            "a #b",
            "'",
            "\"",
            "\\",
            "%",
            "@",
            "`",
            "{}",
            "[a]",
            "&a",
            "*a",
            "!a",
            "|",
            ">",
            "...",
            "---",
            "line\nline",
            "\ttab",
            "trailing ",
            "a\r\nb",
            "\u{1b}[2J",
            "\u{7f}",
            "\u{9b}31m",
            "\u{85}",
            "äöü 漢字 🦀",
            "\u{feff}",
            "raid1/volumes/csi-0.img",
            "rds1/csi-1",
            ".inf",
            "1_000",
            "12:30:45",
        ];
        json!({
            "texts": texts.to_vec(), "numbers": [0, -1, u64::MAX, i64::MIN], "empty": [{}, []], "nothing": null,
            "nested": [{ "a": [{ "b": true }] }], "key: with # signs": texts.map(|text| json!({ "text": text })).to_vec(),
        })
    }

    #[test]
    fn json_reads_back_as_it_was_and_cannot_steer_a_terminal() {
        let text = json(&awkward());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), awkward());
        assert!(text.chars().all(|c| c == '\n' || !steers(c)), "{text:?}");
    }

    #[test]
    fn yaml_reads_back_as_it_was_and_cannot_steer_a_terminal() {
        let text = yaml(&awkward());
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), awkward(), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !steers(c)), "{text:?}");
    }

    #[test]
    fn yaml_is_written_in_blocks() {
        let text = yaml(
            &json!([{ "name": "rds1", "pools": [{ "slot": "raid1", "size_bytes": 5 }], "warnings": [] }]),
        );
        assert_eq!(text, "- name: rds1\n  pools:\n  - size_bytes: 5\n    slot: raid1\n  warnings: []\n");
    }
}
