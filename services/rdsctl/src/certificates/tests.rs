use time::OffsetDateTime;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn noon() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

/// So long after the certificates were made.
fn after(passed: Duration) -> Duration {
    Duration::from_secs(1_800_000_000) + passed
}

fn authority() -> (Authority, Material) {
    Authority::make("rds-csi", noon()).unwrap()
}

#[test]
fn what_is_not_there_is_made_and_what_was_made_is_kept() {
    assert_eq!(judge_authority(&Found::Nothing, after(DAY), false), Verdict::Make);
    let (authority, material) = authority();
    let verdict = judge_authority(&Found::Ours(material), after(DAY), false);
    assert!(matches!(verdict, Verdict::Keep(_)), "{verdict:?}");
    for role in ROLES {
        assert_eq!(judge_role(&Found::Nothing, role, authority.certificate(), after(DAY)), Verdict::Make);
        let issued = Found::Ours(authority.issue(role, noon(), YEAR).unwrap());
        let verdict = judge_role(&issued, role, authority.certificate(), after(DAY));
        assert!(matches!(verdict, Verdict::Keep(_)), "{role}: {verdict:?}");
    }
}

#[test]
fn an_authority_that_was_read_back_signs_what_the_first_one_would_have_signed() {
    let (_, material) = authority();
    let read = Authority::read(&material).unwrap();
    let issued = Found::Ours(read.issue("rds-backend", noon(), YEAR).unwrap());
    let verdict = judge_role(&issued, "rds-backend", &material.certificate, after(DAY));
    assert!(matches!(verdict, Verdict::Keep(_)), "{verdict:?}");
}

#[test]
fn a_certificate_is_renewed_when_less_than_a_third_of_its_life_is_left() {
    let (authority, _) = authority();
    let issued = Found::Ours(authority.issue("rdsctl", noon(), 90 * DAY).unwrap());
    let verdict = |passed: Duration| judge_role(&issued, "rdsctl", authority.certificate(), after(passed));
    assert!(matches!(verdict(59 * DAY), Verdict::Keep(_)));
    assert!(matches!(verdict(61 * DAY), Verdict::Renew(why) if why.contains("third")));
    assert!(matches!(verdict(91 * DAY), Verdict::Renew(_)), "also when it has expired");
}

#[test]
fn a_certificate_that_peers_would_refuse_is_renewed() {
    let ((ours, _), (theirs, _)) = (authority(), authority());
    let good = ours.issue("rds-backend", noon(), YEAR).unwrap();
    let why = |material: Material| match judge_role(
        &Found::Ours(material),
        "rds-backend",
        ours.certificate(),
        after(DAY),
    ) {
        Verdict::Renew(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(why(theirs.issue("rds-backend", noon(), YEAR).unwrap()).contains("ca.crt"));
    let stranger =
        Material { authority: good.authority.clone(), ..theirs.issue("rds-backend", noon(), YEAR).unwrap() };
    assert!(why(stranger).contains("does not hold"));
    assert!(why(ours.issue("csi-front", noon(), YEAR).unwrap()).contains("role rds-backend"));
    let other_key = ours.issue("rds-backend", noon(), YEAR).unwrap().key;
    assert!(why(Material { key: other_key, ..good.clone() }).contains("key"));
    assert!(why(Material { certificate: "torn".to_owned(), ..good }).contains("no certificate"));
}

#[test]
fn an_authority_is_never_replaced_without_being_asked_to() {
    let (_, material) = authority();
    let refused = |found: Found, passed: Duration| match judge_authority(&found, after(passed), false) {
        Verdict::Refuse(why) => why,
        other => panic!("{other:?}"),
    };
    let expired = refused(Found::Ours(material.clone()), 11 * YEAR);
    assert!(expired.contains("expired") && expired.contains("--renew-ca"), "{expired}");
    let (_, other) = authority();
    let torn = Material { key: other.key, ..material.clone() };
    assert!(refused(Found::Ours(torn), DAY).contains("belong together"));
    assert!(refused(Found::Foreign, DAY).contains("not made by this command"));
    let asked = judge_authority(&Found::Ours(material), after(DAY), true);
    assert!(matches!(asked, Verdict::Renew(_)), "{asked:?}");
    assert!(
        matches!(judge_authority(&Found::Foreign, after(DAY), true), Verdict::Refuse(_)),
        "never a foreign one"
    );
}

#[test]
fn a_private_key_is_in_no_debug_text() {
    let (_, material) = authority();
    let text = format!("{:?}", Verdict::Renew(format!("{material:?}")));
    assert!(!text.contains("PRIVATE KEY"), "{text}");
}
