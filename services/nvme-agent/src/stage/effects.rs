//! The steps of a stage, each done once. Whether it worked is decided by the next look, not by what a call returned.

use nix::mount::MsFlags;
use tracing::Instrument as _;

use super::facts::{Learned, Seen};
use super::plan::{Content, Refusal, is_smaller};
use super::session::{hold, prove_idle, still_has};
use crate::events::Happening;
use crate::failure::Failure;
use crate::filesystem;
use crate::journal::{Entry, Filled, Format};
use crate::kernel::device::Held;
use crate::kernel::host::Host;
use crate::kernel::{ConnectError, Device, KernelError, Session};
use crate::node::Operation;
use crate::paths::KubeletPath;
use crate::request::{Access, FilesystemWish, Stage};

/// The device to act on; a step that needs one is planned only when there is one.
fn device(seen: &Seen) -> Result<Device, Failure> {
    seen.device().cloned().ok_or(Failure::NoDevice)
}

fn session(seen: &Seen) -> Result<&Session, Failure> {
    seen.session.as_ref().ok_or(Failure::NoSession)
}

fn wish(want: &Stage) -> Result<&FilesystemWish, Failure> {
    match &want.access {
        Access::Filesystem(wish) => Ok(wish),
        Access::Block => Err(Failure::NoProgress("a filesystem step for a block volume".to_owned())),
    }
}

/// Writes down what is about to be done.
pub(crate) async fn record(op: &Operation, want: &Stage, seen: &Seen) -> Result<(), Failure> {
    op.record(Entry::begin(want, seen.entry.as_ref())).await
}

/// Connects to the first address that accepts.
pub(crate) async fn connect(op: &Operation, want: &Stage) -> Result<(), Failure> {
    let addresses = &want.connection.addresses;
    let to: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let span = tracing::info_span!("connect", volume.id = %op.handle, nqn = %want.connection.nqn, addresses = to.join(","));
    let connecting = op.node.kernel.connect(&want.connection, op.deadline);
    match connecting.instrument(span).await {
        Ok(()) | Err(ConnectError::AlreadyThere) => Ok(()),
        Err(error @ ConnectError::Failed { .. }) => Err(Failure::NoConnection(vec![error.to_string()])),
        Err(ConnectError::Kernel(source)) => Err(Failure::Kernel { doing: "connecting", source }),
    }
}

/// Reads what is on the device.
pub(crate) async fn probe(op: &Operation, seen: &Seen, learned: &mut Learned) -> Result<(), Failure> {
    let held = hold(op, session(seen)?).await?;
    let span = tracing::info_span!("probe", volume.id = %op.handle, device = %held.device().node.display());
    let content = op.host.probe(&held).instrument(span).await;
    op.host.release(held).await;
    learned.content = Some(content.map_err(Failure::kernel("looking at what is on the device"))?);
    Ok(())
}

/// Makes the kernel refuse writes to the device.
pub(crate) async fn protect(op: &Operation, seen: &Seen) -> Result<(), Failure> {
    op.host.protect(&device(seen)?).await.map_err(Failure::kernel("write-protecting the device"))
}

/// Looks whether a filesystem is whole: by what mkfs writes last of all, and by the check that changes nothing.
pub(crate) async fn verify(
    op: &Operation,
    want: &Stage,
    seen: &Seen,
    learned: &mut Learned,
) -> Result<(), Failure> {
    let kind = wish(want)?.kind;
    let held = hold(op, session(seen)?).await?;
    let span = tracing::info_span!("verify", volume.id = %op.handle, device = %held.device().node.display(), filesystem = %kind);
    let whole = is_whole(op, &held, kind).instrument(span).await;
    op.host.release(held).await;
    learned.whole = Some(whole.map_err(Failure::kernel("looking whether the filesystem is whole"))?);
    Ok(())
}

/// Else why not.
async fn is_whole(
    op: &Operation,
    held: &Held,
    kind: filesystem::Kind,
) -> Result<Result<(), String>, KernelError> {
    match op.host.read_ends(held).await? {
        Err(error) => return Ok(Err(format!("its start could not be read: {error}"))),
        Ok(ends) if !filesystem::is_finished(kind, &ends.start) => {
            return Ok(Err("mkfs had not ended".to_owned()));
        }
        Ok(_) => {}
    }
    match op.host.run_on(held, &filesystem::look_through(kind)).await {
        Ok(_) => Ok(Ok(())),
        Err(KernelError::Tool { said, .. }) => Ok(Err(said)),
        Err(error) => Err(error),
    }
}

/// Makes the filesystem, and writes down that it is whole.
pub(crate) async fn format(
    op: &Operation,
    want: &Stage,
    seen: &Seen,
    again: bool,
    learned: &mut Learned,
) -> Result<(), Failure> {
    let (session, wish) = (session(seen)?, wish(want)?);
    // Blank is also what a virtual machine has not written to yet.
    prove_idle(op, session.device.as_ref().ok_or(Failure::NoDevice)?).await?;
    let held = hold(op, session).await?;
    let span = tracing::info_span!("format", volume.id = %op.handle, device = %held.device().node.display(), filesystem = %wish.kind, again);
    let made = make(op, session, &held, wish, again).instrument(span).await;
    op.host.release(held).await;
    learned.content = None;
    made?;
    learned.formatted = true;
    op.amend(|entry| entry.format = Format::Made).await
}

/// The last look before it is too late: both ends once more through the descriptor that mkfs gets, and then the session.
async fn make(
    op: &Operation,
    session: &Session,
    held: &Held,
    wish: &FilesystemWish,
    again: bool,
) -> Result<(), Failure> {
    if !again {
        let ends =
            op.host.read_ends(held).await.map_err(Failure::kernel("looking at what is on the device"))?;
        if !ends.is_ok_and(|ends| ends.zero) {
            // What is there is not of this attempt, so no later call may take it for that.
            op.amend(|entry| entry.format = Format::None).await?;
            let why = "its ends were zero when they were first read, and are not any more";
            return Err(Failure::Refused(Refusal::Format(why.to_owned())));
        }
        still_has(op, session, true).await?;
    }
    let making = filesystem::make(wish.kind, &wish.mkfs, again);
    op.host.run_on(held, &making).await.map_err(Failure::kernel("formatting")).map(drop)
}

/// Has the backend record the filesystem; only then anybody may mount it.
pub(crate) async fn acknowledge(op: &Operation, want: &Stage) -> Result<(), Failure> {
    let epoch = want.connection.epoch;
    op.node.backend.mark_formatted(&op.handle, epoch, op.deadline).await.map_err(Failure::Backend)?;
    op.amend(|entry| entry.format = Format::Acknowledged).await?;
    op.node.reporter.report(&want.handle, &want.claim, Happening::Formatted(wish(want)?.kind));
    Ok(())
}

/// Checks the unmounted filesystem, and grows it if it is smaller than its device.
pub(crate) async fn check(
    op: &Operation,
    want: &Stage,
    seen: &Seen,
    grow: bool,
    learned: &mut Learned,
) -> Result<(), Failure> {
    let wish = wish(want)?;
    let held = hold(op, session(seen)?).await?;
    let span =
        tracing::info_span!("check", volume.id = %op.handle, device = %held.device().node.display(), grow);
    let done = async {
        if let Some(checking) = filesystem::check(wish.kind, grow) {
            op.host.run_on(&held, &checking).await.map_err(Failure::kernel("checking the filesystem"))?;
        }
        if grow {
            let growing = filesystem::grow_unmounted();
            op.host.run_on(&held, &growing).await.map_err(Failure::kernel("growing the filesystem"))?;
            // How large it is now is to be read, not believed.
            learned.content = None;
        }
        learned.checked = true;
        Ok(())
    }
    .instrument(span)
    .await;
    op.host.release(held).await;
    done
}

/// Mounts it at the staging path.
pub(crate) async fn mount(op: &Operation, want: &Stage, seen: &Seen) -> Result<(), Failure> {
    let wish = wish(want)?;
    let held = hold(op, session(seen)?).await?;
    let span = tracing::info_span!("mount", volume.id = %op.handle, device = %held.device().node.display(), filesystem = %wish.kind);
    let mounted = mount_held(op, want, seen, wish, held.device()).instrument(span).await;
    op.host.release(held).await;
    mounted
}

async fn mount_held(
    op: &Operation,
    want: &Stage,
    seen: &Seen,
    wish: &FilesystemWish,
    device: &Device,
) -> Result<(), Failure> {
    op.host.make_folder(&want.staging).await.map_err(Failure::kernel("making the staging folder"))?;
    // Before: a mount that the journal does not name is somebody else's.
    op.amend(|entry| {
        entry.device = Some(device.number.to_string());
        entry.node = Some(device.node.clone());
    })
    .await?;
    let copied = seen.facts.backend.as_ref().is_some_and(|backend| backend.content_source.is_some());
    let (flags, data) = mount_options(want, wish, copied || op.node.kernel.is_shared());
    let mounting = op.host.mount(device, &want.staging, wish.kind, flags, data);
    mounting.await.map_err(Failure::kernel("mounting"))?;
    let mounts = op.host.mounts().await.map_err(Failure::kernel("looking at the mounts"))?;
    let top = mounts.top(&want.staging.to_path());
    // mount(2) takes a name. The number is held, so another device can only have been mounted if the node was replaced.
    let Some(mounted) = top.filter(|top| top.is_filesystem_of(device.number, &device.node)) else {
        unmount(op, &want.staging).await?;
        return Err(Failure::Changed);
    };
    let number = mounted.device.to_string();
    // The superblock has told; of the others it is only known once they were grown.
    let filled = match seen.facts.content {
        Some(Content::Filesystem(_, Some(size))) if !is_smaller(size, device.size) => {
            Some(Filled { device: device.size.bytes(), filesystem: size_of(&*op.host, &want.staging).await? })
        }
        Some(Content::Filesystem(_, _) | Content::Blank | Content::NotProven(_)) | None => None,
    };
    op.amend(|entry| {
        entry.device = Some(number);
        entry.filled = filled;
    })
    .await
}

/// `copied`: another copy of it may be mounted on the same kernel.
fn mount_options(want: &Stage, wish: &FilesystemWish, copied: bool) -> (MsFlags, String) {
    let mut flags = wish.mount.flags();
    flags.set(MsFlags::MS_RDONLY, want.read_only());
    let mut data = wish.mount.data().to_vec();
    if want.connection.read_only {
        data.push(wish.kind.without_replay().to_owned());
    }
    // A clone or a restored snapshot has its source's UUID, and nodes that share one kernel hold the same volume: xfs
    // would else keep the second one out.
    if wish.kind == filesystem::Kind::Xfs && copied && !data.iter().any(|d| d == "nouuid") {
        data.push("nouuid".to_owned());
    }
    (flags, data.join(","))
}

/// A filesystem may use this share of what its device gained for itself; what is below is an error.
const LEAST_GAIN: (u64, u64) = (7, 10);
/// Growth below this is not measured: allocation groups and block groups have sizes of their own. In bytes.
const MEASURABLE: u64 = 64 << 20;

/// Grows the mounted filesystem to its device, and proves it with statfs.
pub(crate) async fn grow(
    op: &Operation,
    kind: filesystem::Kind,
    mounted_at: &KubeletPath,
    session: &Session,
) -> Result<(), Failure> {
    let held = hold(op, session).await?;
    let device = held.device().clone();
    let span = tracing::info_span!("grow", volume.id = %op.handle, device = %device.node.display(), size = %device.size);
    let grown = async {
        let filled = op.entry().await?.and_then(|entry| entry.filled);
        let growing = filesystem::grow_mounted(kind, &mounted_at.to_path());
        op.host.run_on(&held, &growing).await.map_err(Failure::kernel("growing the filesystem"))?;
        let now = size_of(&*op.host, mounted_at).await?;
        if let Some(filled) = filled {
            let gained = device.size.bytes().saturating_sub(filled.device);
            let least = filled.filesystem + gained / LEAST_GAIN.1 * LEAST_GAIN.0;
            if gained >= MEASURABLE && now < least {
                let why =
                    format!("{kind} was grown, but has {now} bytes where at least {least} were expected");
                return Err(Failure::NotGrown(why));
            }
        }
        let fills = Filled { device: device.size.bytes(), filesystem: now };
        op.amend(|entry| entry.filled = Some(fills)).await
    }
    .instrument(span)
    .await;
    op.host.release(held).await;
    grown
}

async fn size_of(host: &dyn Host, at: &KubeletPath) -> Result<u64, Failure> {
    let space = host.space(at).await.map_err(Failure::kernel("measuring the filesystem"))?;
    Ok(space.size().bytes())
}

/// The step of a stage that grows what is mounted there.
pub(crate) async fn grow_staged(op: &Operation, want: &Stage, seen: &Seen) -> Result<(), Failure> {
    grow(op, wish(want)?.kind, &want.staging, session(seen)?).await
}

/// Takes off the topmost mount at a path.
pub(crate) async fn unmount(op: &Operation, path: &KubeletPath) -> Result<(), Failure> {
    let span = tracing::info_span!("unmount", volume.id = %op.handle, path = %path);
    op.host.unmount(path).instrument(span).await.map_err(Failure::kernel("unmounting"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::Kind;

    #[test]
    fn a_copy_of_an_xfs_is_mounted_beside_its_source_and_nothing_else_is_told_so() {
        let of = |kind, copied| {
            let want = crate::journal::tests::want(3, Some(kind));
            let Access::Filesystem(wish) = &want.access else { panic!("a filesystem") };
            mount_options(&want, wish, copied).1
        };
        assert_eq!((of(Kind::Xfs, true).as_str(), of(Kind::Xfs, false).as_str()), ("nouuid", ""));
        assert_eq!((of(Kind::Ext4, true).as_str(), of(Kind::Btrfs, true).as_str()), ("", ""));
    }
}
