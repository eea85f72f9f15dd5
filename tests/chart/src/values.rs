//! values.yaml as its readers see it: each value, its default, and the comment `# -- …` above it.

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `a.b.c`
    pub path: String,
    /// As the file has it.
    pub default: String,
    /// The comment above it; empty when there is none.
    pub about: String,
}

/// Every value of the file that is not a mapping over several lines, in its order.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut about = "";
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(comment) = trimmed.strip_prefix("# -- ") {
            about = comment;
            continue;
        }
        let Some((key, value)) = trimmed.split_once(':').filter(|_| !trimmed.starts_with(['#', '-'])) else {
            continue;
        };
        let depth = line.len() - trimmed.len();
        above.retain(|(other, _)| *other < depth);
        above.push((depth, key));
        if !value.trim().is_empty() {
            let path: Vec<&str> = above.iter().map(|(_, key)| *key).collect();
            found.push(Entry {
                path: path.join("."),
                default: value.trim().to_owned(),
                about: about.to_owned(),
            });
        }
        about = "";
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_with_its_path_its_default_and_its_comment() {
        let text = "# A file.\na:\n  # -- What b is.\n  b: {c: 1}\n  d:\n    e: \"\"\nf: []\n#  - x: y\n";
        let found: Vec<(String, String, String)> =
            entries(text).into_iter().map(|entry| (entry.path, entry.default, entry.about)).collect();
        let row =
            |path: &str, default: &str, about: &str| (path.to_owned(), default.to_owned(), about.to_owned());
        let wanted = [row("a.b", "{c: 1}", "What b is."), row("a.d.e", "\"\"", ""), row("f", "[]", "")];
        assert_eq!(found, wanted);
    }
}
