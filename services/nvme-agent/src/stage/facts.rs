//! What is observed about a volume before each step. Nothing here changes anything.

use proto::nqn::Epoch;

use super::plan::{self, Older, Staging};
use crate::facts::BackendFacts;
use crate::failure::Failure;
use crate::filesystem::Kind;
use crate::journal::{Entry, Recall};
use crate::kernel::{Device, Session, State, volume_of};
use crate::mounts::{DevNo, Mounts};
use crate::node::Operation;
use crate::request::{Access, Stage};

/// What this call has learned on its way, and must not be taken from an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// What is on the device.
    pub(crate) content: Option<plan::Content>,
    /// The backend's own answer.
    pub(crate) backend: Option<BackendFacts>,
    /// True once the filesystem was checked.
    pub(crate) checked: bool,
    /// True once a filesystem was made.
    pub(crate) formatted: bool,
}

/// What was seen: the facts to decide on, and the things to act on.
pub(crate) struct Seen {
    pub(crate) facts: plan::Facts,
    /// The session of the wanted epoch.
    pub(crate) session: Option<Session>,
    /// A session of another epoch.
    pub(crate) older: Option<Session>,
    /// The journal's entry.
    pub(crate) entry: Option<Entry>,
}

impl Seen {
    /// The device of the session.
    pub(crate) fn device(&self) -> Option<&Device> {
        self.session.as_ref().and_then(|session| session.device.as_ref())
    }
}

/// Looks at everything a stage depends on.
pub(crate) async fn observe(op: &Operation, want: &Stage, learned: &Learned) -> Result<Seen, Failure> {
    let (recall, torn_beside) = op.recall().await?;
    let sessions = op.sessions().await.map_err(Failure::kernel("looking at the sessions"))?;
    let (mut session, mut older) = (None, None);
    for one in sessions {
        if one.nqn == want.connection.nqn { session = Some(one) } else { older = Some(one) }
    }
    let mounts = op.host.mounts().await.map_err(Failure::kernel("looking at the mounts"))?;
    let entry = match &recall {
        Recall::Entry(entry) => Some((**entry).clone()),
        Recall::Nothing | Recall::Torn => None,
    };
    let older_fact = older.as_ref().and_then(|session| {
        let (_, epoch) = volume_of(&op.node.config.nqn_prefixes, &session.nqn)?;
        Some(Older { epoch, live: session.state == State::Live })
    });
    let facts = plan::Facts {
        journal: match recall {
            Recall::Nothing => plan::Journal::Nothing,
            Recall::Torn => plan::Journal::Torn,
            Recall::Entry(entry) => plan::Journal::Entry(entry_fact(&entry, want, torn_beside)),
        },
        session: session_fact(op, session.as_ref()).await?,
        older: older_fact,
        staging: staging_fact(&mounts, want, session.as_ref(), older.as_ref(), entry.as_ref()),
        content: learned.content.clone(),
        backend: learned.backend.clone(),
        checked: learned.checked,
        may_grow: may_grow(op, want).await?,
    };
    Ok(Seen { facts, session, older, entry })
}

async fn may_grow(op: &Operation, want: &Stage) -> Result<bool, Failure> {
    match &want.access {
        Access::Filesystem(wish) if wish.kind == Kind::Ext4 => {
            op.host.may_grow_ext4_mounted().await.map_err(Failure::kernel("looking at capabilities"))
        }
        Access::Filesystem(_) | Access::Block => Ok(true),
    }
}

fn entry_fact(entry: &Entry, want: &Stage, torn_beside: bool) -> plan::Entry {
    plan::Entry {
        // An entry is only ever written with an epoch that is one; a larger one would be newer than any.
        epoch: Epoch::new(entry.epoch).unwrap_or_default(),
        attached_size: proto::size::ByteSize::from_bytes(entry.size_bytes),
        same_use: entry.is_for(want),
        format: entry.format,
        staged: entry.staged,
        ever_staged: entry.ever_staged,
        filled: entry.filled.map(|filled| proto::size::ByteSize::from_bytes(filled.device)),
        torn_beside,
    }
}

async fn session_fact(op: &Operation, session: Option<&Session>) -> Result<plan::Session, Failure> {
    let Some(session) = session else { return Ok(plan::Session::Absent) };
    if session.state != State::Live {
        return Ok(plan::Session::NotLive(session.state.clone()));
    }
    let Some(device) = &session.device else { return Ok(plan::Session::WithoutDevice) };
    // Opening is only safe on a live path.
    let (opened_is_named, write_protected) =
        op.host.identify(device).await.map_err(Failure::kernel("opening the device"))?;
    Ok(plan::Session::Live(plan::Device {
        size: device.size,
        nsid: device.nsid,
        opened_is_named,
        write_protected,
    }))
}

fn staging_fact(
    mounts: &Mounts,
    want: &Stage,
    session: Option<&Session>,
    older: Option<&Session>,
    entry: Option<&Entry>,
) -> Staging {
    let Some(mount) = mounts.top(&want.staging.to_path()) else { return Staging::Clear };
    let here = Staging::Volume { read_only: mount.read_only || mount.read_only_filesystem };
    let is_over = |session: &Session| {
        session.device.as_ref().is_some_and(|device| mount.is_filesystem_of(device.number, &device.node))
    };
    let recorded = entry.and_then(|entry| entry.device.as_deref()?.parse::<DevNo>().ok());
    match session {
        Some(session) if is_over(session) => here,
        // Its device is not known at the moment: what we mounted there is still the volume.
        Some(Session { device: None, .. }) if recorded == Some(mount.device) => here,
        Some(_) | None if older.is_some_and(is_over) || recorded == Some(mount.device) => Staging::Stale,
        Some(_) | None => Staging::Foreign(format!("{} ({})", mount.source.display(), mount.kind)),
    }
}
