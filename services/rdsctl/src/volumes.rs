//! `rdsctl volumes`, `rdsctl snapshots`: what is on the appliances, and taking a volume away by force.

use proto::rds::volume::v1 as wire;
use tracing::Instrument as _;

use crate::backend::Backend;
use crate::cli::{
    DetachArguments, ListArguments, Output, SnapshotArguments, SnapshotListArguments, VolumeArguments,
};
use crate::confirm::confirm;
use crate::outcome::{Failure, print};
use crate::show::{rough, row, show, table};

/// Every volume that fits the filters.
pub(crate) async fn list(arguments: ListArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    let mut volumes = all(&backend, arguments.appliance.as_deref().unwrap_or_default()).await?;
    volumes.retain(|volume| {
        let node = arguments.node.as_ref();
        let claim = arguments.claim.as_ref();
        node.is_none_or(|node| volume.attachments.iter().any(|held| held.node_id == *node))
            && claim.is_none_or(|(namespace, name)| {
                volume
                    .claim
                    .as_ref()
                    .is_some_and(|claim| claim.namespace == *namespace && claim.name == *name)
            })
    });
    show(arguments.output, &volumes, || text(&volumes))
}

/// All pages.
pub(crate) async fn all(backend: &Backend, appliance: &str) -> Result<Vec<wire::Volume>, Failure> {
    let span = tracing::info_span!("volumes list", otel.name = "rdsctl volumes list");
    let read = async {
        let (mut volumes, mut page_token) = (Vec::new(), String::new());
        loop {
            let request =
                wire::ListVolumesRequest { appliance: appliance.to_owned(), page_size: 0, page_token };
            let page = backend.volumes().list_volumes(backend.request(request)).await?.into_inner();
            volumes.extend(page.volumes);
            if page.next_page_token.is_empty() {
                return Ok(volumes);
            }
            page_token = page.next_page_token;
        }
    };
    read.instrument(span).await
}

fn text(volumes: &[wire::Volume]) -> String {
    let mut rows =
        vec![row(["HANDLE", "SIZE", "CLASS", "EPOCH", "NODES", "CLAIM", "FORMATTED", "SOURCE", "FOLDER"])];
    for volume in volumes {
        let nodes: Vec<String> = volume
            .attachments
            .iter()
            .map(|held| if held.read_only { format!("{} (ro)", held.node_id) } else { held.node_id.clone() })
            .collect();
        let claim = volume.claim.as_ref().map(|claim| format!("{}/{}", claim.namespace, claim.name));
        rows.push(row([
            &volume.handle,
            &rough(volume.size_bytes),
            class(volume),
            &volume.epoch.to_string(),
            &nodes.join(", "),
            claim.as_deref().unwrap_or_default(),
            if volume.formatted { "yes" } else { "no" },
            &volume.content_source,
            &volume.directory,
        ]));
    }
    table(&rows)
}

fn class(volume: &wire::Volume) -> &'static str {
    volume.access_class().as_str_name().trim_start_matches("ACCESS_CLASS_")
}

/// One volume.
pub(crate) async fn read(arguments: VolumeArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    let volume = one(&backend, &arguments.handle).await?;
    show(arguments.output, &volume, || text(std::slice::from_ref(&volume)))
}

async fn one(backend: &Backend, handle: &str) -> Result<wire::Volume, Failure> {
    let request = wire::GetVolumeRequest { handle: handle.to_owned() };
    let answer = backend.volumes().get_volume(backend.request(request)).await?.into_inner();
    answer.volume.ok_or_else(|| Failure::Refused("the answer names no volume".to_owned()))
}

/// Takes a volume away from a node that may still run.
pub(crate) async fn detach(arguments: DetachArguments) -> Result<(), Failure> {
    if !arguments.force {
        return Err(Failure::Usage(
            "Kubernetes detaches volumes by itself; to take one away from a node that is lost, add --force"
                .to_owned(),
        ));
    }
    let backend = Backend::of(arguments.backend)?;
    let volume = one(&backend, &arguments.handle).await?;
    print(&text(std::slice::from_ref(&volume)));
    let (from, left): (Vec<_>, Vec<_>) = volume
        .attachments
        .iter()
        .map(|held| held.node_id.clone())
        .partition(|node| arguments.node.as_ref().is_none_or(|wanted| wanted == node));
    let fence = if left.is_empty() {
        "The export goes off and its name changes with the next owner: the node loses the volume at once, and what it has \
         not written is lost. Be sure that nothing runs there that should keep it."
    } else {
        "Another node keeps the volume, so its name stays: the node that is taken away can still reach it until the other \
         one lets go, too. Switch it off first."
    };
    let from = if from.is_empty() { "nobody".to_owned() } else { from.join(" and ") };
    confirm(arguments.yes, &format!("{} is taken away from {from}. {fence}", volume.handle))?;
    let request = wire::DetachVolumeRequest {
        handle: volume.handle.clone(),
        node_id: arguments.node.unwrap_or_default(),
        force: true,
    };
    let answer = backend.volumes().detach_volume(backend.request(request)).await?.into_inner();
    show(arguments.output, &answer, || match (answer.detached, answer.still_exported) {
        (false, _) => format!("{}: nothing was attached\n", volume.handle),
        (true, false) => format!("{}: detached, and no longer exported\n", volume.handle),
        (true, true) => {
            format!("{}: detached; NOT FENCED yet: {} still holds it\n", volume.handle, left.join(" and "))
        }
    })
}

/// Every snapshot.
pub(crate) async fn snapshots(arguments: SnapshotListArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    let (mut snapshots, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = wire::ListSnapshotsRequest {
            appliance: arguments.appliance.clone().unwrap_or_default(),
            source: arguments.source.clone().unwrap_or_default(),
            page_size: 0,
            page_token,
        };
        let page = backend.snapshots().list_snapshots(backend.request(request)).await?.into_inner();
        snapshots.extend(page.snapshots);
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    show(arguments.output, &snapshots, || snapshot_text(&snapshots))
}

fn snapshot_text(snapshots: &[wire::Snapshot]) -> String {
    let mut rows = vec![row(["HANDLE", "SOURCE", "SIZE", "MADE", "FOLDER"])];
    for snapshot in snapshots {
        let made = time::OffsetDateTime::from_unix_timestamp(snapshot.created_unix).ok();
        let made = made.and_then(|made| made.format(&time::format_description::well_known::Rfc3339).ok());
        rows.push(row([
            &snapshot.handle,
            &snapshot.source,
            &rough(snapshot.size_bytes),
            made.as_deref().unwrap_or_default(),
            &snapshot.directory,
        ]));
    }
    table(&rows)
}

/// One snapshot.
pub(crate) async fn read_snapshot(arguments: SnapshotArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    let request = wire::GetSnapshotRequest { handle: arguments.handle };
    let answer = backend.snapshots().get_snapshot(backend.request(request)).await?.into_inner();
    let snapshot =
        answer.snapshot.ok_or_else(|| Failure::Refused("the answer names no snapshot".to_owned()))?;
    show(arguments.output, &snapshot, || snapshot_text(std::slice::from_ref(&snapshot)))
}

/// Removes a snapshot.
pub(crate) async fn delete_snapshot(arguments: SnapshotArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    confirm(
        arguments.yes,
        &format!("Snapshot {} is deleted; what was made from it stays.", arguments.handle),
    )?;
    let request = wire::DeleteSnapshotRequest { handle: arguments.handle.clone() };
    let answer = backend.snapshots().delete_snapshot(backend.request(request)).await?.into_inner();
    let what = if answer.deleted { "deleted" } else { "was not there" };
    match arguments.output {
        Output::Text => print(&format!("{}: {what}\n", arguments.handle)),
        output => show(output, &answer, String::new)?,
    }
    Ok(())
}
