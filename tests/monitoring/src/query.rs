//! Every query of every dashboard and every series an alert reads, asked about a running stack.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use harness::{Stack, eventually, loudly, what_mounting_lacks};

use crate::dashboard::{self, targets, text};
use crate::server::Prometheus;
use crate::{alert, tool, workload};

/// What shows nothing in a healthy stack: where, a part of the query, and why.
const EMPTY: [(&str, &str, &str); 7] = [
    ("Commands that failed", "outcome!=\"ok\"", "no command fails"),
    ("Calls that failed", "outcome!=\"ok\"", "no call to an agent fails"),
    ("Requests to the API server", "rds_events_api_request", "the stack writes Events to a file"),
    ("Duration of requests to the API server, 9 of 10", "rds_events_api_request", "likewise"),
    ("RdsCsiCommandsFailing", "outcome!=\"ok\"", "no command fails"),
    ("Calls", "rds_node_calls_total", NEEDS_ROOT),
    ("Duration of calls, 9 of 10", "rds_node_call_duration", NEEDS_ROOT),
];
const NEEDS_ROOT: &str = "without root nothing is mounted, so no agent is called";

/// A query and where it stands.
struct Query {
    place: String,
    expression: String,
}

impl Query {
    /// Why it may show nothing.
    fn may_be_empty(&self, mounts: bool) -> Option<&'static str> {
        let fits = |(place, part, why): &&(&str, &str, &str)| {
            *place == self.place && self.expression.contains(part) && !(mounts && *why == NEEDS_ROOT)
        };
        EMPTY.iter().find(fits).map(|(_, _, why)| *why)
    }
}

/// Variables replaced as Grafana does it.
fn filled(expression: &str) -> String {
    [("$__rate_interval", "1m"), ("$namespace", "rds"), ("$appliance", "rds1"), ("$node", "(node-a|node-b)")]
        .into_iter()
        .chain([("$reason", ".*")])
        .fold(expression.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// `label_values(series, label)` as Prometheus is asked for it.
fn label_values(definition: &str) -> Result<String> {
    let inside = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let (series, label) = inside.and_then(|inside| inside.rsplit_once(", ")).context("not label_values")?;
    // A label that is not there counts as an empty one.
    let (name, selector) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
    let selector = [selector, &format!("{label}!=\"\"")].join(", ");
    Ok(format!("count by ({label}) ({name}{{{}}})", selector.trim_start_matches(", ")))
}

fn of_dashboards() -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    for dashboard in dashboard::dashboards()? {
        for panel in dashboard.panels() {
            let place = text(panel, "title");
            let all = targets(panel).iter().map(|target| filled(text(target, "expr")));
            queries.extend(all.map(|expression| Query { place: place.to_owned(), expression }));
        }
        for (name, definition) in dashboard.variables() {
            let expression = filled(&label_values(definition).with_context(|| definition.to_owned())?);
            queries.push(Query { place: format!("${name} of {}", dashboard.file), expression });
        }
    }
    Ok(queries)
}

/// Names of our metrics in an expression, each with the selector that follows it.
fn series_in(expression: &str) -> BTreeSet<(String, String)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = BTreeSet::new();
    for (at, _) in expression.match_indices("rds") {
        let before = expression[..at].chars().next_back();
        let rest = &expression[at..];
        let name = &rest[..rest.find(|c| !word(c)).unwrap_or(rest.len())];
        let selector = rest[name.len()..].split_once('}').filter(|(start, _)| start.starts_with('{'));
        let ours = name.starts_with("rds_") || name.starts_with("rds:");
        if ours && !before.is_some_and(word) {
            let selector = selector.map(|(start, _)| format!("{start}}}")).unwrap_or_default();
            found.insert((name.to_owned(), selector));
        }
    }
    found
}

/// Series that alerts read. Versions that do not run have none: the table of digits is tested by promtool.
fn of_alerts() -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    for alert in alert::rules()?.alerts {
        for (name, selector) in series_in(&alert.expression) {
            queries.push(Query { place: alert.name.clone(), expression: format!("{name}{selector}") });
        }
    }
    ensure!(queries.len() > 10, "the alerts read {} series only", queries.len());
    Ok(queries)
}

/// Names a service shows, as a scrape sees them.
async fn exposed(stack: &Stack) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (service, _) in stack.admins() {
        let page = stack.metrics(service).await?;
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        names.extend(samples.filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned())));
    }
    Ok(names)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_an_alert_or_a_dashboard_is_one_a_service_shows() -> Result<()> {
    let stack = Stack::start().await?;
    workload::live(&stack, "named", what_mounting_lacks().is_none()).await?;
    let mut known = exposed(&stack).await?;
    let rules = alert::rules()?;
    known.extend(rules.records.iter().map(|(name, _)| name.clone()));
    // Written from the code by the suite: it has those that nobody has counted yet, too.
    let page = std::fs::read_to_string(crate::path("docs/metrics.md"))?;
    let listed = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    known.extend(listed.flat_map(|name| ["", "_bucket", "_count", "_sum"].map(|end| format!("{name}{end}"))));
    let alerts = rules.alerts.iter().map(|alert| alert.expression.clone());
    let records = rules.records.iter().map(|(_, expression)| expression.clone());
    let panels = of_dashboards()?.into_iter().map(|query| query.expression);
    for expression in alerts.chain(records).chain(panels) {
        for (name, _) in series_in(&expression) {
            ensure!(known.contains(&name), "no service shows {name}: {expression}");
        }
    }
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_has_data_in_a_stack_that_was_used_and_no_alert_fires_there() -> Result<()> {
    let proves = "that dashboards show something and alerts read what exists";
    let Some(program) = tool::needed("prometheus", "queries of dashboards", proves) else { return Ok(()) };
    let mounts = what_mounting_lacks();
    if let Some(lack) = &mounts {
        loudly(&format!("LEFT OUT queries about mounts: {lack}; not proven here: panels about nvme-agent"));
    }
    let mounts = mounts.is_none();
    let stack = Stack::start().await?;
    let prometheus = Prometheus::start(&program, &stack).await?;
    for query in of_dashboards()?.into_iter().chain(of_alerts()?) {
        shows(&prometheus, &query, &stack, mounts).await?;
    }
    healthy(&prometheus, mounts).await?;
    drop(prometheus);
    stack.stop().await
}

/// Volumes live and die until the query shows something: a rate needs two scrapes with something in between, and each
/// service is scraped at a moment of its own.
async fn shows(prometheus: &Prometheus, query: &Query, stack: &Stack, mounts: bool) -> Result<()> {
    if query.may_be_empty(mounts).is_some() {
        // Asked all the same: it has to be a query.
        prometheus.ask(&query.expression).await.with_context(|| query.place.clone())?;
        return Ok(());
    }
    let mut lived = 0;
    eventually(&format!("{}: {}", query.place, query.expression), async || {
        if prometheus.ask(&query.expression).await?.is_empty() {
            lived += 1;
            workload::live(stack, &format!("volume-{lived}"), mounts).await?;
            bail!("no data, {lived} volumes later");
        }
        Ok(())
    })
    .await
}

/// Every rule can be evaluated, and nothing is wrong with the stack.
async fn healthy(prometheus: &Prometheus, mounts: bool) -> Result<()> {
    // A failed attach is a failed operation: it waits, and would fire if it went on. Where nothing can be mounted, no
    // agent is ready.
    let waits =
        |name: &str| name == "RdsCsiOperationsFailing" || (name == "RdsCsiServiceNotReady" && !mounts);
    eventually("all rules are evaluated", async || {
        let data = prometheus.get("rules").await?;
        for rule in data["groups"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|group| group["rules"].as_array().map_or(&[][..], Vec::as_slice))
        {
            let name = text(rule, "name");
            ensure!(text(rule, "health") == "ok", "{name}: {}", rule["lastError"]);
            let quiet = rule["type"] == "recording" || rule["state"] == "inactive";
            ensure!(quiet || (waits(name) && rule["state"] == "pending"), "{name} is {}", rule["state"]);
        }
        Ok(())
    })
    .await
}

#[test]
fn series_are_found_in_expressions_with_their_selectors() {
    let found = series_in(r#"max(rds_a{x="1"}) / rds:b > rds_c_total[5m] unless other_rds_d"#);
    let found: Vec<_> = found.iter().map(|(name, selector)| format!("{name}{selector}")).collect();
    assert_eq!(found, ["rds:b", r#"rds_a{x="1"}"#, "rds_c_total"]);
}

#[test]
fn values_of_a_label_are_asked_for_without_the_empty_one() -> Result<()> {
    assert_eq!(label_values("label_values(a, b)")?, r#"count by (b) (a{b!=""})"#);
    assert_eq!(label_values(r#"label_values(a{c="d"}, b)"#)?, r#"count by (b) (a{c="d", b!=""})"#);
    Ok(())
}

#[test]
fn every_exception_is_of_a_query_that_exists() -> Result<()> {
    let queries: Vec<_> = of_dashboards()?.into_iter().chain(of_alerts()?).collect();
    for (place, part, _) in EMPTY {
        let stands = |query: &Query| query.place == place && query.expression.contains(part);
        ensure!(queries.iter().any(stands), "no query of {place:?} holds {part:?}");
    }
    Ok(())
}
