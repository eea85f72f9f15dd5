//! The laws of the project, as functions from a tree of files to what breaks them.
//!
//! `tests/laws.rs` holds the tree of this repository against each; every law has a bad sample of its own beside it, so
//! that it is known to be able to fail. A law reads text and syntax only: what the compiler or clippy can check is
//! theirs (clippy.toml).

pub mod law {
    //! One module per subject.
    pub mod code;
    pub mod dependencies;
    pub mod docs;
    pub mod layout;
    pub mod manifests;
    pub mod size;
    pub mod words;
}
pub mod source;
pub mod tree;

use std::fmt;

/// One place that breaks a law.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Path from the root of the tree.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, and what to do instead.
    pub reason: String,
}

impl Violation {
    /// A violation at a place.
    pub fn new(file: &str, line: usize, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, reason: reason.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// A law: everything in a tree that breaks it.
pub type Law = fn(&tree::Tree) -> Vec<Violation>;

/// Every law, with the name its test has.
pub const LAWS: &[(&str, Law)] = &[
    ("files_and_functions_are_short", law::size::check),
    ("modules_are_named_by_domain_nouns_and_never_mod_rs", law::layout::check),
    ("crates_depend_only_on_what_the_architecture_allows", law::dependencies::check),
    ("manifests_inherit_from_the_workspace", law::manifests::check),
    ("code_keeps_to_the_bans", law::code::check),
    ("what_is_public_is_documented", law::docs::check),
    ("no_text_tells_what_does_not_belong_in_it", law::words::check),
];
