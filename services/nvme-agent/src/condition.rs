//! How a volume is on this node, from what the journal, the kernel's sessions and its mounts say. Pure.

use std::path::Path;

use crate::journal::{Entry, Recorded};
use crate::kernel::{Session, State};
use crate::mounts::{Mount, Mounts};

/// How a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// All is well.
    Healthy,
    /// A stage was begun and has not come to its end.
    Unfinished,
    /// Its session is not live: the state, in the kernel's words. I/O waits.
    PathLost(String),
    /// What is mounted stands on a device that is gone: where.
    StaleMount(String),
    /// The kernel turned the filesystem read-only.
    ReadOnly,
    /// The filesystem answers nothing but errors.
    ShutDown,
    /// Nothing of it is mounted, or connected, as after a reboot.
    NotMounted,
    /// Operations of it hang in the kernel: which.
    Stuck(String),
}

impl Condition {
    /// Every word for one.
    pub(crate) const LABELS: [&'static str; 8] = [
        "healthy",
        "unfinished",
        "path_lost",
        "stale_mount",
        "read_only",
        "shut_down",
        "not_mounted",
        "stuck",
    ];

    /// A word for it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unfinished => "unfinished",
            Self::PathLost(_) => "path_lost",
            Self::StaleMount(_) => "stale_mount",
            Self::ReadOnly => "read_only",
            Self::ShutDown => "shut_down",
            Self::NotMounted => "not_mounted",
            Self::Stuck(_) => "stuck",
        }
    }

    /// True when somebody should look.
    pub(crate) fn is_abnormal(&self) -> bool {
        !matches!(self, Self::Healthy | Self::Unfinished | Self::NotMounted)
    }

    /// Why, and what to do.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Healthy => String::new(),
            Self::Unfinished => "a stage was begun and is carried on by the next call".to_owned(),
            Self::PathLost(state) => {
                format!("the session is {state}: I/O waits until it is back; check the appliance and the network")
            }
            Self::StaleMount(at) => {
                format!("the mount at {at} stands on a device that is gone: end what uses it, it is replaced then")
            }
            Self::ReadOnly => {
                "the kernel turned the filesystem read-only after an error: see its log on the node, then check the filesystem".to_owned()
            }
            Self::ShutDown => {
                "the filesystem was shut down after an error: see the kernel's log on the node; it is whole again once it was unstaged and staged".to_owned()
            }
            Self::NotMounted => "nothing is mounted at its staging path; kubelet stages or publishes it again".to_owned(),
            Self::Stuck(what) => format!("{what} hangs in the kernel; is the path to the volume alive?"),
        }
    }
}

/// How a volume is, as far as tables tell. `session` is the one of the entry's name.
pub(crate) fn assess(entry: &Entry, session: Option<&Session>, mounts: &Mounts) -> Condition {
    if !entry.staged {
        return Condition::Unfinished;
    }
    if let Some(session) = session
        && session.state != State::Live
    {
        return Condition::PathLost(session.state.to_string());
    }
    let is_current = |mount: &Mount| {
        let device = session.and_then(|session| session.device.as_ref());
        device.is_some_and(|device| mount.is_of(device.number, &device.node))
    };
    let stale_target = entry.published(mounts).find(|at| !mounts.top(at).is_some_and(is_current));
    let staged = match &entry.access {
        Recorded::Block => None,
        Recorded::Filesystem { .. } => mounts
            .top(Path::new(&entry.staging_path))
            .filter(|mount| is_current(mount) || entry.has_mounted(mount)),
    };
    match (staged, stale_target, session, &entry.access) {
        (Some(mount), _, _, _) if !is_current(mount) => Condition::StaleMount(entry.staging_path.clone()),
        (_, Some(at), _, _) => Condition::StaleMount(at.display().to_string()),
        (None, None, None, _) | (None, None, Some(_), Recorded::Filesystem { .. }) => Condition::NotMounted,
        (Some(mount), None, _, _) if mount.read_only_filesystem && !entry.wants_read_only() => {
            Condition::ReadOnly
        }
        (Some(_), None, _, _) | (None, None, Some(_), Recorded::Block) => Condition::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::Kind;
    use crate::journal::{Target, tests::want};
    use crate::kernel::Device;
    use proto::size::ByteSize;

    fn device(minor: u64) -> Device {
        let node = format!("/dev/nvme{minor}n1").into();
        let number = crate::mounts::DevNo { major: 259, minor };
        Device { node, number, size: ByteSize::GIB, nsid: 1 }
    }

    fn session(minor: u64, state: State) -> Session {
        let nqn = crate::request::tests::connection(3).nqn;
        Session { nqn, state, device: Some(device(minor)), paths: Vec::new() }
    }

    fn entry(kind: Option<Kind>) -> Entry {
        let mut entry = Entry::begin(&want(3, kind), None);
        entry.staging_path = "/k/staging".to_owned();
        (entry.staged, entry.device, entry.node) =
            (true, Some("259:1".to_owned()), Some("/dev/nvme1n1".into()));
        entry
    }

    fn mounts(lines: &[&str]) -> Mounts {
        Mounts::parse(lines.join("\n").as_bytes()).expect("a table")
    }

    const STAGED: &str = "40 1 259:1 / /k/staging rw - xfs /dev/nvme1n1 rw";
    const TURNED: &str = "40 1 259:1 / /k/staging rw - xfs /dev/nvme1n1 ro";
    const FOREIGN: &str = "40 1 0:9 / /k/staging rw - tmpfs tmpfs rw";

    #[test]
    fn a_filesystem_is_healthy_only_over_the_device_of_its_live_session() {
        let entry = entry(Some(Kind::Xfs));
        let of = |session: Option<Session>, lines: &[&str]| assess(&entry, session.as_ref(), &mounts(lines));
        assert_eq!(of(Some(session(1, State::Live)), &[STAGED]), Condition::Healthy);
        let lost = State::NotLive("connecting".to_owned());
        assert_eq!(of(Some(session(1, lost)), &[STAGED]), Condition::PathLost("connecting".to_owned()));
        let stale = Condition::StaleMount("/k/staging".to_owned());
        assert_eq!(of(None, &[STAGED]), stale, "gone");
        assert_eq!(of(Some(session(2, State::Live)), &[STAGED]), stale, "back under another number");
        assert_eq!(of(Some(session(1, State::Live)), &[TURNED]), Condition::ReadOnly);
        assert_eq!(of(Some(session(1, State::Live)), &[]), Condition::NotMounted);
        assert_eq!(of(Some(session(1, State::Live)), &[FOREIGN]), Condition::NotMounted);
        assert_eq!(of(None, &[]), Condition::NotMounted, "after a reboot");
        let mut unfinished = entry.clone();
        unfinished.staged = false;
        assert_eq!(assess(&unfinished, None, &mounts(&[STAGED])), Condition::Unfinished);
    }

    #[test]
    fn a_pod_that_sees_a_device_that_is_gone_makes_the_volume_stale() {
        let mut entry = entry(None);
        entry.targets.insert("/k/pod".to_owned(), Target::of(&device(1), false));
        let bound = mounts(&["42 1 0:6 /nvme1n1 /k/pod rw - devtmpfs devtmpfs rw"]);
        assert_eq!(assess(&entry, Some(&session(1, State::Live)), &bound), Condition::Healthy);
        let stale = Condition::StaleMount("/k/pod".to_owned());
        assert_eq!(assess(&entry, Some(&session(2, State::Live)), &bound), stale);
        assert_eq!(assess(&entry, None, &bound), stale);
        assert_eq!(assess(&entry, None, &mounts(&[])), Condition::NotMounted);
    }

    #[test]
    fn every_condition_has_a_word_of_the_list_and_an_abnormal_one_says_why() {
        let text = String::new;
        let all = [
            Condition::Healthy,
            Condition::Unfinished,
            Condition::PathLost(text()),
            Condition::StaleMount(text()),
            Condition::ReadOnly,
            Condition::ShutDown,
            Condition::NotMounted,
            Condition::Stuck(text()),
        ];
        assert_eq!(all.each_ref().map(Condition::label), Condition::LABELS);
        assert!(all.iter().all(|condition| !condition.is_abnormal() || !condition.message().is_empty()));
    }
}
