//! `rdsctl appliance adopt-cluster`: the volumes of a cluster that is gone become ours.

use proto::rds::volume::v1::{AdoptClusterRequest, AdoptClusterResponse};
use serde_json::Value;

use crate::backend::{Backend, LONG};
use crate::cli::{AdoptClusterArguments, NamedArguments};
use crate::message;
use crate::outcome::Failure;
use crate::output::tell;
use crate::prompt::Consent;
use crate::table::visible;

/// Shows what would be taken over, asks, takes over.
pub(super) async fn adopt_cluster(arguments: AdoptClusterArguments) -> Result<(), Failure> {
    let NamedArguments { name, backend, output } = arguments.appliance;
    let from = arguments.from;
    let consent = Consent::of(arguments.yes || arguments.dry_run)?;
    let backend = Backend::of(backend, LONG)?;
    let plan = ask(&backend, &name, &from, true).await?;
    let done = if arguments.dry_run || plan.slots.is_empty() {
        plan
    } else {
        tell(&text(&plan, "would be taken over"));
        tell(&format!(
            "Another cluster that still uses these volumes would then write to them beside ours, and data would be \
             destroyed. Go on only if cluster {from} is gone for good."
        ));
        let count = plan.slots.len();
        let question = format!("Take over {count} row(s) of cluster {from} on {}?", visible(&name));
        consent.confirm(&question)?;
        ask(&backend, &name, &from, false).await?
    };
    let verb = if arguments.dry_run { "would be taken over" } else { "taken over" };
    let dry_run = ("dry_run", Value::from(arguments.dry_run));
    let nothing = format!("nothing of cluster {from} is on {}\n", visible(&name));
    let text = || if done.slots.is_empty() { nothing } else { text(&done, verb) };
    output.show(text, || message::value_with(&done, &[dry_run]));
    Ok(())
}

async fn ask(
    backend: &Backend,
    appliance: &str,
    from: &str,
    dry_run: bool,
) -> Result<AdoptClusterResponse, Failure> {
    let message = AdoptClusterRequest { appliance: appliance.to_owned(), from: from.to_owned(), dry_run };
    backend.call("AdoptCluster", message, async |m| backend.appliances().adopt_cluster(m).await).await
}

fn text(answer: &AdoptClusterResponse, verb: &str) -> String {
    let slots: String = answer.slots.iter().map(|slot| format!("{}\n", visible(slot))).collect();
    format!("{slots}{} {verb}\n", answer.slots.len())
}
