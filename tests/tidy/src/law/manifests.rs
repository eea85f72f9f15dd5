//! One manifest decides: every version stands in the workspace, members inherit, and name nothing they do not use.

use toml::{Table, Value};

use crate::Violation;
use crate::tree::Tree;

const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];
const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
/// Packages whose library has another name.
const NAMED_OTHERWISE: [(&str, &str); 1] = [("rustls-webpki", "webpki")];
/// Used by generated code, which is not in the tree.
const USED_BY_GENERATED: [(&str, &str); 3] =
    [("proto", "prost"), ("proto", "prost-types"), ("proto", "tonic-prost")];

/// The law.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let root: Option<Table> = tree.text("Cargo.toml").and_then(|text| text.parse().ok());
    let members = root.as_ref().map(members).unwrap_or_default();
    for (path, text) in tree.ending("/Cargo.toml") {
        let folder = path.trim_end_matches("/Cargo.toml");
        let Ok(manifest) = text.parse::<Table>() else {
            found.push(Violation::new(path, 1, "is not TOML"));
            continue;
        };
        if !members.iter().any(|member| member == folder) {
            found.push(Violation::new(path, 1, "is no member of the workspace"));
        }
        inherits(path, &manifest, &mut found);
        dependencies(tree, path, text, &manifest, &mut found);
    }
    for member in members.iter().filter(|member| tree.text(&format!("{member}/Cargo.toml")).is_none()) {
        found.push(Violation::new("Cargo.toml", 1, format!("member {member} has no Cargo.toml")));
    }
    found
}

fn members(root: &Table) -> Vec<String> {
    let list = root.get("workspace").and_then(|workspace| workspace.get("members"));
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|member| member.as_str().map(ToOwned::to_owned)).collect()
}

fn is_inherited(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

fn inherits(path: &str, manifest: &Table, found: &mut Vec<Violation>) {
    let package = manifest.get("package");
    for key in INHERITED {
        if !is_inherited(package.and_then(|package| package.get(key))) {
            found.push(Violation::new(path, 1, format!("{key}.workspace = true is missing")));
        }
    }
    let lints = manifest.get("lints");
    if lints.and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) != Some(true) {
        found.push(Violation::new(path, 1, "[lints] workspace = true is missing"));
    }
}

fn dependencies(tree: &Tree, path: &str, text: &str, manifest: &Table, found: &mut Vec<Violation>) {
    let folder = path.trim_end_matches("Cargo.toml");
    let crate_name = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    for (name, value) in SECTIONS.iter().filter_map(|table| manifest.get(*table)?.as_table()).flatten() {
        let line = text.lines().position(|line| line.starts_with(name.as_str())).map_or(1, |at| at + 1);
        if !is_inherited(Some(value)) {
            let reason = format!(
                "{name}: the version belongs into the workspace manifest; write {name}.workspace = true"
            );
            found.push(Violation::new(path, line, reason));
        }
        let generated = USED_BY_GENERATED.contains(&(crate_name, name.as_str()));
        let renamed = NAMED_OTHERWISE.iter().find(|(package, _)| package == name);
        let library = renamed.map_or(name.as_str(), |(_, library)| library).replace('-', "_");
        if !generated && !is_used(tree, folder, &library) {
            found.push(Violation::new(path, line, format!("{name} is not used: remove it")));
        }
    }
}

/// Whether a name stands in a source of a crate, outside comments.
fn is_used(tree: &Tree, folder: &str, name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let stands_in = |line: &str| {
        let code = line.trim_start();
        !code.starts_with("//") && code.split(|c| !word(c)).any(|part| part == name)
    };
    tree.ending(".rs")
        .filter(|(path, _)| path.starts_with(folder))
        .any(|(_, text)| text.lines().any(stands_in))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace]\nmembers = [\"a\"]\n";
    const GOOD: &str = "[package]\nname = \"a\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\
        [lints]\nworkspace = true\n[dependencies]\ntokio.workspace = true\n";

    fn broken(root: &str, manifest: &str, source: &str) -> Vec<String> {
        let tree =
            Tree::sample(&[("Cargo.toml", root), ("a/Cargo.toml", manifest), ("a/src/lib.rs", source)]);
        check(&tree).into_iter().map(|violation| violation.reason).collect()
    }

    #[test]
    fn a_member_that_inherits_everything_is_good() {
        assert_eq!(broken(ROOT, GOOD, "use tokio::time;"), [""; 0]);
    }

    #[test]
    fn what_is_not_inherited_is_found() {
        for missing in
            ["license.workspace = true\n", "publish.workspace = true\n", "[lints]\nworkspace = true\n"]
        {
            assert_eq!(broken(ROOT, &GOOD.replace(missing, ""), "use tokio::time;").len(), 1, "{missing}");
        }
    }

    #[test]
    fn a_version_in_a_member_and_a_dependency_nobody_uses_are_found() {
        let own = GOOD.replace("tokio.workspace = true", "tokio = \"1\"");
        assert!(broken(ROOT, &own, "use tokio::time;")[0].contains("tokio.workspace = true"));
        assert!(broken(ROOT, GOOD, "// tokio is not used")[0].contains("is not used"));
    }

    #[test]
    fn a_crate_outside_the_workspace_and_a_member_that_is_not_there_are_found() {
        assert_eq!(broken("[workspace]\nmembers = []\n", GOOD, "use tokio::time;").len(), 1);
        assert_eq!(broken("[workspace]\nmembers = [\"a\", \"b\"]\n", GOOD, "use tokio::time;").len(), 1);
    }
}
