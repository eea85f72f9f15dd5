//! Who may depend on whom: the dependency law of docs/ARCHITECTURE.md, and one owner per foreign language.

use std::collections::BTreeSet;

use crate::Violation;
use crate::tree::Tree;

/// Crates of others that speak a foreign language, and the only crates of ours that may use them.
const OWNERS: [(&str, &[&str]); 4] = [
    // SSH: the driver's side, the appliance's side, and the harness that makes their keys.
    ("russh", &["rds-backend", "routeros-sim", "harness", "bench"]),
    // The kernel.
    ("nix", &["nvme-agent"]),
    // Kubernetes: Events; the UID of kube-system; the operator's kubeconfig.
    ("kube", &["event-relay", "rds-backend", "rdsctl"]),
    ("k8s-openapi", &["event-relay", "rds-backend", "rdsctl"]),
];

/// Where a dependency is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Normal,
    Dev,
    Build,
}

const SECTIONS: [(&str, Section); 3] = [
    ("dependencies", Section::Normal),
    ("dev-dependencies", Section::Dev),
    ("build-dependencies", Section::Build),
];

/// The law.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let ours: BTreeSet<&str> = tree.ending("/Cargo.toml").map(|(path, _)| folder(path)).collect();
    let mut found = Vec::new();
    for (path, text) in tree.ending("/Cargo.toml") {
        let Ok(manifest) = text.parse::<toml::Table>() else {
            found.push(Violation::new(path, 1, "is not TOML"));
            continue;
        };
        for (table, section) in SECTIONS {
            let names = manifest.get(table).and_then(toml::Value::as_table);
            for name in names.into_iter().flat_map(toml::Table::keys) {
                let refused = if ours.contains(name.as_str()) {
                    refuse_ours(path, name, section)
                } else {
                    refuse_foreign(folder(path), name)
                };
                if let Some(reason) = refused {
                    found.push(Violation::new(path, line_of(text, name), reason));
                }
            }
        }
    }
    found
}

fn folder(path: &str) -> &str {
    path.trim_end_matches("/Cargo.toml").rsplit('/').next().unwrap_or_default()
}

fn line_of(text: &str, name: &str) -> usize {
    let declares = |line: &str| {
        let rest = line.trim_start().trim_start_matches('"').strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=', '"']))
    };
    text.lines().position(declares).map_or(1, |at| at + 1)
}

/// Why a crate of ours may not depend on another one of ours.
fn refuse_ours(path: &str, name: &str, section: Section) -> Option<String> {
    let allowed: &[&str] = match (folder(path), section) {
        ("proto", _) => &[],
        // It knows no volume, disk, NQN or event.
        ("chassis", _) => &[],
        // It shares nothing with what it tests.
        ("routeros-sim" | "cluster" | "tidy", _) => &[],
        (_, Section::Normal | Section::Build) if path.starts_with("services/") => &["proto", "chassis"],
        // The operator's commands are held against the services as they are.
        ("rdsctl", Section::Dev) => &["proto", "chassis", "cluster", "harness"],
        // What stands in for the appliance, and a real API server: both know nothing of ours.
        (_, Section::Dev) if path.starts_with("services/") => {
            &["proto", "chassis", "routeros-sim", "cluster"]
        }
        // Harness, suite and the like use everything.
        (_, Section::Normal | Section::Dev | Section::Build) => return None,
    };
    if allowed.contains(&name) {
        return None;
    }
    let crate_name = folder(path);
    Some(match allowed {
        [] => format!("{crate_name} may depend on no crate of ours, so not on {name}"),
        allowed => format!("{crate_name} may depend on {} only, so not on {name}", allowed.join(", ")),
    })
}

/// Why a crate of ours may not depend on a crate of others.
fn refuse_foreign(crate_name: &str, name: &str) -> Option<String> {
    let (_, owners) = OWNERS.iter().find(|(foreign, _)| *foreign == name)?;
    if owners.contains(&crate_name) {
        return None;
    }
    Some(format!("{name} belongs to {}; {crate_name} has to ask them", owners.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: [(&str, &str); 5] = [
        ("proto/Cargo.toml", ""),
        ("services/chassis/Cargo.toml", ""),
        ("services/rds-backend/Cargo.toml", ""),
        ("tests/routeros-sim/Cargo.toml", ""),
        ("tests/harness/Cargo.toml", ""),
    ];

    fn broken(path: &str, dependencies: &str) -> usize {
        let mut files = OTHERS.to_vec();
        files.retain(|(other, _)| *other != path);
        files.push((path, dependencies));
        check(&Tree::sample(&files)).len()
    }

    #[test]
    fn every_arrow_the_architecture_forbids_is_found() {
        for (path, section, name) in [
            ("services/chassis/Cargo.toml", "dependencies", "proto"),
            ("services/chassis/Cargo.toml", "dev-dependencies", "proto"),
            ("services/csi-front/Cargo.toml", "dependencies", "rds-backend"),
            ("services/csi-front/Cargo.toml", "dev-dependencies", "harness"),
            ("services/csi-front/Cargo.toml", "dependencies", "routeros-sim"),
            ("tests/routeros-sim/Cargo.toml", "dependencies", "proto"),
            ("proto/Cargo.toml", "dependencies", "chassis"),
            ("services/csi-front/Cargo.toml", "dependencies", "russh"),
            ("services/csi-front/Cargo.toml", "dependencies", "kube"),
            ("services/rds-backend/Cargo.toml", "dependencies", "nix"),
        ] {
            let text = format!("[{section}]\n{name}.workspace = true\n");
            assert_eq!(broken(path, &text), 1, "{path} {text}");
        }
    }

    #[test]
    fn the_arrows_the_architecture_draws_are_allowed() {
        for (path, section, name) in [
            ("services/rds-backend/Cargo.toml", "dependencies", "chassis"),
            ("services/rds-backend/Cargo.toml", "dev-dependencies", "routeros-sim"),
            ("services/rds-backend/Cargo.toml", "dependencies", "russh"),
            ("tests/harness/Cargo.toml", "dependencies", "rds-backend"),
        ] {
            let text = format!("[{section}]\n{name}.workspace = true\n");
            assert_eq!(broken(path, &text), 0, "{path} {text}");
        }
    }

    #[test]
    fn the_line_of_the_dependency_is_named() {
        let text = "[dependencies]\ntokio.workspace = true\nkube = { workspace = true }\n";
        let found = check(&Tree::sample(&[("services/csi-front/Cargo.toml", text)]));
        assert_eq!(found[0].line, 3);
    }
}
