//! The chart and the programs speak of the same options.

use std::collections::{BTreeMap, BTreeSet};

use chart::options::{PROGRAMS, of_program};
use chart::{Rendering, items};

/// Options that no value set of the tests leads to, and why.
const NOT_RENDERED: [(&str, &str); 5] = [
    ("event-relay RDS_LOG_SINK_FILE", "writes Events to a file instead of a cluster: for development"),
    ("event-relay RDS_KUBECONFIG", "a pod finds its API server and its account by itself"),
    ("rdsctl RDS_CSI_SOCKET", "for calls an operator makes by hand beside csi-front"),
    ("rdsctl TRACEPARENT", "set by the script that calls it, so that several calls are one trace"),
    ("rdsctl RDS_OTLP_ENDPOINT", "jobs and the chart's test make no CSI call that would be worth a trace"),
];

/// Variables the renderings set, by program.
fn rendered() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for rendering in Rendering::all().expect("renderings") {
        for pod in rendering.pods() {
            for container in pod.containers() {
                let image = container["image"].as_str().unwrap_or_default();
                let program = image.rsplit('/').next().unwrap_or_default().split([':', '@']).next();
                let variables = items(&container["env"]).filter_map(|variable| variable["name"].as_str());
                let ours = variables.filter(|name| name.starts_with("RDS_")).map(ToOwned::to_owned);
                found.entry(program.unwrap_or_default().to_owned()).or_default().extend(ours);
            }
        }
    }
    found
}

#[test]
fn every_variable_the_chart_sets_is_an_option_and_every_option_can_be_set_by_a_value() {
    if !cluster::tools::needs(&["helm"], "options", "that the chart and the programs agree on options") {
        return;
    }
    let rendered = rendered();
    for (program, _) in PROGRAMS {
        let options = of_program(program).expect("options");
        let known: BTreeSet<String> = options.into_iter().map(|option| option.variable).collect();
        let set = rendered.get(program).unwrap_or_else(|| panic!("no rendering runs {program}"));
        let unknown: Vec<&String> = set.difference(&known).collect();
        assert!(unknown.is_empty(), "{program} has no options {unknown:?}");
        let named =
            |variable: &String| NOT_RENDERED.iter().any(|(name, _)| *name == format!("{program} {variable}"));
        let missing: Vec<&String> = known.difference(set).filter(|variable| !named(variable)).collect();
        assert!(missing.is_empty(), "no value set reaches {program}'s {missing:?}");
        let needless: Vec<&String> = set.iter().filter(|variable| named(variable)).collect();
        assert!(needless.is_empty(), "{program}'s {needless:?} are set after all: take them off the list");
    }
}
