use super::*;
use crate::namespace::Rules;

fn ns(text: &str) -> Namespace {
    text.parse().unwrap()
}

fn volume(claim: Option<(&str, &str, &str)>) -> VolumeFacts {
    VolumeFacts {
        name: "pv-1".into(),
        uid: "uid-pv".into(),
        handle: "rds1/csi-1".into(),
        claim: claim.map(|(namespace, name, uid)| ClaimRef {
            namespace: ns(namespace),
            name: name.into(),
            uid: uid.into(),
        }),
    }
}

fn claim(uid: &str, volume_name: &str) -> ClaimFacts {
    ClaimFacts { uid: uid.into(), volume_name: volume_name.into() }
}

const HANDLE: Option<&str> = Some("rds1/csi-1");

fn the_volume() -> Object {
    volume(None).object()
}

#[test]
fn a_claim_without_a_namespace_is_found_through_its_volume() {
    let volume = volume(Some(("demo", "data", "uid-1")));
    assert_eq!(
        wanted(None, None, HANDLE, Some(&volume)),
        Ok(Wanted::Claim { namespace: ns("demo"), name: "data".into() })
    );
}

#[test]
fn a_claim_nobody_can_place_ends_in_default_and_a_volume_without_a_claim_stands_for_itself() {
    let unplaced = wanted(None, None, HANDLE, None).unwrap();
    let Wanted::Settled(object) = unplaced else { panic!("{unplaced:?}") };
    let place = Rules::default().place(&object).unwrap();
    assert_eq!((place.namespace.as_str(), place.reference), ("default", None));
    assert_eq!(wanted(None, None, HANDLE, Some(&volume(None))), Ok(Wanted::Settled(the_volume())));
}

#[test]
fn a_namespace_other_than_the_volumes_own_is_refused() {
    let volume = volume(Some(("demo", "data", "uid-1")));
    let refused = wanted(Some(&ns("other")), Some("data"), HANDLE, Some(&volume));
    assert!(matches!(refused, Err(Refusal::NamespaceMismatch { .. })), "{refused:?}");
}

#[test]
fn a_claim_that_is_bound_to_our_volume_is_the_subject_with_its_current_uid() {
    let bound = volume(Some(("demo", "data", "uid-1")));
    for facts in [claim("uid-1", ""), claim("uid-1", "pv-1"), claim("uid-9", "pv-1")] {
        let object = choose((&ns("demo"), "data"), HANDLE, Some(&bound), Some(&facts)).unwrap();
        assert_eq!(object.uid(), Some(facts.uid.as_str()));
        assert_eq!(object.kind(), SubjectKind::Claim);
    }
}

#[test]
fn a_claim_made_anew_under_the_same_name_never_gets_the_old_volumes_events() {
    let old = volume(Some(("demo", "data", "uid-old")));
    for facts in [claim("uid-new", ""), claim("uid-new", "pv-2")] {
        assert_eq!(choose((&ns("demo"), "data"), HANDLE, Some(&old), Some(&facts)), Ok(the_volume()));
    }
}

#[test]
fn a_claim_that_is_gone_leaves_the_event_to_its_volume_or_is_answered_as_gone() {
    assert_eq!(choose((&ns("demo"), "data"), HANDLE, Some(&volume(None)), None), Ok(the_volume()));
    let gone = choose((&ns("demo"), "data"), HANDLE, None, None);
    assert!(matches!(gone, Err(Refusal::ClaimGone { .. })), "{gone:?}");
}

#[test]
fn a_claim_that_waits_for_its_volume_is_the_subject_and_one_bound_to_an_unknown_volume_is_not() {
    let waiting = choose((&ns("demo"), "data"), HANDLE, None, Some(&claim("uid-1", "")));
    assert_eq!(waiting.unwrap().uid(), Some("uid-1"));
    let bound = choose((&ns("demo"), "data"), HANDLE, None, Some(&claim("uid-1", "pv-7")));
    assert!(matches!(bound, Err(Refusal::ClaimOfAnother { .. })), "{bound:?}");
}

#[test]
fn a_sender_reports_its_own_reasons_about_their_own_kind_of_subject_only() {
    let claim = Subject::Claim { namespace: Some(ns("demo")), name: Some("data".into()), handle: None };
    let node = Subject::Node("node-a".into());
    assert_eq!(permit(EventReason::Provisioned, Sender::Backend, &claim), Ok(()));
    assert!(matches!(permit(EventReason::Provisioned, Sender::Agent, &claim), Err(Refusal::Sender { .. })));
    assert!(matches!(
        permit(EventReason::Provisioned, Sender::Backend, &node),
        Err(Refusal::SubjectKind { .. })
    ));
    assert!(matches!(
        permit(EventReason::EventsSuppressed, Sender::Backend, &claim),
        Err(Refusal::Sender { .. })
    ));
}

#[test]
fn names_that_are_no_dns_names_are_refused_naming_the_field() {
    for bad in ["A", "a_b", "a..b", "-a", "a-", "a b", "ä", &"x".repeat(254)] {
        let wire =
            wire::Subject { kind: Some(wire::subject::Kind::Node(wire::NodeSubject { name: bad.into() })) };
        let text = Subject::parse(Some(wire)).unwrap_err().to_string();
        assert!(text.contains("INVALID_ARGUMENT: subject.node.name"), "{text}");
    }
    assert!(Subject::parse(None).is_err());
}
