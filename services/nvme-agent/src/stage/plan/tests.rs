//! The plan of a stage against every combination of facts, and against a small model of the world.

use super::*;

fn epoch(number: u64) -> Epoch {
    Epoch::new(number).expect("an epoch")
}

const SIZE: ByteSize = ByteSize::GIB;

fn want(filesystem: Option<Kind>, read_only: bool) -> Want {
    Want { filesystem, read_only, exported_read_only: read_only, epoch: epoch(3), attached_size: SIZE }
}

fn entry() -> Entry {
    Entry {
        epoch: epoch(3),
        attached_size: SIZE,
        same_use: true,
        format: Format::None,
        staged: false,
        ever_staged: false,
        filled: None,
        torn_beside: false,
    }
}

fn device() -> Device {
    Device { size: SIZE, nsid: NAMESPACE, opened_is_named: true, write_protected: false }
}

fn backend() -> BackendFacts {
    BackendFacts { size: SIZE, epoch: epoch(3), attached: true, formatted: false, content_source: None }
}

/// A blank volume right before it would be formatted.
fn provably_blank() -> Facts {
    Facts {
        journal: Journal::Entry(entry()),
        session: Session::Live(device()),
        other: None,
        staging: Staging::Clear,
        content: Some(Content::Blank),
        backend: Some(backend()),
        whole: None,
        checked: false,
        may_grow: true,
    }
}

fn journals() -> Vec<Journal> {
    let mut all = vec![Journal::Nothing, Journal::Torn];
    let formats = [Format::None, Format::Attempt, Format::Made, Format::Acknowledged];
    for (number, same_use) in [(2, true), (3, true), (3, false), (4, true)] {
        for format in formats {
            for (staged, ever_staged) in [(false, false), (false, true), (true, true)] {
                for (filled, torn_beside) in [(None, false), (None, true), (Some(SIZE), false)] {
                    let epoch = epoch(number);
                    let entry = Entry {
                        epoch,
                        same_use,
                        format,
                        staged,
                        ever_staged,
                        filled,
                        torn_beside,
                        ..entry()
                    };
                    all.push(Journal::Entry(entry));
                }
            }
        }
    }
    all
}

fn sessions() -> Vec<Session> {
    vec![
        Session::Absent,
        Session::Elsewhere("10.0.0.9:4420".to_owned()),
        Session::NotLive(State::NotLive("connecting".to_owned())),
        Session::WithoutDevice,
        Session::Live(device()),
        Session::Live(Device { write_protected: true, ..device() }),
        Session::Live(Device { size: ByteSize::MIB, ..device() }),
        Session::Live(Device { size: SIZE.checked_add(ByteSize::GIB).expect("fits"), ..device() }),
        Session::Live(Device { nsid: 2, ..device() }),
        Session::Live(Device { opened_is_named: false, ..device() }),
    ]
}

fn contents() -> Vec<Option<Content>> {
    let small = Content::Filesystem(Kind::Ext4, Some(ByteSize::MIB));
    vec![
        None,
        Some(Content::Blank),
        Some(Content::Filesystem(Kind::Ext4, Some(SIZE))),
        Some(small),
        Some(Content::Filesystem(Kind::Xfs, None)),
        Some(Content::NotProven("it holds a partition table".to_owned())),
    ]
}

fn backends() -> Vec<Option<BackendFacts>> {
    vec![
        None,
        Some(backend()),
        Some(BackendFacts { formatted: true, ..backend() }),
        Some(BackendFacts { content_source: Some("snp-1".to_owned()), ..backend() }),
        Some(BackendFacts { epoch: epoch(4), ..backend() }),
        Some(BackendFacts { attached: false, ..backend() }),
        Some(BackendFacts { size: ByteSize::MIB, ..backend() }),
    ]
}

fn stagings() -> Vec<Staging> {
    let volume = |read_only| Staging::Volume { read_only };
    vec![Staging::Clear, volume(false), volume(true), Staging::Stale, Staging::Foreign("tmpfs".to_owned())]
}

/// Every combination, handed to `check` one at a time.
fn every(mut check: impl FnMut(&Want, &Facts)) {
    let older = |live| Some(Other { epoch: epoch(2), live });
    let wants = [
        want(Some(Kind::Ext4), false),
        want(Some(Kind::Ext4), true),
        want(Some(Kind::Xfs), false),
        want(None, false),
    ];
    for journal in journals() {
        for session in sessions() {
            for content in contents() {
                for backend in backends() {
                    for staging in stagings() {
                        for (other, whole, checked, may_grow) in [
                            (None, None, false, true),
                            (None, Some(Err("torn".to_owned())), false, true),
                            (None, Some(Ok(())), true, false),
                            (older(true), None, false, true),
                            (older(false), None, false, true),
                            (Some(Other { epoch: epoch(4), live: true }), None, false, true),
                            (Some(Other { epoch: epoch(4), live: false }), None, false, true),
                        ] {
                            let facts = Facts {
                                journal: journal.clone(),
                                session: session.clone(),
                                other,
                                staging: staging.clone(),
                                content: content.clone(),
                                backend: backend.clone(),
                                whole: whole.clone(),
                                checked,
                                may_grow,
                            };
                            wants.iter().for_each(|want| check(want, &facts));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_is_formatted_without_every_proof() {
    every(|want, facts| {
        let step = plan(want, facts);
        if !matches!(step, Step::RecordAttempt | Step::Format { .. }) {
            return;
        }
        let (Journal::Entry(entry), Session::Live(device), Some(backend)) =
            (&facts.journal, &facts.session, &facts.backend)
        else {
            panic!("{step:?} with {facts:?}");
        };
        assert!(!want.read_only && want.filesystem.is_some());
        assert!(!backend.formatted && backend.content_source.is_none() && backend.attached);
        assert_eq!((backend.epoch, backend.size), (want.epoch, device.size));
        assert!(!entry.staged && !entry.ever_staged && !entry.torn_beside && entry.epoch == want.epoch);
        assert!(device.opened_is_named && device.nsid == NAMESPACE && device.size >= want.attached_size);
        assert_eq!(facts.staging, Staging::Clear);
        // What is not blank is only made anew as the remains of this very attempt.
        assert!(facts.content == Some(Content::Blank) || entry.format == Format::Attempt);
        assert_eq!(
            matches!(step, Step::Format { .. }),
            entry.format == Format::Attempt,
            "written down first"
        );
        if let Step::Format { again } = step {
            assert_eq!(again, facts.content != Some(Content::Blank));
        }
    });
}

#[test]
fn each_missing_proof_alone_forbids_the_format_and_is_named() {
    type Change = fn(&mut Want, &mut Facts);
    fn of(facts: &mut Facts) -> &mut Entry {
        match &mut facts.journal {
            Journal::Entry(entry) => entry,
            Journal::Nothing | Journal::Torn => panic!("there is one"),
        }
    }
    fn said(facts: &mut Facts) -> &mut BackendFacts {
        facts.backend.as_mut().expect("asked")
    }
    let (mut blank, facts) = (want(Some(Kind::Xfs), false), provably_blank());
    assert_eq!(plan(&blank, &facts), Step::RecordAttempt);
    let missing: [(&str, Change); 10] = [
        ("read-only", |want, _| want.read_only = true),
        ("holds a filesystem", |_, facts| said(facts).formatted = true),
        ("made from", |_, facts| said(facts).content_source = Some("snp-1".to_owned())),
        ("epoch", |_, facts| said(facts).epoch = epoch(4)),
        ("attached", |_, facts| said(facts).attached = false),
        ("the appliance says", |_, facts| said(facts).size = ByteSize::MIB),
        ("in use before", |_, facts| of(facts).ever_staged = true),
        ("in use before", |_, facts| of(facts).format = Format::Acknowledged),
        ("damaged", |_, facts| of(facts).torn_beside = true),
        ("partition table", |_, facts| {
            facts.content = Some(Content::NotProven("it holds a partition table".to_owned()));
        }),
    ];
    for (named, change) in missing {
        let mut facts = provably_blank();
        let mut want = blank;
        change(&mut want, &mut facts);
        let step = plan(&want, &facts);
        let Step::Refuse(Refusal::Format(why)) = &step else { panic!("{named}: {step:?}") };
        assert!(why.contains(named), "{named}: {why}");
    }
    let unasked = Facts { backend: None, ..provably_blank() };
    assert_eq!(plan(&blank, &unasked), Step::AskBackend);
    blank.filesystem = None;
    assert_eq!(plan(&blank, &provably_blank()), Step::RecordStaged, "a block volume is never formatted");
}

#[test]
fn a_device_that_is_not_proven_to_be_the_volume_is_not_touched() {
    let wrong = |device: &Device| device.nsid != NAMESPACE || !device.opened_is_named || device.size < SIZE;
    every(|want, facts| {
        if let Session::Live(device) = &facts.session
            && wrong(device)
        {
            let harmless = matches!(
                plan(want, facts),
                Step::Refuse(_)
                    | Step::Record
                    | Step::UnmountStale
                    | Step::AskBackend
                    | Step::CutOlder
                    | Step::DropOlder
            );
            assert!(harmless, "{:?} with {facts:?}", plan(want, facts));
        }
    });
}

#[test]
fn an_outdated_epoch_is_refused_whatever_else_is_so() {
    every(|want, facts| {
        if matches!(&facts.journal, Journal::Entry(entry) if entry.epoch > want.epoch) {
            assert_eq!(plan(want, facts), Step::Refuse(Refusal::StaleEpoch { newest: epoch(4) }));
        }
    });
}

#[test]
fn a_session_of_a_newer_epoch_is_refused_and_left_alone_whatever_the_journal_says() {
    every(|want, facts| {
        if facts.other.is_some_and(|other| other.epoch > want.epoch) {
            assert_eq!(
                plan(want, facts),
                Step::Refuse(Refusal::StaleEpoch { newest: epoch(4) }),
                "{facts:?}"
            );
        }
    });
}

#[test]
fn a_session_of_the_same_name_to_other_addresses_is_neither_used_nor_doubled() {
    every(|want, facts| {
        if matches!(facts.session, Session::Elsewhere(_)) {
            assert!(matches!(plan(want, facts), Step::Refuse(_)), "{facts:?}");
        }
    });
}

#[test]
fn nothing_is_mounted_before_the_backend_knows_of_a_filesystem_we_made() {
    every(|want, facts| {
        if plan(want, facts) == Step::Mount {
            let Journal::Entry(entry) = &facts.journal else { panic!("recorded first") };
            assert!(!matches!(entry.format, Format::Attempt | Format::Made), "{facts:?}");
        }
    });
}

#[test]
fn a_signature_alone_never_makes_the_appliance_record_a_filesystem() {
    every(|want, facts| {
        if plan(want, facts) == Step::Acknowledge {
            let Journal::Entry(entry) = &facts.journal else { panic!("recorded first") };
            assert!(entry.format == Format::Made || facts.whole == Some(Ok(())), "{facts:?}");
        }
    });
}

#[test]
fn a_session_is_cut_only_when_it_is_not_live_and_the_backend_says_that_it_is_fenced() {
    every(|want, facts| {
        if plan(want, facts) == Step::CutOlder {
            let (Some(older), Some(backend)) = (&facts.other, &facts.backend) else { panic!("{facts:?}") };
            assert!(!older.live && backend.fences(older.epoch));
        }
    });
}

/// The world after a step that worked.
fn done(want: &Want, facts: &mut Facts, step: &Step) {
    let change = |facts: &mut Facts, change: &dyn Fn(&mut Entry)| match &mut facts.journal {
        Journal::Entry(entry) => change(entry),
        Journal::Nothing | Journal::Torn => panic!("{step:?} without an entry"),
    };
    match step {
        Step::UnmountStale => facts.staging = Staging::Clear,
        Step::AskBackend => facts.backend = Some(backend()),
        Step::CutOlder | Step::DropOlder => facts.other = None,
        Step::Record => {
            let (torn_beside, ever_staged) = match &facts.journal {
                Journal::Nothing => (false, false),
                Journal::Torn => (true, false),
                Journal::Entry(entry) => (entry.torn_beside, entry.ever_staged),
            };
            facts.journal = Journal::Entry(Entry { torn_beside, ever_staged, ..entry() });
        }
        Step::Connect => facts.session = Session::NotLive(State::NotLive("connecting".to_owned())),
        Step::AwaitLive => facts.session = Session::WithoutDevice,
        Step::AwaitDevice => facts.session = Session::Live(device()),
        Step::Protect => facts.session = Session::Live(Device { write_protected: true, ..device() }),
        Step::Probe => facts.content = Some(Content::Blank),
        Step::RecordAttempt => change(facts, &|entry| entry.format = Format::Attempt),
        Step::Format { .. } => {
            change(facts, &|entry| entry.format = Format::Made);
            facts.content = Some(Content::Filesystem(want.filesystem.expect("one"), Some(SIZE)));
        }
        Step::Verify => facts.whole = Some(Ok(())),
        Step::Acknowledge => change(facts, &|entry| entry.format = Format::Acknowledged),
        Step::Check => facts.checked = true,
        Step::GrowUnmounted => {
            let Session::Live(device) = &facts.session else { panic!("a device") };
            facts.content = Some(Content::Filesystem(Kind::Ext4, Some(device.size)));
        }
        Step::Mount => facts.staging = Staging::Volume { read_only: want.read_only },
        Step::Grow => {
            let Session::Live(device) = facts.session.clone() else { panic!("a device") };
            change(facts, &|entry| entry.filled = Some(device.size));
        }
        Step::RecordStaged => change(facts, &|entry| entry.staged = true),
        Step::Done | Step::Refuse(_) => panic!("the end"),
    }
}

#[test]
fn every_combination_leads_to_done_or_to_a_refusal() {
    every(|want, first| {
        let mut facts = first.clone();
        for _ in 0..25 {
            let step = plan(want, &facts);
            if let Step::Done | Step::Refuse(_) = step {
                return;
            }
            done(want, &mut facts, &step);
        }
        panic!("{want:?} {first:?} ends in {facts:?}");
    });
}
