//! docs/alerts.md: one section per alert, and no other.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

#[test]
fn every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() -> Result<()> {
    let text = std::fs::read_to_string(crate::path("docs/alerts.md"))?;
    let sections: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let rules = crate::alert::rules()?;
    let alerts: BTreeSet<_> = rules.alerts.iter().map(|alert| alert.name.as_str()).collect();
    let without: Vec<_> = alerts.difference(&sections).collect();
    ensure!(without.is_empty(), "no section in docs/alerts.md for {without:?}");
    let gone: Vec<_> = sections.difference(&alerts).collect();
    ensure!(gone.is_empty(), "sections of alerts that do not exist: {gone:?}");
    Ok(())
}

#[test]
fn every_section_of_the_runbook_says_what_it_means_and_what_to_do() -> Result<()> {
    let text = std::fs::read_to_string(crate::path("docs/alerts.md"))?;
    for section in text.split("\n### ").skip(1) {
        let name = section.lines().next().unwrap_or_default();
        for part in ["**Means.**", "**Do.**"] {
            ensure!(section.contains(part), "{name}: no {part}");
        }
    }
    Ok(())
}

#[test]
fn the_table_of_the_runbook_names_every_alert_with_its_severity() -> Result<()> {
    let text = std::fs::read_to_string(crate::path("docs/alerts.md"))?;
    for alert in crate::alert::rules()?.alerts {
        let row = format!("| [{}](#{}) | {} |", alert.name, alert.name.to_lowercase(), alert.severity()?);
        ensure!(text.contains(&row), "not in the table of docs/alerts.md: {row}");
    }
    Ok(())
}
