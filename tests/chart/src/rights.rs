//! Rights as single sentences: who may do what to which resource, and where. Read from the table of docs/security.md and
//! from what an API server answers, to be compared.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::items;

/// `VERB RESOURCE[.GROUP][/NAME] SCOPE`
pub type Rights = BTreeSet<String>;

/// Where a right holds.
pub const EVERYWHERE: &str = "cluster";
/// Where a right holds.
pub const OWN_NAMESPACE: &str = "own namespace";

/// Rights that a SelfSubjectRulesReview lists, as if they held in `scope`.
pub fn listed(review: &str, scope: &str) -> Result<Rights> {
    let review: Value = serde_json::from_str(review).context("the review is not JSON")?;
    anyhow::ensure!(
        review["status"]["incomplete"] == false,
        "the API server does not know everything: {review}"
    );
    let mut rights = Rights::new();
    for rule in items(&review["status"]["resourceRules"]) {
        let text = |list: &str| -> Vec<String> {
            items(&rule[list]).filter_map(Value::as_str).map(ToOwned::to_owned).collect()
        };
        let mut names = text("resourceNames");
        if names.is_empty() {
            names.push(String::new());
        }
        for group in text("apiGroups") {
            for resource in text("resources") {
                for name in &names {
                    rights
                        .extend(text("verbs").iter().map(|verb| right(verb, &resource, &group, name, scope)));
                }
            }
        }
    }
    Ok(rights)
}

fn right(verb: &str, resource: &str, group: &str, name: &str, scope: &str) -> String {
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let name = if name.is_empty() { String::new() } else { format!(" {name}") };
    format!("{verb} {resource}{group}{name} ({scope})")
}

/// The rights that the table of a page gives to `account`. Its columns: account, resources, verbs, where, why. A
/// resource is `name`, `name.group`, or `name.group NAME` for single objects;
/// `none` stands for an account without rights.
pub fn documented(page: &str, account: &str) -> Rights {
    let mut rights = Rights::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        let [_, who, resources, verbs, scope, ..] = cells.as_slice() else {
            continue;
        };
        if who != account || resources == "none" {
            continue;
        }
        for resource in resources.split(',').map(str::trim) {
            for verb in verbs.split(',').map(str::trim) {
                rights.insert(format!("{verb} {resource} ({scope})"));
            }
        }
    }
    rights
}
