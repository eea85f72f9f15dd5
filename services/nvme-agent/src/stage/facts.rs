//! What is observed about a volume before each step. Nothing here changes anything.

use proto::nqn::Epoch;

use super::plan::{self, Other, Staging};
use crate::facts::BackendFacts;
use crate::failure::Failure;
use crate::filesystem::Kind;
use crate::journal::{Entry, Recall};
use crate::kernel::{Device, Session, State, volume_of};
use crate::mounts::Mounts;
use crate::node::Operation;
use crate::request::{Access, Stage};

/// What this call has learned on its way, and must not be taken from an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// The device all of it was learned of.
    pub(crate) device: Option<Device>,
    /// What is on the device.
    pub(crate) content: Option<plan::Content>,
    /// The backend's own answer.
    pub(crate) backend: Option<BackendFacts>,
    /// Whether it was proven to be whole.
    pub(crate) whole: Option<Result<(), String>>,
    /// True once the filesystem was checked.
    pub(crate) checked: bool,
    /// True once a filesystem was made.
    pub(crate) formatted: bool,
    /// True once a step was begun that may change something.
    pub(crate) began: bool,
}

impl Learned {
    /// Forgets what was learned of a device when the session is not live any more, or has another device: what is there
    /// now was never looked at.
    fn hold_on_to(&mut self, session: Option<&Session>) {
        let now = session.filter(|session| session.state == State::Live).and_then(|s| s.device.clone());
        // A device that grows is the same one.
        let same = match (&self.device, &now) {
            (Some(then), Some(now)) => {
                (then.number, then.nsid, &then.node) == (now.number, now.nsid, &now.node)
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            (self.content, self.whole, self.checked) = (None, None, false);
        }
        self.device = now;
    }
}

/// What was seen: the facts to decide on, and the things to act on.
pub(crate) struct Seen {
    pub(crate) facts: plan::Facts,
    /// The session of the wanted epoch.
    pub(crate) session: Option<Session>,
    /// A session of another epoch: the newest one.
    pub(crate) other: Option<Session>,
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
pub(crate) async fn observe(op: &Operation, want: &Stage, learned: &mut Learned) -> Result<Seen, Failure> {
    let (recall, torn_beside) = op.recall().await?;
    let entry = match &recall {
        Recall::Entry(entry) => Some((**entry).clone()),
        Recall::Nothing | Recall::Torn => None,
    };
    let sessions = op.sessions(entry.as_ref(), &want.connection.addresses).await?;
    let (wanted, others): (Vec<_>, Vec<_>) =
        sessions.into_iter().partition(|one| one.nqn == want.connection.nqn);
    let session = wanted.into_iter().next();
    let epoch_of = |one: &Session| Some(volume_of(&op.node.config.nqn_prefixes, &one.nqn)?.1);
    // The newest first: one that is newer than the wanted one decides everything.
    let other = others.into_iter().max_by_key(epoch_of);
    learned.hold_on_to(session.as_ref());
    let mounts = op.host.mounts().await.map_err(Failure::kernel("looking at the mounts"))?;
    let other_fact = other
        .as_ref()
        .and_then(|session| Some(Other { epoch: epoch_of(session)?, live: session.state == State::Live }));
    let namesake = match &session {
        Some(_) => None,
        None => op.namesake(entry.as_ref(), &want.connection).await?,
    };
    let facts = plan::Facts {
        journal: match recall {
            Recall::Nothing => plan::Journal::Nothing,
            Recall::Torn => plan::Journal::Torn,
            Recall::Entry(entry) => plan::Journal::Entry(entry_fact(&entry, want, torn_beside)),
        },
        session: match namesake {
            Some(leads_to) => plan::Session::Elsewhere(leads_to),
            None => session_fact(op, session.as_ref()).await?,
        },
        other: other_fact,
        staging: staging_fact(&mounts, want, session.as_ref(), other.as_ref(), entry.as_ref()),
        content: learned.content.clone(),
        backend: learned.backend.clone(),
        whole: learned.whole.clone(),
        checked: learned.checked,
        may_grow: may_grow(op, want).await?,
    };
    Ok(Seen { facts, session, other, entry })
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
    other: Option<&Session>,
    entry: Option<&Entry>,
) -> Staging {
    let Some(mount) = mounts.top(&want.staging.to_path()) else { return Staging::Clear };
    let here = Staging::Volume { read_only: mount.read_only || mount.read_only_filesystem };
    let is_over = |session: &Session| {
        session.device.as_ref().is_some_and(|device| mount.is_filesystem_of(device.number, &device.node))
    };
    let recorded = entry.is_some_and(|entry| entry.has_mounted(mount));
    match session {
        Some(session) if is_over(session) => here,
        // Its device is not known at the moment: what we mounted there is still the volume.
        Some(Session { device: None, .. }) if recorded => here,
        Some(_) | None if other.is_some_and(is_over) || recorded => Staging::Stale,
        Some(_) | None => Staging::Foreign(format!("{} ({})", mount.source.display(), mount.kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::size::ByteSize;

    fn session(state: State, number: u64, size: ByteSize) -> Session {
        let device =
            Device { node: "/dev/x".into(), number: crate::mounts::DevNo::from_raw(number), size, nsid: 1 };
        let nqn = "nqn.2026-09.io.srvlab:rds:csi-0123456789abcdef0123456789ab.e1".parse().expect("an NQN");
        Session { nqn, state, device: Some(device), paths: Vec::new() }
    }

    #[test]
    fn what_was_read_counts_for_the_device_it_was_read_from_and_while_the_path_lives() {
        let read = || {
            let mut learned = Learned::default();
            learned.hold_on_to(Some(&session(State::Live, 7, ByteSize::GIB)));
            learned.content = Some(plan::Content::Blank);
            learned.checked = true;
            learned
        };
        let kept = |session: Option<Session>| {
            let mut learned = read();
            learned.hold_on_to(session.as_ref());
            assert_eq!(learned.content.is_some(), learned.checked);
            learned.checked
        };
        assert!(kept(Some(session(State::Live, 7, ByteSize::GIB))));
        assert!(kept(Some(session(State::Live, 7, ByteSize::from_bytes(2 << 30)))), "it has grown");
        assert!(!kept(Some(session(State::Live, 8, ByteSize::GIB))), "another device");
        assert!(
            !kept(Some(session(State::NotLive("connecting".to_owned()), 7, ByteSize::GIB))),
            "the path was lost"
        );
        assert!(!kept(None), "the session has ended");
    }
}
