//! What to do next about a stage. Pure: the same facts give the same step, and every combination of facts has one.

mod step;

use proto::nqn::Epoch;
use proto::size::ByteSize;

use crate::facts::BackendFacts;
use crate::filesystem::Kind;
use crate::journal::Format;
use crate::kernel::State;

pub(crate) use self::step::{Refusal, Step};

/// RouterOS exports one namespace per subsystem, and the portal says so too.
pub(crate) const NAMESPACE: u32 = 1;

/// What is wanted, as far as a decision depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    /// `None` for a block volume.
    pub(crate) filesystem: Option<Kind>,
    /// True when nothing may be written.
    pub(crate) read_only: bool,
    /// True when the appliance's attachment itself is read-only.
    pub(crate) exported_read_only: bool,
    /// The epoch.
    pub(crate) epoch: Epoch,
    /// Size at the moment of attaching.
    pub(crate) attached_size: ByteSize,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// What the journal says.
    pub(crate) journal: Journal,
    /// The session of the wanted epoch.
    pub(crate) session: Session,
    /// The newest session of the same volume to another epoch.
    pub(crate) other: Option<Other>,
    /// What is mounted at the staging path.
    pub(crate) staging: Staging,
    /// What is on the device, if it was read during this call.
    pub(crate) content: Option<Content>,
    /// The backend's own answer, if it was asked during this call.
    pub(crate) backend: Option<BackendFacts>,
    /// Whether the filesystem was proven to be whole during this call; else why it is not.
    pub(crate) whole: Option<Result<(), String>>,
    /// True when the filesystem was checked during this call.
    pub(crate) checked: bool,
    /// True when this process may grow it while it is mounted.
    pub(crate) may_grow: bool,
}

/// What the journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Journal {
    /// Nothing, and nothing was set aside.
    Nothing,
    /// An entry was set aside: the past is not known.
    Torn,
    /// An entry.
    Entry(Entry),
}

/// What of an entry a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its epoch.
    pub(crate) epoch: Epoch,
    /// Size at attach that it was written with.
    pub(crate) attached_size: ByteSize,
    /// True when it stands for the same use at the same path.
    pub(crate) same_use: bool,
    /// How far a format has come.
    pub(crate) format: Format,
    /// True once staged in this epoch.
    pub(crate) staged: bool,
    /// True once staged on this node.
    pub(crate) ever_staged: bool,
    /// Size of the device that the filesystem is known to fill.
    pub(crate) filled: Option<ByteSize>,
    /// True when another entry of the volume was set aside.
    pub(crate) torn_beside: bool,
}

/// The session of the wanted epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Session {
    /// None.
    Absent,
    /// There is one of the same name, but it leads to other addresses: where to.
    Elsewhere(String),
    /// Not live.
    NotLive(State),
    /// Live, but there is no namespace yet.
    WithoutDevice,
    /// Live, with a device.
    Live(Device),
}

/// The device of a live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its size.
    pub(crate) size: ByteSize,
    /// Number of the namespace.
    pub(crate) nsid: u32,
    /// True when the opened node has the number sysfs says it has.
    pub(crate) opened_is_named: bool,
    /// True when the kernel refuses to write to it.
    pub(crate) write_protected: bool,
}

/// A session of the same volume to another epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Other {
    /// Its epoch.
    pub(crate) epoch: Epoch,
    /// True when I/O works.
    pub(crate) live: bool,
}

/// What is mounted at the staging path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Staging {
    /// Nothing.
    Clear,
    /// The volume, in this epoch.
    Volume {
        /// True when read-only.
        read_only: bool,
    },
    /// The volume, over a device it no longer has.
    Stale,
    /// Something else.
    Foreign(String),
}

/// What is on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// First and last 2 MiB were read completely and are zero, and no signature is known at any offset.
    Blank,
    /// A filesystem; its size where the superblock tells it to us.
    Filesystem(Kind, Option<ByteSize>),
    /// Something else, or what could not be read completely: why it is not proven blank.
    NotProven(String),
}

/// The next step.
pub(crate) fn plan(want: &Want, facts: &Facts) -> Step {
    if let Some(refusal) = refuse(want, facts) {
        return Step::Refuse(refusal);
    }
    if let Some(step) = clear_the_past(facts) {
        return step;
    }
    let entry = match &facts.journal {
        Journal::Entry(entry) if entry.epoch == want.epoch && entry.same_use => entry,
        Journal::Entry(_) | Journal::Nothing | Journal::Torn => return Step::Record,
    };
    match &facts.session {
        // The second is refused above.
        Session::Absent | Session::Elsewhere(_) => Step::Connect,
        Session::NotLive(_) => Step::AwaitLive,
        Session::WithoutDevice => Step::AwaitDevice,
        Session::Live(device) => match mismatch(want, entry, device) {
            Some(why) => Step::Refuse(Refusal::Identity(why)),
            None => plan_on_device(want, facts, entry, device),
        },
    }
}

/// What stands against it whatever else is so. A journal may be lost with its disk; the kernel's sessions show what was
/// newer all the same.
fn refuse(want: &Want, facts: &Facts) -> Option<Refusal> {
    let recorded = match &facts.journal {
        Journal::Entry(entry) => Some(entry),
        Journal::Nothing | Journal::Torn => None,
    };
    let epochs = recorded.map(|entry| entry.epoch).into_iter().chain(facts.other.map(|other| other.epoch));
    if let Some(newest) = epochs.max().filter(|newest| *newest > want.epoch) {
        return Some(Refusal::StaleEpoch { newest });
    }
    if recorded.is_some_and(|entry| entry.epoch == want.epoch && entry.staged && !entry.same_use) {
        return Some(Refusal::StagedOtherwise);
    }
    match &facts.session {
        Session::Elsewhere(leads_to) => Some(Refusal::Elsewhere(leads_to.clone())),
        Session::Absent | Session::NotLive(_) | Session::WithoutDevice | Session::Live(_) => None,
    }
}

/// What an earlier epoch, or a lost device, has left behind.
fn clear_the_past(facts: &Facts) -> Option<Step> {
    match (&facts.staging, &facts.other) {
        (Staging::Foreign(what), _) => Some(Step::Refuse(Refusal::StagingTaken(what.clone()))),
        // Its mount would hang in the kernel when it is taken off; only as a former owner's it may be cut first.
        (_, Some(other)) if !other.live => Some(match &facts.backend {
            None => Step::AskBackend,
            Some(backend) if backend.fences(other.epoch) => Step::CutOlder,
            Some(_) => Step::Refuse(Refusal::OlderUndecided { epoch: other.epoch }),
        }),
        (Staging::Stale, _) => Some(Step::UnmountStale),
        (Staging::Clear | Staging::Volume { .. }, Some(_)) => Some(Step::DropOlder),
        (Staging::Clear | Staging::Volume { .. }, None) => None,
    }
}

/// Rule 1: why the device is not proven to be the volume. That the name of the subsystem is the wanted one and the
/// session live is what [`Session::Live`] stands for.
fn mismatch(want: &Want, entry: &Entry, device: &Device) -> Option<String> {
    let least = want.attached_size.max(entry.attached_size);
    if device.nsid != NAMESPACE {
        return Some(format!("it is namespace {}, not {NAMESPACE}", device.nsid));
    }
    if !device.opened_is_named {
        return Some("the opened device node is not the device the kernel lists".to_owned());
    }
    (device.size < least).then(|| format!("it has {}, but {least} were attached", device.size))
}

fn plan_on_device(want: &Want, facts: &Facts, entry: &Entry, device: &Device) -> Step {
    if want.exported_read_only && !device.write_protected {
        return Step::Protect;
    }
    let Some(kind) = want.filesystem else {
        return if entry.staged { Step::Done } else { Step::RecordStaged };
    };
    match facts.staging {
        Staging::Volume { read_only } if read_only != want.read_only => {
            Step::Refuse(Refusal::MountedOtherwise { read_only })
        }
        Staging::Volume { .. } if !want.read_only && facts.may_grow && entry.filled != Some(device.size) => {
            Step::Grow
        }
        Staging::Volume { .. } if !entry.staged => Step::RecordStaged,
        Staging::Volume { .. } => Step::Done,
        Staging::Clear | Staging::Stale | Staging::Foreign(_) => {
            plan_unmounted(want, kind, facts, entry, device)
        }
    }
}

fn plan_unmounted(want: &Want, kind: Kind, facts: &Facts, entry: &Entry, device: &Device) -> Step {
    // The filesystem is ours and whole, but nobody may use it before the appliance knows.
    if entry.format == Format::Made {
        return Step::Acknowledge;
    }
    let Some(content) = &facts.content else { return Step::Probe };
    match (content, entry.format) {
        // Whatever lies there is of this very attempt: nothing was mounted before it was acknowledged.
        (_, Format::Attempt) => plan_format(want, facts, entry, device, *content != Content::Blank),
        (Content::Blank, Format::None | Format::Acknowledged | Format::Made) => {
            plan_format(want, facts, entry, device, false)
        }
        (Content::NotProven(why), _) => Step::Refuse(Refusal::Format(why.clone())),
        (Content::Filesystem(found, _), _) if *found != kind => {
            Step::Refuse(Refusal::OtherFilesystem(*found))
        }
        // Whoever made it, on this node or another, may not have been able to say so.
        (Content::Filesystem(_, _), Format::None | Format::Made) if facts.backend.is_none() => {
            Step::AskBackend
        }
        (Content::Filesystem(_, _), Format::None | Format::Made)
            if facts.backend.as_ref().is_some_and(|backend| !backend.formatted) =>
        {
            // A signature alone proves nothing: mkfs writes it before it has ended.
            match &facts.whole {
                None => Step::Verify,
                Some(Ok(())) => Step::Acknowledge,
                Some(Err(why)) => Step::Refuse(Refusal::Format(not_whole(kind, why))),
            }
        }
        (Content::Filesystem(Kind::Ext4, size), _) if !want.read_only => {
            if size.is_none_or(|size| is_smaller(size, device.size)) {
                Step::GrowUnmounted
            } else if facts.checked {
                Step::Mount
            } else {
                Step::Check
            }
        }
        (Content::Filesystem(_, _), _) => Step::Mount,
    }
}

fn not_whole(kind: Kind, why: &str) -> String {
    format!(
        "the appliance has no record of a filesystem, and the {kind} on it is not whole ({why}), perhaps the remains of a format that was cut short. If it holds nothing, wipe it; if it does, repair it, and record it as formatted on the appliance"
    )
}

/// A filesystem ends at a multiple of its block size.
pub(crate) fn is_smaller(filesystem: ByteSize, device: ByteSize) -> bool {
    const LARGEST_BLOCK: u64 = 65536;
    filesystem.bytes().saturating_add(LARGEST_BLOCK) <= device.bytes()
}

/// Rule 2: only with every proof.
fn plan_format(want: &Want, facts: &Facts, entry: &Entry, device: &Device, again: bool) -> Step {
    if let Some(missing) = missing_proof_here(want, facts, entry) {
        return Step::Refuse(Refusal::Format(missing.to_owned()));
    }
    let Some(backend) = &facts.backend else { return Step::AskBackend };
    if let Some(missing) = missing_proof_of_backend(want, device, backend) {
        return Step::Refuse(Refusal::Format(missing));
    }
    match entry.format {
        Format::Attempt => Step::Format { again },
        Format::None | Format::Made | Format::Acknowledged => Step::RecordAttempt,
    }
}

fn missing_proof_here(want: &Want, facts: &Facts, entry: &Entry) -> Option<&'static str> {
    if want.read_only {
        Some("it is blank and to be used read-only: write to it first, through an access mode that may write")
    } else if entry.torn_beside || facts.journal == Journal::Torn {
        Some(
            "an entry of this node's journal was damaged, so it is not known whether the volume was ever in use here",
        )
    } else if entry.staged || entry.ever_staged || entry.format == Format::Acknowledged {
        Some("this node's journal shows that it was in use before")
    } else {
        None
    }
}

fn missing_proof_of_backend(want: &Want, device: &Device, backend: &BackendFacts) -> Option<String> {
    if backend.formatted {
        Some("the appliance's record says that it holds a filesystem".to_owned())
    } else if let Some(source) = &backend.content_source {
        Some(format!("it was made from {source}"))
    } else if backend.epoch != want.epoch {
        Some(format!(
            "the appliance is at epoch {}, this attachment is of epoch {}",
            backend.epoch, want.epoch
        ))
    } else if !backend.attached {
        Some("the appliance does not have it attached to this node".to_owned())
    } else if backend.size != device.size {
        Some(format!("the device has {}, the appliance says {}", device.size, backend.size))
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
