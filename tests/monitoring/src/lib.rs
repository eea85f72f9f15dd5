//! Alerts and dashboards, held against what they are for: promtool runs the alerts' own tests (`alerts/`), a real
//! Prometheus asks every query of every dashboard about a running stack, and every alert has a section in the runbook.
//!
//! Tests that need promtool or Prometheus say so, loudly, when they are left out; where `CI` is set they fail instead.

#[cfg(test)]
mod alert;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod promtool;
#[cfg(test)]
mod query;
#[cfg(test)]
mod runbook;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tool;
#[cfg(test)]
mod workload;

#[cfg(test)]
use std::path::PathBuf;

/// A path from the root of the tree.
#[cfg(test)]
fn path(from_root: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(from_root)
}

/// The files of a folder that end so, by name.
#[cfg(test)]
fn files(folder: &str, end: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path(folder))? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == end) {
            found.push(file);
        }
    }
    anyhow::ensure!(!found.is_empty(), "{folder} holds no .{end} file");
    found.sort();
    Ok(found)
}
