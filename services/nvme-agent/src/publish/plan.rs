//! What to do next about a publication. Pure.

/// What is wanted, as far as a decision depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    /// True for a block volume.
    pub(crate) block: bool,
    /// True when the pod may only read.
    pub(crate) read_only: bool,
    /// True when this node may write to the volume: a read-only bind does not keep anybody from writing to a device.
    pub(crate) writable: bool,
    /// True when no other target may exist.
    pub(crate) exclusive: bool,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// True when the volume is staged and its session is live.
    pub(crate) staged: bool,
    /// What is at the target path.
    pub(crate) target: Target,
    /// How the journal says that this device is published there: read-only or not.
    pub(crate) recorded: Option<bool>,
    /// Other targets of the volume on this node.
    pub(crate) others: Vec<String>,
}

/// What is at the target path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing, and no folder above it.
    NoParent,
    /// Nothing.
    Absent,
    /// A folder.
    Folder,
    /// An empty file.
    EmptyFile,
    /// Anything else: what.
    Other(String),
    /// The volume.
    Volume {
        /// True when it can only be read there.
        read_only: bool,
    },
    /// The volume, over a device it no longer has.
    Stale,
    /// Something else is mounted there.
    Foreign(String),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Stage it.
    Stage,
    /// Take off what shows a device the volume no longer has.
    UnmountStale,
    /// Write down what is about to be done.
    Record,
    /// Make the folder or the file.
    MakeTarget,
    /// Bind.
    Bind,
    /// Make the bind read-only.
    MakeReadOnly,
    /// Nothing is left to do.
    Done,
    /// It cannot be done.
    Refuse(Refusal),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is published elsewhere and may be published once.
    Exclusive(Vec<String>),
    /// Something else is mounted there.
    Taken(String),
    /// What lies there is not what an earlier call made.
    WrongKind(String),
    /// There is no folder to make it in.
    NoParent,
    /// A device that this node may write to cannot be shown read-only.
    WritableDevice,
    /// It is published there the other way.
    PublishedOtherwise {
        /// How.
        read_only: bool,
    },
}

/// The next step.
pub(crate) fn plan(want: &Want, facts: &Facts) -> Step {
    if let Some(refusal) = refuse(want, facts) {
        return Step::Refuse(refusal);
    }
    if !facts.staged {
        return Step::Stage;
    }
    // Before the journal forgets which device that was.
    if facts.target == Target::Stale {
        return Step::UnmountStale;
    }
    if facts.recorded.is_none() {
        return Step::Record;
    }
    match &facts.target {
        Target::Absent | Target::NoParent => Step::MakeTarget,
        Target::Folder | Target::EmptyFile | Target::Other(_) | Target::Stale | Target::Foreign(_) => {
            Step::Bind
        }
        // Of a read-only wish the bind may have been made and the remount not.
        Target::Volume { read_only: false } if want.read_only => Step::MakeReadOnly,
        Target::Volume { .. } => Step::Done,
    }
}

/// What stands in the way, before anything is made.
fn refuse(want: &Want, facts: &Facts) -> Option<Refusal> {
    if want.block && want.read_only && want.writable {
        return Some(Refusal::WritableDevice);
    }
    let published = matches!(facts.target, Target::Volume { .. });
    if want.exclusive && !facts.others.is_empty() && !published {
        return Some(Refusal::Exclusive(facts.others.clone()));
    }
    match (&facts.target, facts.recorded) {
        (Target::NoParent, _) => Some(Refusal::NoParent),
        (Target::Foreign(what), _) => Some(Refusal::Taken(what.clone())),
        (Target::Other(what), _) => Some(Refusal::WrongKind(what.clone())),
        (Target::Folder, _) if want.block => Some(Refusal::WrongKind("a folder".to_owned())),
        (Target::EmptyFile, _) if !want.block => Some(Refusal::WrongKind("a file".to_owned())),
        (Target::Volume { .. }, Some(recorded)) if recorded != want.read_only => {
            Some(Refusal::PublishedOtherwise { read_only: recorded })
        }
        // Read-only although nobody wished it: the volume is, or its filesystem has become so.
        (Target::Volume { read_only: true }, _) if !want.read_only => {
            Some(Refusal::PublishedOtherwise { read_only: true })
        }
        (Target::Volume { .. } | Target::Absent | Target::Folder | Target::EmptyFile | Target::Stale, _) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(Want, Facts)> {
        let flags = [false, true];
        let targets = [
            Target::NoParent,
            Target::Absent,
            Target::Folder,
            Target::EmptyFile,
            Target::Other("a link".to_owned()),
            Target::Volume { read_only: false },
            Target::Volume { read_only: true },
            Target::Stale,
            Target::Foreign("tmpfs".to_owned()),
        ];
        let mut all = Vec::new();
        for (block, read_only, exclusive) in
            flags.iter().flat_map(|b| flags.iter().flat_map(|r| flags.map(|e| (*b, *r, e))))
        {
            for target in &targets {
                for recorded in [None, Some(false), Some(true)] {
                    for (staged, others) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
                        let others = vec!["/k/other".to_owned(); others];
                        let facts = Facts { staged, target: target.clone(), recorded, others };
                        for writable in flags {
                            all.push((Want { block, read_only, writable, exclusive }, facts.clone()));
                        }
                    }
                }
            }
        }
        all
    }

    #[test]
    fn every_combination_leads_to_done_or_to_a_refusal() {
        for (want, first) in all() {
            let mut facts = first.clone();
            let mut steps = 0;
            loop {
                steps += 1;
                assert!(steps < 10, "{want:?} {first:?}");
                match plan(&want, &facts) {
                    Step::Done | Step::Refuse(_) => break,
                    Step::Stage => facts.staged = true,
                    Step::UnmountStale if want.block => facts.target = Target::EmptyFile,
                    Step::UnmountStale => facts.target = Target::Folder,
                    Step::Record => facts.recorded = Some(want.read_only),
                    Step::MakeTarget if want.block => facts.target = Target::EmptyFile,
                    Step::MakeTarget => facts.target = Target::Folder,
                    Step::Bind => facts.target = Target::Volume { read_only: false },
                    Step::MakeReadOnly => facts.target = Target::Volume { read_only: true },
                }
            }
        }
    }

    #[test]
    fn nothing_is_bound_on_top_of_anything() {
        for (want, facts) in all().into_iter().filter(|(want, facts)| plan(want, facts) == Step::Bind) {
            let expected = if want.block { Target::EmptyFile } else { Target::Folder };
            assert_eq!(facts.target, expected, "no stacking on a repeat");
        }
    }

    #[test]
    fn a_device_that_can_be_written_to_is_never_called_read_only() {
        for (want, facts) in
            all().into_iter().filter(|(want, _)| want.block && want.read_only && want.writable)
        {
            assert_eq!(plan(&want, &facts), Step::Refuse(Refusal::WritableDevice), "{facts:?}");
        }
    }

    #[test]
    fn a_volume_for_one_user_is_refused_before_anything_is_made() {
        let second = |(want, facts): &(Want, Facts)| {
            want.exclusive && !facts.others.is_empty() && !matches!(facts.target, Target::Volume { .. })
        };
        for (want, facts) in all().into_iter().filter(second) {
            let refused =
                matches!(plan(&want, &facts), Step::Refuse(Refusal::Exclusive(_) | Refusal::WritableDevice));
            assert!(refused, "{facts:?}");
        }
    }

    #[test]
    fn a_pod_that_may_only_read_is_never_told_done_while_it_could_write() {
        for (want, facts) in all().into_iter().filter(|(want, facts)| plan(want, facts) == Step::Done) {
            assert_eq!(facts.target, Target::Volume { read_only: want.read_only });
        }
    }
}
