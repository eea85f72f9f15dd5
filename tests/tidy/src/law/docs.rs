//! What must be explained: each module, each field of the contract, each verb of the Makefile; and links that lead
//! somewhere.

use std::collections::BTreeSet;

use crate::Violation;
use crate::tree::Tree;

/// The law.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    modules(tree, &mut found);
    contract(tree, &mut found);
    verbs(tree, &mut found);
    links(tree, &mut found);
    found
}

fn modules(tree: &Tree, found: &mut Vec<Violation>) {
    let of_tests =
        |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/") && !path.contains("/src/");
    for (path, text) in tree.ending(".rs").filter(|(path, _)| path.contains("src/") && !of_tests(path)) {
        let inside_tests = path.split("/src/").nth(1).is_some_and(|rest| rest.contains("tests/"));
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        if !inside_tests && !first.starts_with("//!") {
            let reason = "begins without //!: say what it owns, the path through it, failure, what is absent on purpose";
            found.push(Violation::new(path, 1, reason));
        }
    }
}

/// Fields, calls and enum values of `rds.*`: each with a comment above it.
fn contract(tree: &Tree, found: &mut Vec<Violation>) {
    for (path, text) in tree.ending(".proto").filter(|(path, _)| path.starts_with("proto/rds/")) {
        let mut before = "";
        for (at, line) in text.lines().map(str::trim).enumerate() {
            if declares(line) && !before.starts_with("//") {
                let reason = format!("no comment above `{line}`: say its unit and meaning");
                found.push(Violation::new(path, at + 1, reason));
            }
            before = line;
        }
    }
}

/// True for a field, a call or an enum value other than the one that stands for none.
fn declares(line: &str) -> bool {
    let numbered = line.ends_with(';') && line.contains(" = ") && !line.starts_with("//");
    let keyword = ["syntax", "option", "package", "import"]
        .iter()
        .any(|word| line.starts_with(word) && !line.starts_with("optional"));
    let none = line.ends_with("_UNSPECIFIED = 0;");
    numbered && !keyword && !none || line.starts_with("rpc ")
}

fn verbs(tree: &Tree, found: &mut Vec<Violation>) {
    let Some(makefile) = tree.text("Makefile") else {
        found.push(Violation::new("Makefile", 1, "is missing: it is the list of verbs"));
        return;
    };
    let mut verbs = BTreeSet::new();
    for (at, line) in makefile.lines().enumerate() {
        let Some((name, rest)) = line.split_once(':') else {
            continue;
        };
        let is_verb = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        if is_verb && !rest.starts_with('=') {
            verbs.insert(name);
            if !rest.contains("## ") {
                let reason = format!("verb {name}: say after ## what it does");
                found.push(Violation::new("Makefile", at + 1, reason));
            }
        }
    }
    let readme = tree.text("README.md").unwrap_or_default();
    for verb in ["demo", "test"] {
        if !verbs.contains(verb) {
            found.push(Violation::new("Makefile", 1, format!("verb {verb} is missing")));
        }
        if !readme.contains(&format!("make {verb}")) {
            let reason = format!("does not show `make {verb}`, one of the two commands of a newcomer");
            found.push(Violation::new("README.md", 1, reason));
        }
    }
    for (path, text) in tree.ending(".md") {
        unknown_verbs(path, text, &verbs, found);
    }
}

/// `make x` in a page where the Makefile has no `x`.
fn unknown_verbs(path: &str, text: &str, verbs: &BTreeSet<&str>, found: &mut Vec<Violation>) {
    for (at, line) in text.lines().enumerate() {
        for rest in line.split("`make ").skip(1) {
            let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(rest.len());
            let verb = &rest[..end];
            if !verb.is_empty() && !verbs.contains(verb) {
                found.push(Violation::new(
                    path,
                    at + 1,
                    format!("`make {verb}`: the Makefile has no such verb"),
                ));
            }
        }
    }
}

fn links(tree: &Tree, found: &mut Vec<Violation>) {
    for (path, text) in tree.ending(".md") {
        let mut in_code = false;
        for (at, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if let Some(reason) = broken_link(tree, path, text, target) {
                    found.push(Violation::new(path, at + 1, reason));
                }
            }
        }
    }
}

fn broken_link(tree: &Tree, path: &str, text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let place = resolve(path, file);
    if !file.is_empty() && !place.as_deref().is_some_and(|place| tree.exists(place)) {
        return Some(format!("link to {target}: there is no such file"));
    }
    let page = match file {
        "" => Some(text),
        _ => place.and_then(|place| tree.text(&place)),
    };
    let has_anchor = page.is_some_and(|page| anchors(page).contains(anchor));
    (!anchor.is_empty() && !has_anchor).then(|| format!("link to {target}: there is no such heading"))
}

/// The path `file` means in the page at `path`; `None` when it leaves the tree.
fn resolve(path: &str, file: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in file.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Anchors of the headings of a page, as the usual renderers make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests;
