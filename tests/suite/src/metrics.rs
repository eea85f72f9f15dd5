//! What the services show at `/metrics` is what `docs/metrics.md` says, name by name and label by label.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use harness::{Stack, eventually};

use crate::wish;

const BEGIN: &str = "<!-- metrics: written by `UPDATE_DOCS=1 cargo test -p suite metrics` -->\n";
const END: &str = "<!-- end of metrics -->\n";
/// The services, in the order of the page; a node has two of them.
const SERVICES: [(&str, &str); 4] = [
    ("csi-front", "csi-front"),
    ("rds-backend", "rds-backend"),
    ("nvme-agent", "nvme-agent node-a"),
    ("event-relay", "event-relay"),
];

/// A metric as its service tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Told {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// The metrics of one page in OpenMetrics' text format, by the name that a query uses.
fn read(page: &str) -> Result<BTreeMap<String, Told>> {
    let mut families: BTreeMap<String, Told> = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').context("HELP without a text")?;
            families.entry(name.to_owned()).or_default().help = help.trim_end_matches('.').to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').context("TYPE without a kind")?;
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let told = families.iter_mut().filter(|(family, _)| name.starts_with(family.as_str()));
            let (_, told) = told.max_by_key(|(family, _)| family.len()).with_context(|| line.to_owned())?;
            told.labels.extend(labels(line).filter(|label| label != "le"));
        }
    }
    let suffix = |kind: &str| match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    Ok(families.into_iter().map(|(name, told)| (name + suffix(&told.kind), told)).collect())
}

/// Names of the labels of a sample; an exemplar's are not among them.
fn labels(sample: &str) -> impl Iterator<Item = String> {
    let own = sample.split(" # ").next().unwrap_or_default();
    let inside =
        own.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inside, _)| inside);
    inside.split("\",").filter_map(|pair| pair.split_once('=')).map(|(name, _)| name.to_owned())
}

fn table(service: &str, families: &BTreeMap<String, Told>) -> String {
    let mut text = format!("\n## {service}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (name, told) in families {
        let labels: Vec<_> = told.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{name}` | {} | {} | {} |", told.kind, labels.join(", "), told.help);
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_metrics_are_the_ones_the_services_show() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    controller.attach(&volume, &a).await?;
    controller.detach(&volume, &a).await?;
    controller.delete(&volume).await?;
    stack.inspect().await?;
    let mut generated = String::from(BEGIN);
    let mut common: Option<BTreeMap<String, Told>> = None;
    let mut own = Vec::new();
    for (service, instance) in SERVICES {
        // What happens once at the start of a service, such as the call of the readiness probe, may be still to come.
        let families = eventually("every metric of the service", async || {
            let families = read(&stack.metrics(instance).await?)?;
            ensure!(families.contains_key("rds_grpc_requests_total"), "no call was counted yet");
            Ok(families)
        })
        .await?;
        common = Some(match common {
            None => families.clone(),
            Some(common) => common.into_iter().filter(|(name, _)| families.contains_key(name)).collect(),
        });
        own.push((service, families));
    }
    let mut common = common.unwrap_or_default();
    // Not in node mode of csi-front, which speaks over unix sockets only.
    let certificate = "rds_tls_certificate_expiry_timestamp_seconds";
    ensure!(common.contains_key(certificate), "no certificate in {:?}", common.keys());
    for told in common.values_mut() {
        ensure!(!told.help.is_empty() && !told.kind.is_empty(), "{told:?}");
    }
    generated += &table("every service", &common);
    for (service, mut families) in own {
        families.retain(|name, _| !common.contains_key(name));
        generated += &table(service, &families);
    }
    generated += END;
    stack.stop().await?;
    compare(&generated)
}

fn compare(generated: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = std::fs::read_to_string(&path).context("docs/metrics.md")?;
    let (before, rest) =
        page.split_once(BEGIN).context("docs/metrics.md has lost the line that begins the list")?;
    let (_, after) = rest.split_once(END).context("docs/metrics.md has lost the line that ends the list")?;
    let wanted = format!("{before}{generated}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted)?;
        return Ok(());
    }
    ensure!(page == wanted, "docs/metrics.md is out of date: run UPDATE_DOCS=1 cargo test -p suite metrics");
    Ok(())
}

#[test]
fn a_page_is_read_with_its_labels_and_without_exemplars() -> Result<()> {
    let page = "# HELP a_seconds Time a call took.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
                a_seconds_bucket{le=\"0.1\",m=\"x,y\",n=\"z\"} 1 # {trace_id=\"7\"} 0.05 1.0\n# TYPE b counter\nb_total 1\n";
    let families = read(page)?;
    let expected = Told {
        kind: "histogram".to_owned(),
        help: "Time a call took".to_owned(),
        labels: ["m".to_owned(), "n".to_owned()].into(),
    };
    ensure!(families["a_seconds"] == expected, "{families:?}");
    ensure!(families["b_total"].labels.is_empty(), "{families:?}");
    Ok(())
}
