//! What to do next about the opposite of a stage. Pure.

use proto::nqn::Epoch;

use crate::facts::BackendFacts;
use crate::kernel::{Session, State};

/// More steps than the longest way has.
pub(crate) const MOST_STEPS: usize = 20;

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
    /// Wait for the kernel's answer to a connect that an earlier call asked for and gave up on.
    AwaitAsked,
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

/// How a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// I/O works.
    Live,
    /// It does not.
    NotLive,
    /// Asked for and not answered: there is nothing to end yet.
    Asked,
}

impl Life {
    /// Of a session.
    pub(crate) fn of(session: &Session) -> Self {
        match session.state {
            State::Live => Self::Live,
            State::Asked => Self::Asked,
            State::NotLive(_) => Self::NotLive,
        }
    }
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Where else the volume is mounted.
    pub(crate) published: Vec<String>,
    /// What is mounted at the staging path.
    pub(crate) mounted: Mounted,
    /// The session: its epoch, and how it is.
    pub(crate) session: Option<(Epoch, Life)>,
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
        Some((_, Life::Asked)) => Step::AwaitAsked,
        Some((epoch, Life::NotLive)) => match &facts.backend {
            None => Step::AskBackend,
            Some(backend) if backend.fences(epoch) => Step::Cut,
            Some(_) => Step::RefuseUndecided,
        },
        Some((_, Life::Live)) | None if !facts.published.is_empty() => {
            Step::RefusePublished(facts.published.clone())
        }
        Some((_, Life::Live)) | None if facts.mounted == Mounted::Volume => Step::Unmount,
        Some((_, Life::Live)) => Step::Disconnect,
        None if facts.recorded => Step::Forget,
        None => Step::Done,
    }
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
                for session in [
                    None,
                    Some((epoch(3), Life::Live)),
                    Some((epoch(3), Life::NotLive)),
                    Some((epoch(3), Life::Asked)),
                ] {
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
            let not_live = matches!(facts.session, Some((_, Life::NotLive)));
            let fenced = facts.backend.as_ref().is_some_and(|b| b.epoch.number() > 3 || !b.attached);
            let step = plan(&facts);
            assert_eq!(step == Step::Cut, not_live && fenced, "{facts:?}");
            if not_live && !fenced {
                assert!(matches!(step, Step::AskBackend | Step::RefuseUndecided), "{facts:?}: {step:?}");
            }
        }
    }

    #[test]
    fn a_session_that_is_still_being_made_is_waited_for_before_anything_else() {
        for facts in all().into_iter().filter(|facts| matches!(facts.session, Some((_, Life::Asked)))) {
            let foreign = matches!(facts.mounted, Mounted::Foreign(_));
            assert_eq!(plan(&facts) == Step::AwaitAsked, !foreign, "{facts:?}");
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
                    Step::AwaitAsked => facts.session = facts.session.map(|(epoch, _)| (epoch, Life::Live)),
                    Step::Cut | Step::Disconnect => facts.session = None,
                    Step::Unmount => facts.mounted = Mounted::Nothing,
                    Step::Forget => facts.recorded = false,
                }
            }
        }
    }
}
