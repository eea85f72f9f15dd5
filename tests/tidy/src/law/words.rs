//! Words that do not belong into a public tree: paths of one machine, hosts of registries, and how the tree was made.

use crate::Violation;
use crate::tree::Tree;

/// The words, in two pieces each, so that this file does not hold them. Matched without regard to case.
const WORDS: [(&str, &str, &str); 26] = [
    ("/wor", "k/", "a path of one machine"),
    ("/roo", "t/", "a path of one machine"),
    ("/home", "/", "a path of one machine"),
    ("/tmp/bri", "ef", "a path of one machine"),
    ("index.crates", ".io", "a registry host"),
    ("static.crates", ".io", "a registry host"),
    ("proxy.golang", ".org", "a registry host"),
    ("pypi", ".org", "a registry host"),
    ("registry.npmjs", ".org", "a registry host"),
    ("artifact", "ory", "a registry host"),
    ("design fol", "der", "how it was made"),
    ("shared/des", "ign", "how it was made"),
    ("clau", "de", "how it was made"),
    ("anthro", "pic", "how it was made"),
    ("open", "ai", "how it was made"),
    ("chat", "gpt", "how it was made"),
    ("copi", "lot", "how it was made"),
    ("language mo", "del", "how it was made"),
    ("ai-gene", "rated", "how it was made"),
    ("sub", "agent", "how it was made"),
    ("step 1 ", "of 6", "how it was made"),
    ("events", ".md §", "a page that is not in the tree"),
    ("routeros", ".md §", "a page that is not in the tree"),
    ("node", ".md §", "a page that is not in the tree"),
    ("crates", ".md §", "a page that is not in the tree"),
    ("style", ".md", "a page that is not in the tree"),
];

/// Written by a tool; names registries by their nature.
const EXEMPT: [&str; 1] = ["Cargo.lock"];

/// The law.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let words = WORDS.map(|(start, end, kind)| (format!("{start}{end}"), kind));
    let mut found = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| !EXEMPT.contains(path)) {
        for (at, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            for (word, kind) in words.iter().filter(|(word, _)| stands_in(&lower, word)) {
                found.push(Violation::new(path, at + 1, format!("{word:?} is {kind}: leave it out")));
            }
        }
    }
    found
}

/// Whether `word` stands in `line` and does not begin in the middle of another word, as in
/// `target/…`.
fn stands_in(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-})".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_found_in_any_file_and_any_case() {
        for (start, end, _) in WORDS {
            let text = format!("fine\nsee {}{} here\n", start.to_uppercase(), end);
            let found = check(&Tree::sample(&[("docs/x.md", &text)]));
            assert!(found.iter().any(|violation| violation.line == 2), "{start}{end}");
        }
    }

    #[test]
    fn a_part_of_a_longer_path_or_word_is_not_meant() {
        let text = format!("target/wor{}main and $folder/roo{}x\n", "k/", "t/");
        assert_eq!(check(&Tree::sample(&[("x.sh", &text)])), []);
    }
}
