//! The alerts of the chart, as they stand in its files.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// An alert.
#[derive(Debug)]
pub(crate) struct Alert {
    /// Its name.
    pub(crate) name: String,
    /// Its expression.
    pub(crate) expression: String,
    labels: Value,
    annotations: Value,
}

impl Alert {
    /// How bad it is.
    pub(crate) fn severity(&self) -> Result<String> {
        text_of(&self.labels, "severity")
    }
}

/// What a file of rules holds.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Alerts, in order.
    pub(crate) alerts: Vec<Alert>,
    /// Names and expressions of recorded series.
    pub(crate) records: Vec<(String, String)>,
    groups: Vec<String>,
}

/// The rules of the chart.
pub(crate) fn rules() -> Result<Rules> {
    let mut rules = Rules::default();
    for file in crate::files("charts/rds-csi/alerts", "yaml")? {
        let text = std::fs::read_to_string(&file)?;
        let document: Value = serde_saphyr::from_str(&text).with_context(|| file.display().to_string())?;
        for group in document["groups"].as_array().context("no groups")? {
            rules.groups.push(text_of(group, "name")?);
            for rule in group["rules"].as_array().context("no rules")? {
                let expression = text_of(rule, "expr")?;
                if let Ok(name) = text_of(rule, "record") {
                    rules.records.push((name, expression));
                    continue;
                }
                let (labels, annotations) = (rule["labels"].clone(), rule["annotations"].clone());
                rules.alerts.push(Alert { name: text_of(rule, "alert")?, expression, labels, annotations });
            }
        }
    }
    Ok(rules)
}

fn text_of(value: &Value, key: &str) -> Result<String> {
    Ok(value[key].as_str().with_context(|| format!("no text {key} in {value}"))?.to_owned())
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_is_about_and_where_to_read_on() -> Result<()> {
    for alert in rules()?.alerts {
        let name = &alert.name;
        ensure!(name.starts_with("RdsCsi"), "{name}: names begin with RdsCsi, others have alerts too");
        let severity = alert.severity()?;
        ensure!(["critical", "warning"].contains(&severity.as_str()), "{name}: severity {severity}");
        let summary = text_of(&alert.annotations, "summary")?;
        let description = text_of(&alert.annotations, "description")?;
        for text in [&summary, &description] {
            ensure!(text.contains("{{ $labels."), "{name} does not say what it is about: {text}");
        }
        ensure!(description.len() > summary.len(), "{name}: the description says less than the summary");
        let runbook = text_of(&alert.annotations, "runbook_url")?;
        ensure!(runbook == format!("docs/alerts.md#{}", name.to_lowercase()), "{name}: {runbook}");
    }
    Ok(())
}

#[test]
fn no_two_alerts_and_no_two_groups_have_the_same_name() -> Result<()> {
    let rules = rules()?;
    let names: BTreeSet<_> = rules.alerts.iter().map(|alert| &alert.name).collect();
    ensure!(names.len() == rules.alerts.len(), "an alert exists twice");
    let groups: BTreeSet<_> = rules.groups.iter().collect();
    ensure!(groups.len() == rules.groups.len(), "a group exists twice: {:?}", rules.groups);
    Ok(())
}
