//! The loop of a stage: observe, plan, do one step, observe again. Bounded by rounds and by the caller's deadline.

use std::time::Duration;

use chassis::deadline::Deadline;
use proto::fault::Fault;
use proto::rds::node::v1::EnsureStagedResponse;

use super::effects;
use super::facts::{Learned, Seen, observe};
use super::plan::{Refusal, Staging, Step, Want, plan};
use super::session::{cut, end_session};
use crate::events::Happening;
use crate::failure::Failure;
use crate::fault;
use crate::journal::Format;
use crate::kernel::State;
use crate::node::Operation;
use crate::request::{Access, Stage};

/// More steps than the longest way has; waiting is not counted.
const MOST_STEPS: usize = 40;
/// How long a session gets to come to life, and a namespace to appear, once we wait for it.
const LIVE_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks while waiting.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Makes sure that a volume is staged.
pub(crate) async fn ensure_staged(op: &Operation, want: &Stage) -> Result<EnsureStagedResponse, Fault> {
    let mut learned = Learned::default();
    match drive(op, want, &mut learned).await {
        Ok(seen) => Ok(EnsureStagedResponse {
            formatted: learned.formatted,
            device: seen.device().map(|device| device.node.display().to_string()).unwrap_or_default(),
        }),
        Err(failure) => {
            report(op, want, &failure);
            let settled = settle(op, want, &failure, learned.began).await;
            Err(fault::of(&failure, &op.handle.to_string(), &op.node.config.node_name, settled))
        }
    }
}

async fn drive(op: &Operation, want: &Stage, learned: &mut Learned) -> Result<Seen, Failure> {
    let wanted = Want {
        filesystem: match &want.access {
            Access::Filesystem(wish) => Some(wish.kind),
            Access::Block => None,
        },
        read_only: want.read_only(),
        exported_read_only: want.connection.read_only,
        epoch: want.connection.epoch,
        attached_size: want.connection.size,
    };
    let mut waiting: Option<Deadline> = None;
    let mut steps = 0;
    loop {
        let seen = observe(op, want, learned).await?;
        let step = plan(&wanted, &seen.facts);
        op.in_time(&step)?;
        if step == Step::Done {
            return Ok(seen);
        }
        if let Step::Refuse(refusal) = step {
            return Err(Failure::Refused(refusal));
        }
        if matches!(step, Step::AwaitLive | Step::AwaitDevice) {
            let until = *waiting.get_or_insert_with(|| op.patience(LIVE_PATIENCE));
            if until.has_passed() {
                return Err(did_not_come(want, &seen));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        tracing::debug!(volume.id = %op.handle, ?step, "step");
        learned.began |= step.changes_something();
        steps += 1;
        if steps > MOST_STEPS {
            return Err(Failure::NoProgress(format!("{step:?}")));
        }
        let begun = std::time::Instant::now();
        let done = act(op, want, &seen, &step, learned).await;
        op.node.metrics.stepped(step.label(), begun.elapsed());
        done?;
    }
}

fn did_not_come(want: &Stage, seen: &Seen) -> Failure {
    match &seen.session {
        Some(session) if session.state != State::Live => Failure::NotLive {
            state: session.state.to_string(),
            addresses: want.connection.addresses.clone(),
        },
        Some(_) => Failure::NoDevice,
        None => Failure::NoSession,
    }
}

async fn act(
    op: &Operation,
    want: &Stage,
    seen: &Seen,
    step: &Step,
    learned: &mut Learned,
) -> Result<(), Failure> {
    match step {
        Step::UnmountStale => {
            op.node.reporter.report(
                &want.handle,
                &want.claim,
                Happening::StaleMount(want.staging.to_string()),
            );
            effects::unmount(op, &want.staging).await
        }
        Step::AskBackend => {
            let facts = op.node.backend.facts(&op.handle, op.deadline).await.map_err(Failure::Backend)?;
            learned.backend = Some(facts);
            Ok(())
        }
        Step::CutOlder => match &seen.other {
            Some(older) => cut(op, older).await,
            None => Ok(()),
        },
        Step::DropOlder => match &seen.other {
            Some(older) => end_session(op, older).await,
            None => Ok(()),
        },
        Step::Record => effects::record(op, want, seen).await,
        Step::Connect => effects::connect(op, want).await,
        Step::Protect => effects::protect(op, seen).await,
        Step::Probe => effects::probe(op, seen, learned).await,
        Step::Verify => effects::verify(op, want, seen, learned).await,
        Step::RecordAttempt => op.amend(|entry| entry.format = Format::Attempt).await,
        Step::Format { again } => effects::format(op, want, seen, *again, learned).await,
        Step::Acknowledge => effects::acknowledge(op, want).await,
        Step::Check => effects::check(op, want, seen, false, learned).await,
        Step::GrowUnmounted => effects::check(op, want, seen, true, learned).await,
        Step::Mount => effects::mount(op, want, seen).await,
        Step::Grow => effects::grow_staged(op, want, seen).await,
        Step::RecordStaged => {
            op.amend(|entry| {
                entry.staged = true;
                entry.ever_staged = true;
            })
            .await
        }
        // The loop itself does these.
        Step::AwaitLive | Step::AwaitDevice | Step::Done | Step::Refuse(_) => Ok(()),
    }
}

fn report(op: &Operation, want: &Stage, failure: &Failure) {
    let happening = match failure {
        Failure::Refused(Refusal::Format(missing)) => Happening::FormatRefused(missing.clone()),
        Failure::Refused(Refusal::Identity(why)) => Happening::IdentityMismatch(why.clone()),
        Failure::Refused(Refusal::Elsewhere(leads_to)) => {
            Happening::IdentityMismatch(format!("a session of its name leads to {leads_to}"))
        }
        Failure::NoConnection(_) | Failure::NotLive { .. } | Failure::NoDevice => {
            Happening::NoConnection { addresses: want.connection.addresses.clone(), why: failure.to_string() }
        }
        Failure::Kernel { doing: "checking the filesystem", source } => {
            Happening::Damaged(source.to_string())
        }
        Failure::Kernel { doing, source } => Happening::NotMounted(format!("{doing}: {source}")),
        Failure::Refused(_)
        | Failure::PublishRefused(_)
        | Failure::NoSession
        | Failure::PathUndecided { .. }
        | Failure::Mixed(_)
        | Failure::Changed
        | Failure::StillUsed(_)
        | Failure::StillPublished(_)
        | Failure::StagingForeign(_)
        | Failure::Journal(_)
        | Failure::Backend(_)
        | Failure::NotGrown(_)
        | Failure::TooLarge(_)
        | Failure::NotHere
        | Failure::NoSuchPath(_)
        | Failure::OutOfTime(_)
        | Failure::NoProgress(_) => return,
    };
    op.node.reporter.report(&want.handle, &want.claim, happening);
}

/// Rule 4: a refusal is final for kubelet, which then calls no unstage. So what was connected for it is ended first;
/// when that cannot be proven, the answer is not final.
async fn settle(op: &Operation, want: &Stage, failure: &Failure, began: bool) -> bool {
    let Failure::Refused(refusal) = failure else { return false };
    match refusal {
        // The plan stops before the first step, unless what it stops at came later.
        Refusal::StaleEpoch { .. }
        | Refusal::StagedOtherwise
        | Refusal::MountedOtherwise { .. }
        | Refusal::Elsewhere(_) => !began,
        Refusal::StagingTaken(_) | Refusal::OlderUndecided { .. } => false,
        Refusal::Identity(_) | Refusal::Format(_) | Refusal::OtherFilesystem(_) => {
            match withdraw(op, want).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(volume.id = %op.handle, %error, "what was connected for a refused stage is kept for now");
                    false
                }
            }
        }
    }
}

async fn withdraw(op: &Operation, want: &Stage) -> Result<(), Failure> {
    let seen = observe(op, want, &mut Learned::default()).await?;
    if seen.facts.staging != Staging::Clear {
        return Err(Failure::StillUsed(vec![format!("mounted at {}", want.staging)]));
    }
    if let Some(session) = &seen.session {
        end_session(op, session).await?;
    }
    match &seen.entry {
        // What else it knows must not be lost.
        Some(entry) if entry.ever_staged || entry.format != Format::None || !entry.targets.is_empty() => {
            Ok(())
        }
        Some(_) => op.forget().await,
        None => Ok(()),
    }
}
