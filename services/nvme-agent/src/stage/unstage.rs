//! The opposite of a stage: nothing mounted at the staging path, no session of ours left, the journal's entry gone.
//!
//! A session is ended only when mountinfo, sysfs, the open files of every process and an exclusive open prove that
//! nothing uses its device. The one exception is a former owner's: not live, and the backend says that the epoch has
//! moved on or that this node is not attached. Its writes must die, so it is cut first and unmounted then; the other
//! way round the unmount would hang until the kernel gives the controller up.

use proto::fault::{Fault, Reason};
use proto::nqn::Nqn;

pub(crate) mod plan;

use self::plan::{Facts, Life, MOST_STEPS, Mounted, Step, plan};
use super::effects;
use super::session::{await_answer, cut, end_session, undecided};
use crate::events::Happening;
use crate::facts::BackendFacts;
use crate::failure::Failure;
use crate::fault;
use crate::journal::Entry;
use crate::kernel::{Session, State, volume_of};
use crate::mounts::Mounts;
use crate::node::Operation;
use crate::paths::KubeletPath;

/// Makes sure that a volume is not staged.
pub(crate) async fn ensure_unstaged(op: &Operation, staging: &KubeletPath) -> Result<(), Fault> {
    drive(op, staging).await.map_err(|failure| {
        // Refused before the first step.
        let settled = matches!(failure, Failure::StillPublished(_) | Failure::StagingForeign(_));
        fault::of(&failure, &op.handle.to_string(), &op.node.config.node_name, settled)
    })
}

async fn drive(op: &Operation, staging: &KubeletPath) -> Result<(), Failure> {
    let mut backend = None;
    let mut asked = String::new();
    let mut last = Step::Done;
    for _ in 0..MOST_STEPS {
        let entry = op.entry().await?;
        let sessions = op.sessions(entry.as_ref(), &[]).await?;
        let mounts = op.host.mounts().await.map_err(Failure::kernel("looking at the mounts"))?;
        // One that is not live first: nothing can be unmounted before it is dealt with.
        let session = sessions.iter().min_by_key(|session| session.state == State::Live);
        let epoch_of = |nqn: &Nqn| volume_of(&op.node.config.nqn_prefixes, nqn).map(|(_, epoch)| epoch);
        let facts = Facts {
            published: published(&mounts, session, entry.as_ref(), staging),
            mounted: mounted(&mounts, session, entry.as_ref(), staging),
            session: session.and_then(|s| Some((epoch_of(&s.nqn)?, Life::of(s)))),
            recorded: entry.as_ref().is_some_and(|entry| !entry.must_stay()),
            backend: backend.clone(),
        };
        let step = plan(&facts);
        op.in_time(&step)?;
        tracing::debug!(volume.id = %op.handle, ?step, "step");
        match (&step, session) {
            (Step::Done, _) => return Ok(()),
            (Step::RefusePublished(paths), _) => return Err(Failure::StillPublished(paths.clone())),
            (Step::RefuseForeign(what), _) => return Err(Failure::StagingForeign(what.clone())),
            (Step::AskBackend, Some(session)) => match op.node.backend.facts(&op.handle, op.deadline).await {
                Ok(facts) => {
                    asked = format!("the appliance has this node attached in epoch {}", facts.epoch);
                    backend = Some(facts);
                }
                // Nobody can own what does not exist any more: its writes have nowhere to go.
                Err(fault) if fault.settled && fault.reason == Reason::VolumeNotFound => {
                    backend = Some(BackendFacts::of_nothing());
                }
                Err(fault) => return Err(undecided(op, session, &fault.message)),
            },
            (Step::RefuseUndecided, Some(session)) => return Err(undecided(op, session, &asked)),
            (Step::Cut, Some(session)) => {
                let claim = entry.map(|entry| entry.claim).unwrap_or_default();
                op.node.reporter.report(&op.handle, &claim, Happening::Fenced(session.nqn.to_string()));
                cut(op, session).await?;
            }
            (Step::AwaitAsked, Some(session)) => await_answer(op, session, entry.as_ref()).await?,
            (Step::Unmount, _) => effects::unmount(op, staging).await?,
            (Step::Disconnect, Some(session)) => end_session(op, session).await?,
            (Step::Forget, _) => forget(op, entry.as_ref()).await?,
            // Planned only with a session; without one there is nothing to do for them.
            (
                Step::AskBackend | Step::RefuseUndecided | Step::AwaitAsked | Step::Cut | Step::Disconnect,
                None,
            ) => {}
        }
        last = step;
    }
    Err(Failure::NoProgress(format!("{last:?}")))
}

/// Removes the entry, but not what it knows of a filesystem that the appliance does not know of yet.
async fn forget(op: &Operation, entry: Option<&Entry>) -> Result<(), Failure> {
    match entry {
        Some(entry) if entry.holds_unknown_filesystem() => {
            op.amend(|entry| {
                entry.staged = false;
                entry.targets.clear();
            })
            .await
        }
        Some(_) | None => op.forget().await,
    }
}

fn mounted(
    mounts: &Mounts,
    session: Option<&Session>,
    entry: Option<&Entry>,
    staging: &KubeletPath,
) -> Mounted {
    let Some(mount) = mounts.top(&staging.to_path()) else { return Mounted::Nothing };
    let device = session.and_then(|session| session.device.as_ref());
    let of_session = device.is_some_and(|device| mount.is_filesystem_of(device.number, &device.node));
    // The journal is written before anything is mounted, so only what it names is ours: nothing for a block volume.
    let recorded = entry.is_some_and(|entry| {
        std::path::Path::new(&entry.staging_path) == staging.to_path() && entry.has_mounted(mount)
    });
    if of_session || recorded {
        Mounted::Volume
    } else {
        Mounted::Foreign(format!("{} ({})", mount.source.display(), mount.kind))
    }
}

/// Where the volume is mounted, other than at the staging path.
fn published(
    mounts: &Mounts,
    session: Option<&Session>,
    entry: Option<&Entry>,
    staging: &KubeletPath,
) -> Vec<String> {
    let staging = staging.to_path();
    let mut points: Vec<_> = match session.and_then(|session| session.device.as_ref()) {
        Some(device) => {
            mounts.of_device(device.number, &device.node).map(|mount| mount.point.clone()).collect()
        }
        None => Vec::new(),
    };
    points.extend(entry.into_iter().flat_map(|entry| entry.published(mounts)));
    points.retain(|point| *point != staging);
    points.sort();
    points.dedup();
    points.iter().map(|point| point.display().to_string()).collect()
}
