//! The loop of a publication, and its opposite.

use nix::mount::MsFlags;
use proto::fault::Fault;
use tracing::Instrument as _;

use super::plan::{Facts, Refusal, Step, Target, Want, plan};
use crate::events::Happening;
use crate::failure::Failure;
use crate::fault;
use crate::journal;
use crate::kernel::host::BindSource;
use crate::kernel::{Device, KernelError, State};
use crate::mounts::{DevNo, Mounts};
use crate::node::Operation;
use crate::paths::{Entry, KubeletPath};
use crate::request::{Access, Publish};
use crate::stage::effects::unmount;
use crate::stage::ensure::ensure_staged;

/// More steps than the longest way has.
const MOST_STEPS: usize = 12;
/// More mounts than were ever stacked on one target.
const MOST_MOUNTS: usize = 16;

struct Seen {
    facts: Facts,
    device: Option<Device>,
}

/// Makes sure that a volume is visible at a target.
pub(crate) async fn ensure_published(op: &Operation, want: &Publish) -> Result<(), Fault> {
    let wanted = Want {
        block: want.stage.access == Access::Block,
        // What is staged read-only cannot be more than that.
        read_only: want.read_only || want.stage.read_only(),
        writable: !want.stage.connection.read_only,
        exclusive: want.exclusive,
    };
    let mut began = false;
    let mut last = None;
    for _ in 0..MOST_STEPS {
        let tell = |failure: Failure| told(op, want, &failure, began);
        let seen = observe(op, want).await.map_err(tell)?;
        let step = plan(&wanted, &seen.facts);
        op.in_time(&step).map_err(tell)?;
        match &step {
            Step::Done => return Ok(()),
            Step::Refuse(refusal) => return Err(tell(Failure::PublishRefused(refusal.clone()))),
            Step::Stage => {
                ensure_staged(op, &want.stage).await?;
            }
            step @ (Step::UnmountStale
            | Step::Record
            | Step::MakeTarget
            | Step::Bind
            | Step::MakeReadOnly) => {
                let span =
                    tracing::info_span!("publish", volume.id = %op.handle, target = %want.target, ?step);
                act(op, want, &wanted, &seen, step).instrument(span).await.map_err(tell)?;
            }
        }
        began = true;
        last = Some(step);
    }
    Err(told(op, want, &Failure::NoProgress(format!("{last:?}")), true))
}

fn told(op: &Operation, want: &Publish, failure: &Failure, began: bool) -> Fault {
    if let Failure::Kernel { doing, source } = failure {
        let why = Happening::NotMounted(format!("{doing}: {source}"));
        op.node.reporter.report(&op.handle, &want.stage.claim, why);
    }
    let settled = matches!(failure, Failure::PublishRefused(_)) && !began;
    fault::of(failure, &op.handle.to_string(), &op.node.config.node_name, settled)
}

async fn observe(op: &Operation, want: &Publish) -> Result<Seen, Failure> {
    let entry = op.entry().await?;
    let sessions = op.sessions(entry.as_ref(), &want.stage.connection.addresses).await?;
    let session = sessions.into_iter().find(|session| session.nqn == want.stage.connection.nqn);
    let live = session.as_ref().is_some_and(|session| session.state == State::Live);
    let device = session.and_then(|session| session.device);
    let mounts = op.host.mounts().await.map_err(Failure::kernel("looking at the mounts"))?;
    let over = |device: &Device| {
        let top = mounts.top(&want.stage.staging.to_path());
        top.is_some_and(|mount| mount.is_filesystem_of(device.number, &device.node))
    };
    let mounted = want.stage.access == Access::Block || device.as_ref().is_some_and(over);
    let staged = entry.as_ref().is_some_and(|entry| entry.staged && entry.is_for(&want.stage));
    let key = want.target.to_path().to_string_lossy().into_owned();
    let recorded = entry.as_ref().and_then(|entry| entry.targets.get(&key)).cloned();
    let facts = Facts {
        staged: live && mounted && staged,
        target: target(op, &mounts, device.as_ref(), recorded.as_ref(), &want.target).await?,
        recorded: recorded.and_then(|recorded| {
            let now = journal::Target::of(device.as_ref()?, recorded.read_only);
            (now == recorded).then_some(recorded.read_only)
        }),
        others: others(&mounts, device.as_ref(), entry.as_ref(), want),
    };
    Ok(Seen { facts, device })
}

async fn target(
    op: &Operation,
    mounts: &Mounts,
    device: Option<&Device>,
    recorded: Option<&journal::Target>,
    path: &KubeletPath,
) -> Result<Target, Failure> {
    if let Some(mount) = mounts.top(&path.to_path()) {
        let is_volume = device.is_some_and(|device| mount.is_of(device.number, &device.node));
        let read_only = mount.read_only || mount.read_only_filesystem;
        let what = || format!("{} ({})", mount.source.display(), mount.kind);
        return Ok(if is_volume {
            Target::Volume { read_only }
        } else if recorded.is_some_and(|recorded| recorded.is(mount)) {
            Target::Stale
        } else {
            Target::Foreign(what())
        });
    }
    Ok(match op.host.look(path).await.map_err(Failure::kernel("looking at the target"))? {
        Entry::ParentMissing => Target::NoParent,
        Entry::Absent => Target::Absent,
        Entry::Folder => Target::Folder,
        Entry::File(0) => Target::EmptyFile,
        Entry::File(bytes) => Target::Other(format!("a file of {bytes} bytes")),
        Entry::BlockDevice(raw) => Target::Other(format!("a block device ({})", DevNo::from_raw(raw))),
        Entry::Other => Target::Other("a link or something else".to_owned()),
    })
}

fn others(
    mounts: &Mounts,
    device: Option<&Device>,
    entry: Option<&journal::Entry>,
    want: &Publish,
) -> Vec<String> {
    let own = [want.target.to_path(), want.stage.staging.to_path()];
    let mounted = device.into_iter().flat_map(|device| mounts.of_device(device.number, &device.node));
    let mut points: Vec<_> = mounted.map(|mount| mount.point.clone()).collect();
    points.extend(entry.into_iter().flat_map(|entry| entry.published(mounts)));
    points.retain(|point| !own.contains(point));
    points.sort();
    points.dedup();
    points.iter().map(|point| point.display().to_string()).collect()
}

async fn act(op: &Operation, want: &Publish, wanted: &Want, seen: &Seen, step: &Step) -> Result<(), Failure> {
    let (host, target) = (&op.host, &want.target);
    match step {
        Step::Record => {
            let key = target.to_path().to_string_lossy().into_owned();
            let device = seen.device.as_ref().ok_or(Failure::NoDevice)?;
            let published = journal::Target::of(device, wanted.read_only);
            op.amend(|entry| drop(entry.targets.insert(key, published))).await
        }
        Step::UnmountStale => {
            let stale = Happening::StaleMount(target.to_string());
            op.node.reporter.report(&op.handle, &want.stage.claim, stale);
            unmount(op, target).await
        }
        Step::MakeTarget if wanted.block => {
            host.make_file(target).await.map_err(Failure::kernel("making the target file"))
        }
        Step::MakeTarget => {
            host.make_folder(target).await.map_err(Failure::kernel("making the target folder"))
        }
        Step::Bind => {
            let source = match (&seen.device, wanted.block) {
                (Some(device), true) => BindSource::Device(device.clone()),
                (None, true) => return Err(Failure::NoDevice),
                (_, false) => BindSource::Folder(want.stage.staging.clone()),
            };
            host.bind(source, target).await.map_err(Failure::kernel("binding"))
        }
        Step::MakeReadOnly => {
            let keep = match &want.stage.access {
                Access::Filesystem(wish) => wish.mount.flags() & PER_MOUNT,
                Access::Block => MsFlags::empty(),
            };
            let made = host.make_read_only(target, keep).await;
            if made.is_err() {
                // A pod must not find a writable volume where it asked for a read-only one.
                unmount(op, target).await?;
            }
            made.map_err(Failure::kernel("making the target read-only"))
        }
        // The loop itself does these.
        Step::Stage | Step::Done | Step::Refuse(_) => Ok(()),
    }
}

/// Flags that belong to a mount and not to its filesystem (mount(2)).
const PER_MOUNT: MsFlags = MsFlags::MS_NODEV
    .union(MsFlags::MS_NOSUID)
    .union(MsFlags::MS_NOEXEC)
    .union(MsFlags::MS_NOATIME)
    .union(MsFlags::MS_NODIRATIME)
    .union(MsFlags::MS_RELATIME);

/// Makes sure that nothing is mounted at a target, and that it is gone.
pub(crate) async fn ensure_unpublished(op: &Operation, target: &KubeletPath) -> Result<(), Fault> {
    take_off(op, target).await.map_err(|failure| {
        // What was seen last decides; nothing of it is undone.
        fault::of(&failure, &op.handle.to_string(), &op.node.config.node_name, false)
    })
}

/// What is mounted at a target, when nothing shows that it is this volume: neither a session's device, nor what the
/// journal says was mounted, nor that the volume was published right there.
async fn foreign(op: &Operation, mounts: &Mounts, target: &KubeletPath) -> Result<Option<String>, Failure> {
    let path = target.to_path();
    let Some(mount) = mounts.top(&path) else { return Ok(None) };
    let entry = op.entry().await?;
    let sessions = op.sessions(entry.as_ref(), &[]).await?;
    let mut devices = sessions.iter().filter_map(|session| session.device.as_ref());
    let recorded = entry.as_ref().is_some_and(|entry| {
        let target = entry.targets.get(&path.to_string_lossy().into_owned());
        entry.has_mounted(mount) || target.is_some_and(|target| target.is(mount))
    });
    let ours = recorded || devices.any(|device| mount.is_of(device.number, &device.node));
    Ok((!ours).then(|| format!("{} ({})", mount.source.display(), mount.kind)))
}

async fn take_off(op: &Operation, target: &KubeletPath) -> Result<(), Failure> {
    let path = target.to_path();
    for _ in 0..MOST_MOUNTS {
        let mounts = op.host.mounts().await.map_err(Failure::kernel("looking at the mounts"))?;
        if mounts.top(&path).is_none() {
            let removed = op.host.remove(target).await;
            removed.map_err(Failure::kernel("removing the target"))?;
            let key = path.to_string_lossy().into_owned();
            let known = op.entry().await?.is_some_and(|entry| entry.targets.contains_key(&key));
            if !known {
                return Ok(());
            }
            return op
                .amend(|entry| {
                    entry.targets.remove(&key);
                })
                .await;
        }
        if let Some(what) = foreign(op, &mounts, target).await? {
            return Err(Failure::PublishRefused(Refusal::Taken(what)));
        }
        op.in_time("unmounting the target")?;
        unmount(op, target).await?;
    }
    let left = KernelError::NotUnderstood(format!("{target} is still mounted after {MOST_MOUNTS} unmounts"));
    Err(Failure::Kernel { doing: "unmounting", source: left })
}
