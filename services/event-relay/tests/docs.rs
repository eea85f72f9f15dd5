//! `docs/events.md` says what the catalogue of the code says.

use std::path::PathBuf;

use proto::event::{CATALOGUE, SubjectKind};

const BEGIN: &str = "<!-- catalogue: written by `UPDATE_DOCS=1 cargo test -p event-relay docs` -->\n";
const END: &str = "<!-- end of catalogue -->\n";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md")
}

const fn kind(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Claim => "PersistentVolumeClaim",
        SubjectKind::PersistentVolume => "PersistentVolume",
        SubjectKind::Node => "Node",
        SubjectKind::StorageClass => "StorageClass",
    }
}

fn table() -> String {
    let mut table = "| reason | type | about | action | reported by |\n|---|---|---|---|---|\n".to_owned();
    for entry in CATALOGUE {
        let subjects: Vec<_> = entry.subjects.iter().map(|subject| kind(*subject)).collect();
        let senders: Vec<_> = entry.senders.iter().map(|sender| sender.as_str()).collect();
        table.push_str(&format!(
            "| [{name}](#{anchor}) | {severity} | {subjects} | {action} | {senders} |\n",
            name = entry.name,
            anchor = entry.name.to_lowercase(),
            severity = entry.severity.as_str(),
            subjects = subjects.join(", "),
            action = entry.action,
            senders = senders.join(", "),
        ));
    }
    table
}

#[test]
fn docs_list_the_catalogue_as_the_code_has_it() {
    let text = std::fs::read_to_string(page()).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has the marker before the table");
    let (shown, after) = rest.split_once(END).expect("the page has the marker after the table");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(page(), format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
        return;
    }
    assert_eq!(
        shown,
        table(),
        "docs/events.md is out of date: run UPDATE_DOCS=1 cargo test -p event-relay docs"
    );
}

#[test]
fn docs_have_a_runbook_entry_for_each_reason_and_for_nothing_else() {
    let text = std::fs::read_to_string(page()).unwrap();
    let entries: Vec<(&str, &str)> =
        text.split("\n### ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    let headings: Vec<_> = entries.iter().map(|(heading, _)| *heading).collect();
    let reasons: Vec<_> = CATALOGUE.iter().map(|entry| entry.name).collect();
    assert_eq!(headings, reasons, "one ### section per reason, in the order of the catalogue");
    for (heading, body) in entries {
        assert!(body.trim().len() > 40, "{heading}: say what it means and what to do");
    }
}
