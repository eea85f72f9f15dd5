//! `rdsctl snapshots …`: what the appliances hold, and removing one.

use proto::rds::volume::v1::{DeleteSnapshotRequest, GetSnapshotRequest, Snapshot};

use crate::backend::{Backend, SHORT};
use crate::cli::{DeleteSnapshotArguments, HandleArguments, ListSnapshotsArguments, SnapshotsCommand};
use crate::message;
use crate::outcome::Failure;
use crate::output::tell;
use crate::prompt::Consent;
use crate::table::{Table, exact, fields, rough, visible, yes_or_no};

/// Does what the command says.
pub(crate) async fn obey(command: SnapshotsCommand) -> Result<(), Failure> {
    match command {
        SnapshotsCommand::List(arguments) => list(arguments).await,
        SnapshotsCommand::Show(arguments) => show(arguments).await,
        SnapshotsCommand::Delete(arguments) => delete(arguments).await,
    }
}

/// All snapshots that were asked for.
pub(crate) async fn list(arguments: ListSnapshotsArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend, SHORT)?;
    let (appliance, source) = (arguments.name.unwrap_or_default(), arguments.source.unwrap_or_default());
    let snapshots = backend.all_snapshots(&appliance, &source).await?;
    arguments.output.show(|| text(&snapshots), || message::values(&snapshots));
    Ok(())
}

async fn show(arguments: HandleArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend, SHORT)?;
    let snapshot = get(&backend, &arguments.handle).await?;
    arguments.output.show(|| details(&snapshot), || message::value(&snapshot));
    Ok(())
}

async fn get(backend: &Backend, handle: &str) -> Result<Snapshot, Failure> {
    let message = GetSnapshotRequest { handle: handle.to_owned() };
    let send = async |m| backend.snapshots().get_snapshot(m).await;
    let answer = backend.call("GetSnapshot", message, send).await?;
    answer
        .snapshot
        .ok_or_else(|| Failure::Refused(format!("rds-backend answered without the snapshot {handle}")))
}

async fn delete(arguments: DeleteSnapshotArguments) -> Result<(), Failure> {
    let HandleArguments { handle, backend, output } = arguments.snapshot;
    let consent = Consent::of(arguments.yes)?;
    let backend = Backend::of(backend, SHORT)?;
    let snapshot = get(&backend, &handle).await?;
    tell(&format!(
        "{}\nThe snapshot is removed from the appliance and cannot be brought back; volumes made from it stay. \
         Kubernetes is not told: a VolumeSnapshotContent that names it stays until somebody deletes it.\n",
        details(&snapshot)
    ));
    consent.confirm(&format!("Remove {}?", visible(&handle)))?;
    let message = DeleteSnapshotRequest { handle };
    let send = async |m| backend.snapshots().delete_snapshot(m).await;
    let answer = backend.call("DeleteSnapshot", message, send).await?;
    output.show(|| format!("deleted: {}\n", yes_or_no(answer.deleted)), || message::value(&answer));
    Ok(())
}

fn text(snapshots: &[Snapshot]) -> String {
    let mut table = Table::new(["HANDLE", "SOURCE", "SIZE", "CREATED", "FOLDER"]);
    for snapshot in snapshots {
        table.row([
            snapshot.handle.clone(),
            snapshot.source.clone(),
            rough(snapshot.size_bytes),
            message::moment(snapshot.created_unix),
            snapshot.directory.clone(),
        ]);
    }
    table.to_string()
}

fn details(snapshot: &Snapshot) -> String {
    fields(&[
        ("handle", snapshot.handle.clone()),
        ("source", snapshot.source.clone()),
        ("size", exact(snapshot.size_bytes)),
        ("created", message::moment(snapshot.created_unix)),
        ("appliance", snapshot.appliance.clone()),
        ("folder", snapshot.directory.clone()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_shown_with_its_source_and_the_moment_it_was_made() {
        let snapshot = Snapshot {
            handle: "rds1/snp-1".to_owned(),
            source: "rds1/csi-1".to_owned(),
            created_unix: 1_800_000_000,
            ..Snapshot::default()
        };
        for shown in [text(std::slice::from_ref(&snapshot)), details(&snapshot)] {
            assert!(shown.contains("rds1/csi-1") && shown.contains("2027-01-15T08:00:00Z"), "{shown}");
        }
    }
}
