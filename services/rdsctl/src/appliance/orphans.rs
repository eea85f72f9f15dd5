//! `rdsctl appliance orphans`: what is left over on an appliance and in the cluster, and the command for each.
//!
//! Path: the inventory of the appliance and its volumes, then the cluster's PersistentVolumes; `finding` compares; a
//! PersistentVolume that seems to have no volume is asked about once more by its handle, for it may have been made in
//! between, or lie on another appliance. Nothing is removed: each finding comes with the command that would.

mod finding;

use std::fmt::Write as _;

use proto::fault::Reason;
use proto::rds::volume::v1::{GetInventoryRequest, GetInventoryResponse};
use serde_json::json;

use self::finding::{Finding, Kind, Sight};
use crate::backend::{self, Backend, LONG};
use crate::cli::OrphansArguments;
use crate::outcome::Failure;
use crate::output::tell;
use crate::table::{Table, rough, visible};
use crate::{kubernetes, persistent, volumes};

/// Looks and prints. Anything found is bad news.
pub(super) async fn orphans(arguments: OrphansArguments) -> Result<(), Failure> {
    let name = arguments.appliance.name;
    let backend = Backend::of(arguments.appliance.backend, LONG)?;
    // Before the walk, so that nobody waits minutes for what cannot be had.
    let client = if arguments.no_cluster {
        None
    } else {
        let client = kubernetes::client(arguments.cluster.kubeconfig.as_deref()).await;
        Some(client.map_err(|failure| match Failure::from(failure) {
            Failure::Usage(text) => Failure::Usage(format!("{text}, or --no-cluster")),
            failure => failure,
        })?)
    };
    let inventory = inventory(&backend, &name).await?;
    let volumes = backend.all_volumes(&name).await?;
    let cluster = match client {
        Some(client) => Some(persistent::volumes(client, &arguments.cluster.driver_name).await?),
        None => None,
    };
    let sight =
        Sight { appliance: &name, volumes: &volumes, inventory: &inventory, cluster: cluster.as_deref() };
    let found = confirmed(&backend, sight.findings()).await?;
    let value = || {
        json!({
            "appliance": name, "volumes": inventory.volumes, "snapshots": inventory.snapshots,
            "cluster_asked": cluster.is_some(), "findings": found,
        })
    };
    arguments.appliance.output.show(|| text(&name, &inventory, &found), value);
    if found.is_empty() { Ok(()) } else { Err(Failure::BadNews) }
}

/// What does not fit on one appliance.
pub(super) async fn inventory(backend: &Backend, appliance: &str) -> Result<GetInventoryResponse, Failure> {
    tell(&format!("walking the files of {}, this can take minutes", visible(appliance)));
    let message = GetInventoryRequest { appliance: appliance.to_owned() };
    backend.call("GetInventory", message, async |m| backend.appliances().get_inventory(m).await).await
}

/// Leaves out PersistentVolumes whose volume is there after all.
async fn confirmed(backend: &Backend, findings: Vec<Finding>) -> Result<Vec<Finding>, Failure> {
    let mut kept = Vec::new();
    for finding in findings {
        if finding.kind != Kind::PersistentWithoutVolume {
            kept.push(finding);
            continue;
        }
        match volumes::get(backend, &finding.handle).await {
            Ok(_) => {}
            Err(Failure::Answer(status)) if backend::reason(&status) == Reason::VolumeNotFound => {
                kept.push(finding);
            }
            Err(Failure::Answer(status)) => kept.push(finding.not_known(status.message())),
            Err(failure) => return Err(failure),
        }
    }
    Ok(kept)
}

fn text(name: &str, inventory: &GetInventoryResponse, found: &[Finding]) -> String {
    let mut table = Table::new(["KIND", "WHAT", "SIZE", "CLAIM"]);
    for finding in found {
        let size = if finding.size_bytes == 0 { "-".to_owned() } else { rough(finding.size_bytes) };
        table.row([finding.kind.to_string(), finding.what.clone(), size, finding.claim.clone()]);
    }
    let mut text = String::new();
    if !found.is_empty() {
        for (line, finding) in table.lines().iter().zip(std::iter::once(None).chain(found.iter().map(Some))) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
            let _ = finding.map_or(Ok(()), |finding| {
                let command = if finding.command.is_empty() {
                    String::new()
                } else {
                    format!("    $ {}\n", visible(&finding.command))
                };
                write!(text, "    {}\n{command}", visible(&finding.note))
            });
        }
        text.push('\n');
    }
    let (volumes, snapshots) = (inventory.volumes, inventory.snapshots);
    format!(
        "{text}{}: {volumes} volume(s), {snapshots} snapshot(s), {} finding(s)\n",
        visible(name),
        found.len()
    )
}
