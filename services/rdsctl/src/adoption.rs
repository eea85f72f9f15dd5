//! `rdsctl appliance adopt|adopt-cluster|repair-comment`: what an operator decides about marks.

use proto::rds::volume::v1 as wire;

use crate::backend::Backend;
use crate::cli::{AdoptArguments, AdoptClusterArguments, RepairArguments};
use crate::confirm::confirm;
use crate::outcome::{Failure, print};
use crate::show::{rough, show};

fn claim(of: Option<(String, String)>) -> Option<wire::Claim> {
    of.map(|(namespace, name)| wire::Claim { namespace, name, volume_name: String::new() })
}

/// Takes over volumes of an earlier driver.
pub(crate) async fn adopt(arguments: AdoptArguments) -> Result<(), Failure> {
    if arguments.claim.is_some() && arguments.handles.len() > 1 {
        return Err(Failure::Usage(
            "--claim is of one volume; adopt the others in commands of their own".to_owned(),
        ));
    }
    let backend = Backend::of(arguments.backend)?;
    if !arguments.dry_run {
        let blank = if arguments.blank { " They count as blank: a node may format them." } else { "" };
        let what = format!(
            "{} volume(s) get the mark of this driver; their slots, images and exports stay as they are.{blank}",
            arguments.handles.len()
        );
        confirm(arguments.yes, &what)?;
    }
    let mut answers = Vec::new();
    for handle in arguments.handles {
        let request = wire::AdoptVolumeRequest {
            handle,
            access_class: wire::AccessClass::from(arguments.access_class).into(),
            claim: claim(arguments.claim.clone()),
            formatted: !arguments.blank,
            dry_run: arguments.dry_run,
        };
        let answer = backend.volumes().adopt_volume(backend.request(request)).await?.into_inner();
        answers.push(answer);
    }
    let done = if arguments.dry_run { "would be adopted" } else { "adopted" };
    show(arguments.output, &answers, || {
        let line = |answer: &wire::AdoptVolumeResponse| {
            let volume = answer.volume.clone().unwrap_or_default();
            let what = if answer.adopted { done } else { "was ours already" };
            format!("{}: {what} ({}, {})\n", volume.handle, rough(volume.size_bytes), volume.directory)
        };
        answers.iter().map(line).collect()
    })
}

/// Takes over the volumes of a cluster that was made anew.
pub(crate) async fn adopt_cluster(arguments: AdoptClusterArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    let request = |dry_run| wire::AdoptClusterRequest {
        appliance: arguments.name.clone(),
        from: arguments.from.clone(),
        dry_run,
    };
    let mut answer = backend.appliances().adopt_cluster(backend.request(request(true))).await?.into_inner();
    if !arguments.dry_run && !answer.slots.is_empty() {
        let what = format!(
            "{} volume(s) and snapshot(s) of cluster {} become this cluster's. If that cluster still runs, it loses them.",
            answer.slots.len(),
            arguments.from
        );
        confirm(arguments.yes, &what)?;
        answer = backend.appliances().adopt_cluster(backend.request(request(false))).await?.into_inner();
    }
    let done = if arguments.dry_run { "would be taken over" } else { "taken over" };
    show(arguments.output, &answer, || {
        if answer.slots.is_empty() {
            return format!("nothing of cluster {} is there\n", arguments.from);
        }
        answer.slots.iter().map(|slot| format!("{slot}: {done}\n")).collect()
    })
}

/// Writes the mark of one volume anew.
pub(crate) async fn repair(arguments: RepairArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    let request = |dry_run| wire::RepairCommentRequest {
        handle: arguments.handle.clone(),
        access_class: wire::AccessClass::from(arguments.access_class).into(),
        claim: claim(arguments.claim.clone()),
        formatted: !arguments.blank,
        epoch: arguments.epoch,
        dry_run,
    };
    let mut answer = backend.appliances().repair_comment(backend.request(request(true))).await?.into_inner();
    if !arguments.dry_run && answer.repaired {
        print(&format!("before: {}\nafter:  {}\n", crate::show::visible(&answer.before), answer.after));
        confirm(arguments.yes, &format!("The comment of {} is written anew.", arguments.handle))?;
        answer = backend.appliances().repair_comment(backend.request(request(false))).await?.into_inner();
    }
    show(arguments.output, &answer, || match (answer.repaired, arguments.dry_run) {
        (false, _) => format!("{}: its comment is as it should be\n", arguments.handle),
        (true, true) => {
            format!("before: {}\nafter:  {}\n", crate::show::visible(&answer.before), answer.after)
        }
        (true, false) => format!("{}: mended\n", arguments.handle),
    })
}
