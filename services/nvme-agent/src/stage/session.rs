//! The end of a session, and holding on to its device. Whatever acts on a device by its node holds it open and has looked
//! since then: a number that is held open is not given to another device, so the look counts until it is let go.

use std::time::Duration;

use tracing::Instrument as _;

use super::ensure::LOOK_AGAIN;
use crate::failure::Failure;
use crate::journal::Entry;
use crate::kernel::device::Held;
use crate::kernel::users::Use;
use crate::kernel::{Device, Session, State, volume_of};
use crate::node::Operation;

/// How long a device gets to become idle: who looks at new devices lets go of them again.
const IDLE_PATIENCE: Duration = Duration::from_secs(10);

/// Opens the device of a live session and proves, with it open, that the session still has it.
pub(crate) async fn hold(op: &Operation, session: &Session) -> Result<Held, Failure> {
    let device = session.device.as_ref().ok_or(Failure::NoDevice)?;
    let held = op.host.hold(device).await.map_err(Failure::kernel("opening the device"))?;
    match still_has(op, session, true).await {
        Ok(()) => Ok(held),
        Err(failure) => {
            op.host.release(held).await;
            Err(failure)
        }
    }
}

/// Errs unless the session is the one that was seen, with the same device of the same size; and `live`, if that is asked.
pub(crate) async fn still_has(op: &Operation, seen: &Session, live: bool) -> Result<(), Failure> {
    let all = op.node.kernel.sessions(op.deadline).await;
    let all = all.map_err(Failure::kernel("looking at the sessions"))?;
    let now = all.into_iter().find(|session| session.nqn == seen.nqn);
    let same = now.as_ref().is_some_and(|now| {
        let still_live = now.state == State::Live || !live;
        still_live && now.device == seen.device && now.paths == seen.paths
    });
    if same { Ok(()) } else { Err(Failure::Changed) }
}

/// Ends a session once nothing is proven to use it. The device is claimed meanwhile, so nothing can be mounted on it
/// between the proof and the end; what is left is a process that opens the node itself in that moment.
pub(crate) async fn end_session(op: &Operation, session: &Session) -> Result<(), Failure> {
    let span = tracing::info_span!("disconnect", volume.id = %op.handle, nqn = %session.nqn);
    async {
        let Some(device) = &session.device else { return disconnect(op, session).await };
        let claimed = claim(op, device).await?;
        let ended = end_claimed(op, session, &claimed).await;
        op.host.release(claimed).await;
        ended
    }
    .instrument(span)
    .await
}

/// Errs while anything uses a device.
pub(crate) async fn prove_idle(op: &Operation, device: &Device) -> Result<(), Failure> {
    let claimed = claim(op, device).await?;
    op.host.release(claimed).await;
    Ok(())
}

async fn claim(op: &Operation, device: &Device) -> Result<Held, Failure> {
    let until = op.patience(IDLE_PATIENCE);
    loop {
        let looked = op.host.claim(device).await;
        match looked.map_err(Failure::kernel("looking for users of the device"))? {
            Use::None(claimed) => return Ok(claimed),
            Use::By(users) if until.has_passed() => return Err(Failure::StillUsed(users)),
            Use::By(_) => tokio::time::sleep(LOOK_AGAIN * 5).await,
        }
    }
}

async fn end_claimed(op: &Operation, session: &Session, claimed: &Held) -> Result<(), Failure> {
    let live = session.state == State::Live;
    if live {
        op.host.flush(claimed).await.map_err(Failure::kernel("flushing the device"))?;
    }
    still_has(op, session, live).await?;
    disconnect(op, session).await
}

async fn disconnect(op: &Operation, session: &Session) -> Result<(), Failure> {
    op.node.kernel.disconnect(session, op.deadline).await.map_err(Failure::kernel("disconnecting"))
}

/// Ends a former owner's session although it may carry a mount: its writes must die.
pub(crate) async fn cut(op: &Operation, session: &Session) -> Result<(), Failure> {
    let nqn = &session.nqn;
    let span = tracing::info_span!("cut", volume.id = %op.handle, nqn = %nqn);
    tracing::warn!(volume.id = %op.handle, %nqn, "session of a former owner is cut");
    let cut = op.node.kernel.disconnect(session, op.deadline).instrument(span).await;
    cut.map_err(Failure::kernel("cutting a fenced session"))
}

/// Waits until the kernel has answered, with whatever: the next look tells.
pub(crate) async fn await_answer(
    op: &Operation,
    session: &Session,
    entry: Option<&Entry>,
) -> Result<(), Failure> {
    let until = op.patience(IDLE_PATIENCE);
    loop {
        let now = op.sessions(entry, &[]).await?;
        if !now.iter().any(|one| one.nqn == session.nqn && one.state == State::Asked) {
            return Ok(());
        }
        if until.has_passed() {
            return Err(undecided(
                op,
                session,
                "an earlier call asked for it and the kernel has not answered yet",
            ));
        }
        tokio::time::sleep(LOOK_AGAIN * 5).await;
    }
}

/// A session that is not live, and why it could not be decided what it is.
pub(crate) fn undecided(op: &Operation, session: &Session, why: &str) -> Failure {
    let epoch =
        volume_of(&op.node.config.nqn_prefixes, &session.nqn).map(|(_, epoch)| epoch).unwrap_or_default();
    Failure::PathUndecided { epoch, state: session.state.to_string(), why: why.to_owned() }
}
