use proptest::prelude::*;

use super::*;
use crate::namespace::Rules;
use crate::sink::kubernetes::fake;

const DRIVER: &str = "rds.csi.srvlab.io";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// An event of rds-backend about the claim demo/data.
pub(crate) fn wire_event(reason: &str) -> wire::Event {
    wire::Event {
        id: "id-1".into(),
        reason: reason.into(),
        subject: Some(claim_subject("demo", "data", "")),
        note: "volume rds1/csi-1 was made".into(),
        time_unix_ms: 1_800_000_000_000,
        cause: String::new(),
        instance: "backend-0".into(),
        trace_id: TRACE.into(),
    }
}

pub(crate) fn claim_subject(namespace: &str, name: &str, handle: &str) -> wire::Subject {
    wire::Subject {
        kind: Some(wire::subject::Kind::Claim(wire::ClaimSubject {
            namespace: namespace.into(),
            name: name.into(),
            volume_handle: handle.into(),
        })),
    }
}

pub(crate) fn report(reason: &str) -> Report {
    Report::parse(wire_event(reason), Sender::Backend).unwrap()
}

fn composed(report: &Report) -> Event {
    let object = Object::unasked(&report.subject);
    let placement = Rules::default().place(&object).unwrap();
    report.compose(&object, &placement, DRIVER)
}

fn name_of(report: &Report) -> String {
    composed(report).metadata.name.unwrap()
}

#[test]
fn an_event_is_written_as_the_recorder_of_kubernetes_writes_it() {
    let event = composed(&report("Provisioned"));
    assert_eq!(event.event_time, None);
    assert_eq!(event.count, Some(1));
    assert_eq!(event.reason.as_deref(), Some("Provisioned"));
    assert_eq!(event.type_.as_deref(), Some("Normal"));
    assert_eq!(event.action.as_deref(), Some("CreateVolume"));
    assert_eq!(event.reporting_component.as_deref(), Some("rds.csi.srvlab.io/rds-backend"));
    assert_eq!(event.reporting_instance.as_deref(), Some("backend-0"));
    assert_eq!(event.source.unwrap().component.as_deref(), Some("rds-backend"));
    assert_eq!(event.metadata.annotations.unwrap()[TRACE_ID], TRACE);
    assert!(event.message.unwrap().ends_with(&format!("(trace {TRACE})")));
}

#[test]
fn a_repeat_within_six_minutes_has_the_same_name_and_anything_else_another() {
    let base = report("Provisioned");
    let at = |ms: i64| {
        Timestamp::from_millisecond(1_800_000_000_000 - 1_800_000_000_000 % SERIES_MS + ms).unwrap()
    };
    let first = Report { time: at(0), ..base.clone() };
    let repeat = Report {
        time: at(SERIES_MS - 1),
        id: "id-2".into(),
        note: "other words".into(),
        trace_id: None,
        ..base.clone()
    };
    assert_eq!(name_of(&first), name_of(&repeat));
    let others = [
        Report { time: at(SERIES_MS), ..first.clone() },
        Report { cause: "ENOSPC".into(), ..first.clone() },
        Report { instance: "backend-1".into(), ..first.clone() },
        Report { sender: Sender::Agent, ..first.clone() },
        Report { reason: EventReason::Expanded, ..first.clone() },
    ];
    for other in others {
        assert_ne!(name_of(&first), name_of(&other), "{other:?}");
    }
}

#[test]
fn a_long_note_is_cut_on_a_character_boundary_and_keeps_the_trace_id() {
    for length in 900..1100 {
        for letter in ["x", "ä", "…", "🦀"] {
            let note = bounded_note(&letter.repeat(length), Some(TRACE));
            assert!(note.len() <= MAX_NOTE_BYTES);
            assert!(note.ends_with(&format!(" (trace {TRACE})")));
        }
    }
    let said_already = format!("short (trace {TRACE})");
    assert_eq!(bounded_note(&said_already, Some(TRACE)), said_already);
    assert_eq!(bounded_note("a\nb\tc\u{0}", None), "a b c");
}

#[test]
fn hostile_fields_are_refused_with_the_field_that_is_wrong() {
    type Break = fn(&mut wire::Event);
    let broken: [(&str, Break); 11] = [
        ("note", |e| e.note = "x".repeat(1024 * 1024)),
        ("note", |e| e.note = " \n".into()),
        ("id", |e| e.id = String::new()),
        ("id", |e| e.id = "x".repeat(65)),
        ("instance", |e| e.instance = "x".repeat(129)),
        ("instance", |e| e.instance = "a\u{1b}[31m".into()),
        ("cause", |e| e.cause = "x".repeat(257)),
        ("trace_id", |e| e.trace_id = "not hex".into()),
        ("time_unix_ms", |e| e.time_unix_ms = i64::MAX),
        ("reason", |e| e.reason = "Invented".into()),
        ("subject.claim.namespace", |e| e.subject = Some(claim_subject("Demo", "data", ""))),
    ];
    for (field, break_it) in broken {
        let mut event = wire_event("Provisioned");
        break_it(&mut event);
        let text = Report::parse(event, Sender::Backend).unwrap_err().to_string();
        assert!(text.contains(&format!("INVALID_ARGUMENT: {field}")), "{field}: {text}");
    }
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.-]{0,12}",
        "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?",
        "[a-z0-9][a-z0-9.-]{230,260}[a-z0-9]",
        "\\PC{0,8}",
        Just("default".to_owned()),
        Just(String::new()),
    ]
}

fn any_handle() -> impl Strategy<Value = String> {
    prop_oneof!["[!-~]{0,130}", Just(String::new()), Just("rds1/csi-1".to_owned()), "[-./]{1,20}"]
}

fn subject_of(
    kind: SubjectKind,
    (namespace, name, volume_handle): (String, String, String),
) -> wire::Subject {
    use wire::subject::Kind;
    let kind = match kind {
        SubjectKind::Claim => Kind::Claim(wire::ClaimSubject { namespace, name, volume_handle }),
        SubjectKind::Node => Kind::Node(wire::NodeSubject { name }),
        SubjectKind::PersistentVolume => {
            Kind::PersistentVolume(wire::PersistentVolumeSubject { name, volume_handle })
        }
        SubjectKind::StorageClass => Kind::StorageClass(wire::StorageClassSubject { name }),
    };
    wire::Subject { kind: Some(kind) }
}

/// An event whose reason, sender and kind of subject fit the catalogue; everything else may be wild.
fn any_event() -> impl Strategy<Value = (wire::Event, Sender)> {
    let entry = proptest::sample::select(proto::event::CATALOGUE);
    let picks = (any::<proptest::sample::Index>(), any::<proptest::sample::Index>());
    let texts = ("[a-z0-9]{1,64}", "\\PC{1,400}", ".{0,20}", "\\PC{1,40}", prop_oneof!["", "[0-9a-f]{32}"]);
    let names = (any_name(), any_name(), any_handle());
    (entry, picks, names, texts, any::<i64>(), 0..253_402_300_799_000_i64).prop_map(
        |(entry, (subject, sender), names, (id, note, cause, instance, trace_id), wild, tame)| {
            let event = wire::Event {
                id,
                reason: entry.name.to_owned(),
                subject: Some(subject_of(*subject.get(entry.subjects), names)),
                note,
                time_unix_ms: if wild % 4 == 0 { wild } else { tame },
                cause,
                instance,
                trace_id,
            };
            (event, *sender.get(entry.senders))
        },
    )
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let label = "[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?";
    let labels = || proptest::collection::btree_set(label.prop_map(|text| text.parse().unwrap()), 0..3);
    (proptest::option::of(label), labels(), labels()).prop_map(|(node, allow, deny)| Rules {
        node_event_namespace: node.map(|text| text.parse().unwrap()),
        allow,
        deny,
    })
}

/// What a lookup may turn a subject into.
fn any_turn() -> impl Strategy<Value = (Option<String>, u8)> {
    (proptest::option::of("[a-z0-9-]{36}"), 0..4_u8)
}

fn turned(subject: &Subject, (uid, turn): (Option<String>, u8)) -> Object {
    match (Object::unasked(subject), turn) {
        (Object::Claim { .. }, 0) => Object::PersistentVolume { name: "pv-1".into(), uid },
        (Object::Claim { namespace, name, .. }, _) => Object::Claim { namespace, name, uid },
        (Object::Node { name, .. }, _) => Object::Node { name, uid },
        (object, _) => object,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The seed of the product: an Event without a namespace was refused by every API server, and nobody saw it.
    #[test]
    fn no_input_yields_an_event_the_api_server_would_refuse(
        (event, sender) in any_event(), rules in any_rules(), turn in any_turn(),
    ) {
        let Ok(report) = Report::parse(event, sender) else { return Ok(()) };
        let object = turned(&report.subject, turn);
        let Ok(placement) = rules.place(&object) else { return Ok(()) };
        let event = report.compose(&object, &placement, DRIVER);
        let json = serde_json::to_value(&event).unwrap();
        let namespace = json["metadata"]["namespace"].as_str().unwrap_or_default();
        prop_assert!(!namespace.is_empty());
        prop_assert_eq!(fake::verdict(namespace, &json), Ok(()));
        prop_assert!(rules.allow.is_empty() || rules.allow.contains(&placement.namespace));
        prop_assert!(!rules.deny.contains(&placement.namespace));
    }

    #[test]
    fn an_event_about_a_claim_is_never_written_to_a_namespace_other_than_its_own(
        namespace in "[a-z0-9]{1,10}", rules in any_rules(),
    ) {
        let object = Object::Claim { namespace: namespace.parse().unwrap(), name: "data".into(), uid: None };
        if let Ok(placement) = rules.place(&object) {
            let event = report("Provisioned").compose(&object, &placement, DRIVER);
            prop_assert_eq!(event.metadata.namespace.as_deref(), Some(namespace.as_str()));
            prop_assert_eq!(event.involved_object.namespace.as_deref(), Some(namespace.as_str()));
        }
    }

    #[test]
    fn parsing_never_panics(text in ".{0,80}", number: i64) {
        let event = wire::Event {
            id: text.clone(), reason: "Provisioned".into(), subject: Some(claim_subject(&text, &text, &text)),
            note: text.clone(), time_unix_ms: number, cause: text.clone(), instance: text.clone(), trace_id: text,
        };
        let _ = Report::parse(event, Sender::Backend);
    }
}
