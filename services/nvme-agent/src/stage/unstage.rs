//! The opposite of a stage: nothing mounted at the staging path, no session of ours left, the journal's entry gone.
//!
//! A session is ended only when mountinfo, sysfs, the open files of every process and an exclusive open prove that
//! nothing uses its device. The one exception is a former owner's: not live, and the backend says that the epoch has
//! moved on or that this node is not attached. Its writes must die, so it is cut first and unmounted then; the other
//! way round the unmount would hang until the kernel gives the controller up.

use std::time::Duration;

use proto::fault::{Fault, Reason};
use proto::nqn::{Epoch, Nqn};
use tracing::Instrument as _;

use super::effects;
use super::ensure::LOOK_AGAIN;
use crate::events::Happening;
use crate::facts::BackendFacts;
use crate::failure::Failure;
use crate::fault;
use crate::journal::Entry;
use crate::kernel::{Session, State, volume_of};
use crate::mounts::Mounts;
use crate::node::Operation;
use crate::paths::KubeletPath;

/// How long a device gets to become idle: who looks at new devices lets go of them again.
const IDLE_PATIENCE: Duration = Duration::from_secs(10);
/// More steps than the longest way has.
const MOST_STEPS: usize = 20;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is published, so it stays.
    RefusePublished(Vec<String>),
    /// Something else is mounted at the staging path.
    RefuseForeign(String),
    /// Ask the backend whether the session that is not live is a former owner's.
    AskBackend,
    /// It is not known to be: nothing is cut, nothing is unmounted.
    RefuseUndecided,
    /// Cut the former owner's session.
    Cut,
    /// Take off the mount at the staging path.
    Unmount,
    /// End the session once nothing uses it.
    Disconnect,
    /// Remove the journal's entry.
    Forget,
    /// Nothing is left.
    Done,
}

/// What is mounted at the staging path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mounted {
    /// Nothing.
    Nothing,
    /// The volume.
    Volume,
    /// Something else: what.
    Foreign(String),
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Where else the volume is mounted.
    pub(crate) published: Vec<String>,
    /// What is mounted at the staging path.
    pub(crate) mounted: Mounted,
    /// The session: its epoch, and whether it is live.
    pub(crate) session: Option<(Epoch, bool)>,
    /// True when the journal has an entry.
    pub(crate) recorded: bool,
    /// The backend's own answer, if it was asked during this call.
    pub(crate) backend: Option<BackendFacts>,
}

/// The next step. Pure.
pub(crate) fn plan(facts: &Facts) -> Step {
    if let Mounted::Foreign(what) = &facts.mounted {
        return Step::RefuseForeign(what.clone());
    }
    match facts.session {
        // A path that is not live: unmounting hangs, and disconnecting loses what was written.
        Some((epoch, false)) => match &facts.backend {
            None => Step::AskBackend,
            Some(backend) if backend.fences(epoch) => Step::Cut,
            Some(_) => Step::RefuseUndecided,
        },
        Some((_, true)) | None if !facts.published.is_empty() => {
            Step::RefusePublished(facts.published.clone())
        }
        Some((_, true)) | None if facts.mounted == Mounted::Volume => Step::Unmount,
        Some((_, true)) => Step::Disconnect,
        None if facts.recorded => Step::Forget,
        None => Step::Done,
    }
}

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
        let sessions = op.sessions().await.map_err(Failure::kernel("looking at the sessions"))?;
        let mounts = op.host.mounts().await.map_err(Failure::kernel("looking at the mounts"))?;
        // One that is not live first: nothing can be unmounted before it is dealt with.
        let session = sessions.iter().min_by_key(|session| session.state == State::Live);
        let epoch_of = |nqn: &Nqn| volume_of(&op.node.config.nqn_prefixes, nqn).map(|(_, epoch)| epoch);
        let facts = Facts {
            published: published(&mounts, session, entry.as_ref(), staging),
            mounted: mounted(&mounts, session, entry.as_ref(), staging),
            session: session.and_then(|s| Some((epoch_of(&s.nqn)?, s.state == State::Live))),
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
                cut(op, &session.nqn).await?;
            }
            (Step::Unmount, _) => effects::unmount(op, staging).await?,
            (Step::Disconnect, Some(session)) => end_session(op, session).await?,
            (Step::Forget, _) => forget(op, entry.as_ref()).await?,
            // Planned only with a session; without one there is nothing to do for them.
            (Step::AskBackend | Step::RefuseUndecided | Step::Cut | Step::Disconnect, None) => {}
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

fn undecided(op: &Operation, session: &Session, why: &str) -> Failure {
    let epoch =
        volume_of(&op.node.config.nqn_prefixes, &session.nqn).map(|(_, epoch)| epoch).unwrap_or_default();
    Failure::PathUndecided { epoch, state: session.state.to_string(), why: why.to_owned() }
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
    // The journal was written before anything was mounted, so what is mounted there is ours: the device it names, or
    // whatever is there while it names none yet.
    let recorded = entry.is_some_and(|entry| {
        std::path::Path::new(&entry.staging_path) == staging.to_path()
            && entry.device_number().is_none_or(|number| number == mount.device)
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
    let targets = entry.into_iter().flat_map(|entry| entry.targets.keys()).map(std::path::PathBuf::from);
    points.extend(targets.filter(|target| mounts.top(target).is_some()));
    points.retain(|point| *point != staging);
    points.sort();
    points.dedup();
    points.iter().map(|point| point.display().to_string()).collect()
}

/// Ends a session once nothing is proven to use it.
pub(crate) async fn end_session(op: &Operation, session: &Session) -> Result<(), Failure> {
    let span = tracing::info_span!("disconnect", volume.id = %op.handle, nqn = %session.nqn);
    async {
        if let Some(device) = &session.device {
            let until = op.patience(IDLE_PATIENCE);
            loop {
                let users = op
                    .host
                    .users(device)
                    .await
                    .map_err(Failure::kernel("looking for users of the device"))?;
                if users.is_empty() {
                    break;
                }
                if until.has_passed() {
                    return Err(Failure::StillUsed(users));
                }
                tokio::time::sleep(LOOK_AGAIN * 5).await;
            }
            if session.state == State::Live {
                op.host.flush(device).await.map_err(Failure::kernel("flushing the device"))?;
            }
        }
        let ended = op.node.kernel.disconnect(&session.nqn, op.deadline).await;
        ended.map_err(Failure::kernel("disconnecting"))
    }
    .instrument(span)
    .await
}

/// Ends a former owner's session although it may carry a mount: its writes must die.
pub(crate) async fn cut(op: &Operation, nqn: &Nqn) -> Result<(), Failure> {
    let span = tracing::info_span!("cut", volume.id = %op.handle, nqn = %nqn);
    tracing::warn!(volume.id = %op.handle, %nqn, "session of a former owner is cut");
    let cut = op.node.kernel.disconnect(nqn, op.deadline).instrument(span).await;
    cut.map_err(Failure::kernel("cutting a fenced session"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::size::ByteSize;

    fn all() -> Vec<Facts> {
        let epoch = |n| Epoch::new(n).expect("an epoch");
        let backend = |n, attached| BackendFacts {
            size: ByteSize::GIB,
            epoch: epoch(n),
            attached,
            formatted: true,
            content_source: None,
        };
        let mut all = Vec::new();
        for published in [vec![], vec!["/k/target".to_owned()]] {
            for mounted in [Mounted::Nothing, Mounted::Volume, Mounted::Foreign("x".to_owned())] {
                for session in [None, Some((epoch(3), true)), Some((epoch(3), false))] {
                    for recorded in [false, true] {
                        for backend in
                            [None, Some(backend(3, true)), Some(backend(4, true)), Some(backend(3, false))]
                        {
                            let (published, mounted) = (published.clone(), mounted.clone());
                            all.push(Facts { published, mounted, session, recorded, backend });
                        }
                    }
                }
            }
        }
        all
    }

    #[test]
    fn a_session_that_is_not_live_is_cut_only_when_the_backend_says_that_it_is_fenced() {
        for facts in all().into_iter().filter(|facts| !matches!(facts.mounted, Mounted::Foreign(_))) {
            let not_live = matches!(facts.session, Some((_, false)));
            let fenced = facts.backend.as_ref().is_some_and(|b| b.epoch.number() > 3 || !b.attached);
            let step = plan(&facts);
            assert_eq!(step == Step::Cut, not_live && fenced, "{facts:?}");
            if not_live && !fenced {
                assert!(matches!(step, Step::AskBackend | Step::RefuseUndecided), "{facts:?}: {step:?}");
            }
        }
    }

    #[test]
    fn what_is_mounted_or_published_is_never_disconnected() {
        for facts in
            all().into_iter().filter(|facts| facts.mounted != Mounted::Nothing || !facts.published.is_empty())
        {
            assert!(!matches!(plan(&facts), Step::Disconnect | Step::Forget | Step::Done), "{facts:?}");
        }
    }

    #[test]
    fn what_is_not_the_volume_is_never_unmounted() {
        for facts in all().into_iter().filter(|facts| matches!(facts.mounted, Mounted::Foreign(_))) {
            assert!(matches!(plan(&facts), Step::RefuseForeign(_)), "{facts:?}");
        }
    }

    #[test]
    fn done_means_that_nothing_is_left() {
        for facts in all().into_iter().filter(|facts| plan(facts) == Step::Done) {
            assert!(facts.session.is_none() && !facts.recorded && facts.published.is_empty());
            assert_eq!(facts.mounted, Mounted::Nothing);
        }
    }

    #[test]
    fn every_way_ends() {
        for mut facts in all() {
            let mut steps = 0;
            loop {
                steps += 1;
                assert!(steps < MOST_STEPS, "{facts:?}");
                match plan(&facts) {
                    Step::Done
                    | Step::RefusePublished(_)
                    | Step::RefuseForeign(_)
                    | Step::RefuseUndecided => break,
                    Step::AskBackend => {
                        let backend = BackendFacts {
                            size: ByteSize::GIB,
                            epoch: Epoch::new(4).expect("an epoch"),
                            attached: false,
                            formatted: true,
                            content_source: None,
                        };
                        facts.backend = Some(backend);
                    }
                    Step::Cut | Step::Disconnect => facts.session = None,
                    Step::Unmount => facts.mounted = Mounted::Nothing,
                    Step::Forget => facts.recorded = false,
                }
            }
        }
    }
}
