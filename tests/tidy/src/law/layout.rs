//! Modules are `foo.rs` and `foo/`, named by nouns of the domain; a crate is named as its folder.

use crate::Violation;
use crate::source::{self, Thing};
use crate::tree::Tree;

/// Names that say nothing about what is inside.
const BANNED: [&str; 16] = [
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "core",
    "types",
    "manager",
    "managers",
    "handler",
    "handlers",
    "processor",
    "info",
    "misc",
    "shared",
    "lib_utils",
];

/// The law.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".rs") {
        if path.ends_with("/mod.rs") {
            found.push(Violation::new(path, 1, "mod.rs: write foo.rs beside the folder foo/"));
        }
        let names = path.trim_end_matches(".rs").split('/');
        for name in names.filter(|name| BANNED.contains(name)) {
            found.push(Violation::new(path, 1, banned(name)));
        }
        // What is not Rust is reported by the law of sizes.
        let _ = source::walk(text, false, &mut |thing, line, _| {
            if let Thing::Module(name) = thing
                && BANNED.contains(&name.as_str())
            {
                found.push(Violation::new(path, line, banned(name)));
            }
        });
    }
    for (path, text) in tree.ending("/Cargo.toml") {
        let folder = path.trim_end_matches("/Cargo.toml").rsplit('/').next().unwrap_or_default();
        let named = text.parse::<toml::Table>().ok().and_then(|manifest| {
            let name = manifest.get("package")?.get("name")?.as_str()?;
            Some(name.to_owned())
        });
        if named.as_deref() != Some(folder) {
            let reason = format!("the crate in folder {folder} must be named {folder}");
            found.push(Violation::new(path, 1, reason));
        }
    }
    found
}

fn banned(name: &str) -> String {
    format!("module {name}: the name says nothing; name it after what it owns")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> usize {
        check(&Tree::sample(&[(path, text)])).len()
    }

    #[test]
    fn mod_rs_and_empty_names_are_found() {
        assert_eq!(broken("a/src/event/mod.rs", ""), 1);
        assert_eq!(broken("a/src/utils.rs", ""), 1);
        assert_eq!(broken("a/src/types/x.rs", ""), 1);
        assert_eq!(broken("a/src/lib.rs", "mod helpers {}"), 1);
        assert_eq!(broken("a/src/event.rs", "mod fold {}"), 0);
    }

    #[test]
    fn a_crate_named_unlike_its_folder_is_found() {
        assert_eq!(broken("services/a/Cargo.toml", "[package]\nname = \"b\"\n"), 1);
        assert_eq!(broken("services/a/Cargo.toml", "[package]\nname = \"a\"\n"), 0);
    }
}
