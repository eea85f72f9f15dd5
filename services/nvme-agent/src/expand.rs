//! Growing: the kernel sees the new size, and the filesystem fills it. The size is only believed when it was seen.

use std::time::Duration;

use proto::fault::Fault;
use proto::size::ByteSize;
use tracing::Instrument as _;

use crate::failure::Failure;
use crate::fault;
use crate::filesystem::Kind;
use crate::journal::{Entry, Recorded};
use crate::kernel::{Session, State};
use crate::mounts::Mounts;
use crate::node::Operation;
use crate::paths::KubeletPath;
use crate::request::Range;
use crate::stage::effects;
use crate::stage::ensure::LOOK_AGAIN;

/// How long the kernel gets to show the new size (the wait NodeExpand is given before pods start without it).
const GROWTH_PATIENCE: Duration = Duration::from_secs(10);
/// Every so many looks the size is asked for anew.
const RESCAN_EVERY: usize = 25;

/// Makes sure that the volume at `path` has the wanted size, and answers the size of the device.
pub(crate) async fn ensure_expanded(
    op: &Operation,
    path: Option<&KubeletPath>,
    wanted: Range,
) -> Result<ByteSize, Fault> {
    drive(op, path, wanted).await.map_err(|failure| {
        // Looked at, found wanting, and nothing was begun.
        let settled = matches!(
            failure,
            Failure::NotHere | Failure::NoSuchPath(_) | Failure::TooLarge(_) | Failure::NotGrown(_)
        );
        fault::of(&failure, &op.handle.to_string(), &op.node.config.node_name, settled)
    })
}

/// A volume of this node: its entry, its session, and what the path is of it.
pub(crate) struct Found {
    pub(crate) entry: Entry,
    pub(crate) session: Option<Session>,
    /// True when the path shows the device itself.
    pub(crate) block: bool,
}

/// Finds the volume and its path. An unknown volume is decided before its path; `None` is a path outside kubelet's.
pub(crate) async fn find(op: &Operation, path: Option<&KubeletPath>) -> Result<Found, Failure> {
    let entry = op.entry().await?.ok_or(Failure::NotHere)?;
    let path =
        path.ok_or_else(|| Failure::NoSuchPath("the path is outside the kubelet folder".to_owned()))?;
    let sessions = op.sessions(Some(&entry), &[]).await?;
    let session = sessions.into_iter().find(|session| session.nqn.as_str() == entry.nqn);
    let mounts = op.host.mounts().await.map_err(Failure::kernel("looking at the mounts"))?;
    let block = entry.access == Recorded::Block;
    if !belongs(&mounts, &entry, session.as_ref(), path) {
        return Err(Failure::NoSuchPath(format!("the volume is not at {path}")));
    }
    Ok(Found { entry, session, block })
}

fn belongs(mounts: &Mounts, entry: &Entry, session: Option<&Session>, path: &KubeletPath) -> bool {
    let path = path.to_path();
    let staged_there = std::path::Path::new(&entry.staging_path) == path;
    // Nothing is mounted where a block volume is staged.
    if staged_there && entry.access == Recorded::Block {
        return entry.staged;
    }
    let Some(mount) = mounts.top(&path) else { return false };
    let device = session.and_then(|session| session.device.as_ref());
    let of_device = device.is_some_and(|device| mount.is_of(device.number, &device.node));
    // Its device may be gone; then what we mounted or bound there is known from the journal.
    of_device || entry.device.as_deref() == Some(mount.device.to_string().as_str())
}

async fn drive(op: &Operation, path: Option<&KubeletPath>, wanted: Range) -> Result<ByteSize, Failure> {
    let found = find(op, path).await?;
    let session = found.session.as_ref().ok_or(Failure::NoSession)?;
    let session = await_size(op, &found.entry, session, wanted.required).await?;
    let device = session.device.as_ref().ok_or(Failure::NoDevice)?;
    if let Some(limit) = wanted.limit
        && device.size > limit
    {
        return Err(Failure::TooLarge(format!(
            "the device has {}, more than the limit of {limit}",
            device.size
        )));
    }
    let (Recorded::Filesystem { kind, .. }, Some(path), false) = (&found.entry.access, path, found.block)
    else {
        return Ok(device.size);
    };
    let kind: Kind = kind.parse().map_err(|error| Failure::NoProgress(format!("the journal: {error}")))?;
    let full = found.entry.filled.is_some_and(|filled| filled.device == device.size.bytes());
    if full || found.entry.read_only {
        return Ok(device.size);
    }
    if kind == Kind::Ext4 {
        let may =
            op.host.may_grow_ext4_mounted().await.map_err(Failure::kernel("looking at capabilities"))?;
        if !may {
            return Err(Failure::NotGrown(format!(
                "the device has {}, but ext4 can only be grown mounted with CAP_SYS_RESOURCE, which this process lacks; it will grow at the next stage",
                device.size
            )));
        }
    }
    effects::grow(op, kind, path, &session).await?;
    Ok(device.size)
}

/// Asks for the size anew until it is what was wanted.
async fn await_size(
    op: &Operation,
    entry: &Entry,
    session: &Session,
    required: ByteSize,
) -> Result<Session, Failure> {
    let span = tracing::info_span!("rescan", volume.id = %op.handle, required = %required);
    async {
        let until = op.patience(GROWTH_PATIENCE);
        for look in 0.. {
            // First of all, so that the size is never one from before the call.
            if look % RESCAN_EVERY == 0 {
                let asked = op.node.kernel.rescan(&session.nqn, op.deadline).await;
                asked.map_err(Failure::kernel("asking for the size anew"))?;
            }
            let sessions = op.sessions(Some(entry), &[]).await?;
            let now = sessions.into_iter().find(|one| one.nqn == session.nqn).ok_or(Failure::NoSession)?;
            if now.state != State::Live {
                return Err(Failure::NotLive { state: now.state.to_string(), addresses: Vec::new() });
            }
            let size = now.device.as_ref().ok_or(Failure::NoDevice)?.size;
            if size >= required {
                return Ok(now);
            }
            if until.has_passed() {
                return Err(Failure::NotGrown(format!(
                    "the device has {size} and {required} were asked for; this node sees it after the next reconnect"
                )));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(Failure::NoSession)
    }
    .instrument(span)
    .await
}
