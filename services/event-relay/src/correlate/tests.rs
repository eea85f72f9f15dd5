use super::*;
use crate::event::tests::report;
use crate::namespace::Rules;
use crate::subject::Object;

fn event(cause: &str, note: &str) -> Event {
    let mut report = report("ProvisioningFailed");
    report.cause = cause.into();
    report.note = note.into();
    let object = Object::unasked(&report.subject);
    let placement = Rules::default().place(&object).unwrap();
    report.compose(&object, &placement, "rds.csi.srvlab.io")
}

fn id(number: usize) -> OccurrenceId {
    ("rds-backend/backend-0".into(), format!("id-{number}"))
}

fn written(correlator: &mut Correlator, step: Step, number: usize) -> Option<Draft> {
    match step {
        Step::Write(draft) => {
            correlator.settle(&draft, Some(&id(number)), Settled::Written);
            Some(*draft)
        }
        Step::Fold | Step::Redelivered => None,
    }
}

#[test]
fn a_series_is_written_when_it_starts_and_at_doubling_counts() {
    let now = Instant::now();
    let mut correlator = Correlator::default();
    let mut counts = Vec::new();
    for number in 0..1000 {
        let step = correlator.observe(event("", "no space"), &id(number), now);
        counts.extend(written(&mut correlator, step, number).map(|draft| draft.event.count.unwrap()));
    }
    assert_eq!(counts, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
}

#[test]
fn the_heartbeat_brings_the_count_to_the_truth_with_the_newest_note() {
    let now = Instant::now();
    let mut correlator = Correlator::default();
    for number in 0..7 {
        let step = correlator.observe(event("", &format!("note {number}")), &id(number), now);
        written(&mut correlator, step, number);
    }
    assert!(correlator.due(now + HEARTBEAT / 2, HEARTBEAT).is_empty());
    let due = correlator.due(now + HEARTBEAT, HEARTBEAT);
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].event.count, due[0].unwritten), (Some(7), 3));
    assert_eq!(due[0].event.message.as_deref(), Some("note 6"));
    correlator.settle(&due[0], None, Settled::Written);
    assert!(correlator.due(now + HEARTBEAT * 9, HEARTBEAT).is_empty());
}

#[test]
fn another_cause_starts_a_new_series() {
    let now = Instant::now();
    let mut correlator = Correlator::default();
    let first = correlator.observe(event("ENOSPC", "x"), &id(1), now);
    let second = correlator.observe(event("EIO", "x"), &id(2), now);
    assert!(matches!(first, Step::Write(_)) && matches!(second, Step::Write(_)));
    assert_eq!(correlator.len(), 2);
}

#[test]
fn a_redelivery_is_counted_once() {
    let now = Instant::now();
    let mut correlator = Correlator::default();
    let step = correlator.observe(event("", "x"), &id(1), now);
    written(&mut correlator, step, 1);
    assert_eq!(correlator.observe(event("", "x"), &id(1), now), Step::Redelivered);
}

#[test]
fn a_write_that_failed_leaves_the_occurrence_to_be_sent_again() {
    let now = Instant::now();
    let mut correlator = Correlator::default();
    let Step::Write(draft) = correlator.observe(event("", "x"), &id(1), now) else {
        panic!("a new series is written")
    };
    assert_eq!(correlator.observe(event("", "x"), &id(2), now), Step::Fold, "while the first is in flight");
    correlator.settle(&draft, Some(&id(1)), Settled::Failed);
    let Step::Write(again) = correlator.observe(event("", "x"), &id(1), now) else {
        panic!("still nothing is written")
    };
    assert!(again.is_new());
    assert_eq!((again.event.count, again.unwritten), (Some(2), 2));
}

#[test]
fn a_series_that_was_dropped_leaves_nothing_behind() {
    let now = Instant::now();
    let mut correlator = Correlator::default();
    let Step::Write(draft) = correlator.observe(event("", "x"), &id(1), now) else {
        panic!("a new series is written")
    };
    correlator.settle(&draft, Some(&id(1)), Settled::Dropped);
    assert_eq!(correlator.len(), 0);
}

#[test]
fn ten_thousand_series_take_bounded_memory() {
    let now = Instant::now();
    let mut correlator = Correlator::default();
    for number in 0..10_000 {
        let step = correlator.observe(event(&number.to_string(), "x"), &id(number), now);
        written(&mut correlator, step, number);
    }
    assert!(correlator.len() <= MAX_SERIES);
}
