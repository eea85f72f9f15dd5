//! promtool's word on the rules, and on their tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::tool;

const TESTS: &str = "tests/monitoring/alerts";

fn run(arguments: &[&str], files: Vec<PathBuf>, test: &str, proves: &str) -> Result<()> {
    let Some(promtool) = tool::needed("promtool", test, proves) else { return Ok(()) };
    let done = Command::new(promtool).args(arguments).args(files).output()?;
    let said = [done.stdout, done.stderr].concat();
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}

#[test]
fn prometheus_takes_every_rule() -> Result<()> {
    let files = crate::files("charts/rds-csi/alerts", "yaml")?;
    run(&["check", "rules"], files, "rules are checked", "that Prometheus takes the alerts")
}

#[test]
fn every_test_of_an_alert_passes() -> Result<()> {
    let files = crate::files(TESTS, "yaml")?;
    run(&["test", "rules"], files, "tests of alerts", "that each alert fires and resolves")
}

/// Minutes of a time such as `40m` or `2h`.
fn minutes(time: &str) -> Result<u32> {
    let (number, scale) = match time.strip_suffix('h') {
        Some(hours) => (hours, 60),
        None => (time.strip_suffix('m').context("neither hours nor minutes")?, 1),
    };
    Ok(number.parse::<u32>().with_context(|| format!("eval_time {time}"))? * scale)
}

/// Whether a test of an alert expects it to fire, by time: one map per test.
fn expectations() -> Result<BTreeMap<String, Vec<BTreeMap<u32, bool>>>> {
    let mut all: BTreeMap<String, Vec<BTreeMap<u32, bool>>> = BTreeMap::new();
    for file in crate::files(TESTS, "yaml")? {
        let document: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)
            .with_context(|| file.display().to_string())?;
        for test in document["tests"].as_array().context("no tests")? {
            let mut told: BTreeMap<String, BTreeMap<u32, bool>> = BTreeMap::new();
            for expected in test["alert_rule_test"].as_array().into_iter().flatten() {
                let name = expected["alertname"].as_str().context("no alertname")?.to_owned();
                let alerts = expected["exp_alerts"].as_array().context("no exp_alerts")?;
                let at = minutes(expected["eval_time"].as_str().context("no eval_time")?)?;
                told.entry(name).or_default().insert(at, !alerts.is_empty());
            }
            for (name, fires) in told {
                all.entry(name).or_default().push(fires);
            }
        }
    }
    Ok(all)
}

#[test]
fn every_alert_has_a_test_in_which_it_does_not_fire_yet_fires_and_resolves() -> Result<()> {
    let mut tested = expectations()?;
    for alert in crate::alert::rules()?.alerts {
        let tests = tested.remove(&alert.name).unwrap_or_default();
        let whole = tests.iter().any(|fires| {
            let fires: Vec<_> = fires.values().collect();
            let first = fires.iter().position(|fires| **fires);
            first.is_some_and(|at| at > 0 && fires[at..].contains(&&false))
        });
        ensure!(whole, "{}: no test in {TESTS} in which it is silent, fires and resolves", alert.name);
    }
    ensure!(tested.is_empty(), "tests of alerts that do not exist: {:?}", tested.keys());
    Ok(())
}
