//! `rdsctl volumes …`: what the appliances hold, and taking a volume away from its nodes.

use proto::rds::volume::v1::{
    Attachment, DetachVolumeRequest, DetachVolumeResponse, GetVolumeRequest, Volume,
};

use crate::backend::{Backend, SHORT};
use crate::cli::{DetachArguments, HandleArguments, ListVolumesArguments, VolumesCommand};
use crate::message;
use crate::outcome::Failure;
use crate::output::tell;
use crate::prompt::Consent;
use crate::table::{Table, exact, fields, rough, visible, yes_or_no};

/// What taking away by force does, and what it does not: docs/decisions/0002-fencing-in-the-name.md.
const FENCING: &str = "\
When the last node leaves, the export is turned off and the kernel of that node loses the device: what its pods have \
not written yet is lost. The next owner gets a new epoch and with it a new name, so a node that still runs cannot find \
its way back: it is fenced.
While another node stays attached the name cannot change: a node that was taken away is NOT fenced until the last one \
leaves. Make sure that it is off.
Kubernetes is not told: its VolumeAttachment and the pods stay until somebody deletes them.";

/// What it does where no node is recorded.
const NOBODY: &str = "\
No node is recorded. An export that is on all the same is turned off; if the volume was adopted while it is in use, its \
node loses it.\n";

/// Does what the command says.
pub(crate) async fn obey(command: VolumesCommand) -> Result<(), Failure> {
    match command {
        VolumesCommand::List(arguments) => list(arguments).await,
        VolumesCommand::Show(arguments) => show(arguments).await,
        VolumesCommand::Detach(arguments) => detach(arguments).await,
    }
}

/// All volumes that the filters let through.
pub(crate) async fn list(arguments: ListVolumesArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend, SHORT)?;
    let mut volumes = backend.all_volumes(&arguments.name.unwrap_or_default()).await?;
    if let Some(node) = &arguments.node {
        volumes.retain(|volume| volume.attachments.iter().any(|attachment| attachment.node_id == *node));
    }
    if let Some((namespace, name)) = &arguments.claim {
        let is_of = |volume: &Volume| {
            volume.claim.as_ref().is_some_and(|claim| claim.namespace == *namespace && claim.name == *name)
        };
        volumes.retain(is_of);
    }
    arguments.output.show(|| text(&volumes), || message::values(&volumes));
    Ok(())
}

async fn show(arguments: HandleArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend, SHORT)?;
    let volume = get(&backend, &arguments.handle).await?;
    arguments.output.show(|| details(&volume), || message::value(&volume));
    Ok(())
}

/// One volume.
pub(crate) async fn get(backend: &Backend, handle: &str) -> Result<Volume, Failure> {
    let message = GetVolumeRequest { handle: handle.to_owned() };
    let answer = backend.call("GetVolume", message, async |m| backend.volumes().get_volume(m).await).await?;
    answer.volume.ok_or_else(|| Failure::Refused(format!("rds-backend answered without the volume {handle}")))
}

async fn detach(arguments: DetachArguments) -> Result<(), Failure> {
    let HandleArguments { handle, backend, output } = arguments.volume;
    let (node, whom) = match arguments.node {
        Some(node) => (node.clone(), format!("node {}", visible(&node))),
        None => (String::new(), "all its nodes".to_owned()),
    };
    if !arguments.force {
        return Err(Failure::Usage(format!(
            "this takes {handle} away from {whom} although it may still be written; nothing was done. Normally \
             Kubernetes detaches when the pod is gone. Give --force if it cannot any more\n\n{FENCING}"
        )));
    }
    let consent = Consent::of(arguments.yes)?;
    let backend = Backend::of(backend, SHORT)?;
    let volume = get(&backend, &handle).await?;
    let leaves = |attachment: &Attachment| node.is_empty() || attachment.node_id == node;
    // Only whoever means every node turns off an export that no node is recorded for.
    if !node.is_empty() && !volume.attachments.iter().any(leaves) {
        tell(&format!("nothing to do: {} is attached to {}", visible(&handle), visible(&holders(&volume))));
        let nothing = DetachVolumeResponse::default();
        output.show(|| "detached: no\n".to_owned(), || message::value(&nothing));
        return Ok(());
    }
    tell(&format!("{}\n{FENCING}\n", details(&volume)));
    if volume.attachments.is_empty() {
        tell(NOBODY);
    }
    consent.confirm(&format!("Take {} away from {whom}?", visible(&handle)))?;
    let message = DetachVolumeRequest { handle, node_id: node, force: true };
    let answer =
        backend.call("DetachVolume", message, async |m| backend.volumes().detach_volume(m).await).await?;
    output.show(|| detached(&answer), || message::value(&answer));
    // Whoever goes on as if it were fenced must stumble here.
    if answer.still_exported { Err(Failure::BadNews) } else { Ok(()) }
}

fn detached(answer: &DetachVolumeResponse) -> String {
    let fenced = if answer.still_exported {
        "NOT fenced: another node stays attached, so the name could not change; a node that was taken away can come \
         back until the last one leaves"
    } else {
        "fenced: the export is off, and the next owner gets a new name"
    };
    format!("detached: {}\n{fenced}\n", yes_or_no(answer.detached))
}

/// A row per volume.
pub(crate) fn text(volumes: &[Volume]) -> String {
    let mut table =
        Table::new(["HANDLE", "SIZE", "CLASS", "EPOCH", "NODES", "CLAIM", "FORMATTED", "SOURCE", "FOLDER"]);
    for volume in volumes {
        table.row([
            volume.handle.clone(),
            rough(volume.size_bytes),
            message::class(volume.access_class),
            volume.epoch.to_string(),
            holders(volume),
            claim(volume),
            yes_or_no(volume.formatted),
            dash(&volume.content_source),
            volume.directory.clone(),
        ]);
    }
    table.to_string()
}

/// A line per field.
pub(crate) fn details(volume: &Volume) -> String {
    fields(&[
        ("handle", volume.handle.clone()),
        ("size", exact(volume.size_bytes)),
        ("class", message::class(volume.access_class)),
        ("epoch", volume.epoch.to_string()),
        ("nodes", holders(volume)),
        ("claim", claim(volume)),
        ("pv", volume.claim.as_ref().map(|claim| claim.volume_name.clone()).unwrap_or_default()),
        ("formatted", yes_or_no(volume.formatted)),
        ("source", volume.content_source.clone()),
        ("appliance", volume.appliance.clone()),
        ("folder", volume.directory.clone()),
        ("addresses", volume.addresses.join(", ")),
    ])
}

/// The nodes it is attached to.
pub(crate) fn holders(volume: &Volume) -> String {
    let holder = |attachment: &Attachment| {
        let mode = if attachment.read_only { " (ro)" } else { "" };
        format!("{}{mode}", attachment.node_id)
    };
    let holders: Vec<String> = volume.attachments.iter().map(holder).collect();
    if holders.is_empty() { "-".to_owned() } else { holders.join(", ") }
}

/// `namespace/name` of its claim.
pub(crate) fn claim(volume: &Volume) -> String {
    match &volume.claim {
        Some(claim) if !claim.namespace.is_empty() || !claim.name.is_empty() => {
            format!("{}/{}", claim.namespace, claim.name)
        }
        Some(_) | None => "-".to_owned(),
    }
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::rds::volume::v1::Claim;

    #[test]
    fn the_list_says_who_holds_a_volume_and_whose_it_is() {
        let attachment = |node: &str, read_only| Attachment { node_id: node.to_owned(), read_only };
        let volume = Volume {
            handle: "rds1/csi-1".to_owned(),
            size_bytes: 5 << 30,
            attachments: vec![attachment("n1", false), attachment("n2", true)],
            claim: Some(Claim { namespace: "demo".to_owned(), name: "data".to_owned(), ..Claim::default() }),
            ..Volume::default()
        };
        let text = text(&[volume, Volume::default()]);
        assert!(text.contains("n1, n2 (ro)  demo/data") && text.contains("5.0 GiB"), "{text}");
        assert!(text.lines().last().unwrap().contains("-"), "{text}");
    }

    #[test]
    fn an_answer_says_whether_the_node_is_fenced() {
        let answer = |still_exported| detached(&DetachVolumeResponse { detached: true, still_exported });
        assert!(answer(true).contains("NOT fenced") && !answer(false).contains("NOT fenced"));
    }
}
