//! The dashboards of the chart, as they stand in its files, and what each has to be like.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The variable every query goes to.
const DATASOURCE: &str = "${datasource}";

/// A dashboard.
pub(crate) struct Dashboard {
    /// Its file's name.
    pub(crate) file: String,
    text: String,
    json: Value,
}

/// The dashboards of the chart.
pub(crate) fn dashboards() -> Result<Vec<Dashboard>> {
    let mut found = Vec::new();
    for path in crate::files("charts/rds-csi/dashboards", "json")? {
        let text = std::fs::read_to_string(&path)?;
        let json = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push(Dashboard { file, text, json });
    }
    Ok(found)
}

impl Dashboard {
    /// Its panels.
    pub(crate) fn panels(&self) -> &[Value] {
        self.json["panels"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Its variables but the data source: name and query.
    pub(crate) fn variables(&self) -> Vec<(&str, &str)> {
        let list = self.json["templating"]["list"].as_array().map_or(&[][..], Vec::as_slice);
        let queries = list.iter().filter(|variable| variable["type"] == "query");
        queries.map(|variable| (text(variable, "name"), text(variable, "definition"))).collect()
    }
}

/// A text of an object; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Queries of a panel.
pub(crate) fn targets(panel: &Value) -> &[Value] {
    panel["targets"].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn the_four_dashboards_are_there_each_under_a_name_of_its_own() -> Result<()> {
    let dashboards = dashboards()?;
    let files: Vec<_> = dashboards.iter().map(|dashboard| dashboard.file.as_str()).collect();
    ensure!(files == ["appliance.json", "events.json", "fleet.json", "node.json"], "{files:?}");
    for dashboard in &dashboards {
        let name = dashboard.file.trim_end_matches(".json");
        ensure!(text(&dashboard.json, "uid") == format!("rds-csi-{name}"), "uid of {name}");
        ensure!(dashboard.json.get("id").is_none(), "{name}: an id of its own collides with another's");
        ensure!(dashboard.json["schemaVersion"].as_u64() >= Some(41), "{name}: schemaVersion");
        let description = text(&dashboard.json, "description");
        ensure!(!description.is_empty(), "{name} does not say what it shows");
    }
    Ok(())
}

#[test]
fn the_files_are_tidy_so_that_a_change_reads_as_one() -> Result<()> {
    for dashboard in dashboards()? {
        // serde_json keeps objects in order of their keys.
        let tidy = format!("{:#}\n", dashboard.json);
        ensure!(dashboard.text == tidy, "{}: keys in order, two spaces", dashboard.file);
    }
    Ok(())
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_asks_the_chosen_data_source() -> Result<()> {
    for dashboard in dashboards()? {
        let mut ids = BTreeSet::new();
        for panel in dashboard.panels() {
            let place = format!("{}: {}", dashboard.file, text(panel, "title"));
            ensure!(!text(panel, "title").is_empty(), "{place}: no title");
            ensure!(text(panel, "description").ends_with('.'), "{place}: no description");
            ensure!(ids.insert(panel["id"].as_u64()), "{place}: its id is another panel's");
            let defaults = &panel["fieldConfig"]["defaults"];
            ensure!(!text(defaults, "unit").is_empty(), "{place}: no unit");
            ensure!(defaults["thresholds"]["steps"].is_array(), "{place}: no thresholds");
            ensure!(panel["datasource"]["uid"] == DATASOURCE, "{place}: a fixed data source");
            ensure!(!targets(panel).is_empty(), "{place}: no query");
            for target in targets(panel) {
                ensure!(target["datasource"]["uid"] == DATASOURCE, "{place}: a fixed data source");
                let histogram = text(target, "expr").contains("_bucket");
                ensure!(!histogram || target["exemplar"] == true, "{place}: a histogram leads to its traces");
            }
        }
    }
    Ok(())
}

#[test]
fn every_variable_is_used_and_every_query_is_narrowed_by_namespace() -> Result<()> {
    for dashboard in dashboards()? {
        let queries: Vec<_> =
            dashboard.panels().iter().flat_map(targets).map(|target| text(target, "expr")).collect();
        for (name, _) in dashboard.variables() {
            let used = format!("=~\"${name}\"");
            ensure!(queries.iter().any(|query| query.contains(&used)), "{}: ${name} unused", dashboard.file);
        }
        for query in queries {
            ensure!(query.contains(r#"namespace=~"$namespace""#), "{}: {query}", dashboard.file);
        }
    }
    Ok(())
}
