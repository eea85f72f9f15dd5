//! This repository against its laws. Each failure names file, line and reason.

use std::path::Path;

use tidy::{LAWS, tree::Tree};

fn hold(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = Tree::read(&root).expect("the tree can be read");
    let (_, law) = LAWS.iter().find(|(law, _)| *law == name).expect("the law exists");
    let mut found = law(&tree);
    found.sort();
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} violation(s)\n{}\n", lines.len(), lines.join("\n"));
}

#[test]
fn files_and_functions_are_short() {
    hold("files_and_functions_are_short");
}

#[test]
fn modules_are_named_by_domain_nouns_and_never_mod_rs() {
    hold("modules_are_named_by_domain_nouns_and_never_mod_rs");
}

#[test]
fn crates_depend_only_on_what_the_architecture_allows() {
    hold("crates_depend_only_on_what_the_architecture_allows");
}

#[test]
fn manifests_inherit_from_the_workspace() {
    hold("manifests_inherit_from_the_workspace");
}

#[test]
fn code_keeps_to_the_bans() {
    hold("code_keeps_to_the_bans");
}

#[test]
fn what_is_public_is_documented() {
    hold("what_is_public_is_documented");
}

#[test]
fn no_text_tells_what_does_not_belong_in_it() {
    hold("no_text_tells_what_does_not_belong_in_it");
}

#[test]
fn no_law_is_left_untested_here() {
    let tested = include_str!("laws.rs");
    for (name, _) in LAWS {
        assert!(tested.contains(&format!("fn {name}()")), "{name}");
    }
}
