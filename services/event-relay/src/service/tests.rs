use http::Method;
use prometheus_client::registry::Registry;
use serde_json::json;

use super::*;
use crate::event::tests::{claim_subject, wire_event};
use crate::sink::KubernetesSink;
use crate::sink::kubernetes::fake::{Cluster, Trouble};

const DRIVER: &str = "rds.csi.srvlab.io";

fn relay(cluster: &Cluster) -> Relay {
    let metrics = Metrics::register(&mut Registry::default());
    let sink = Sink::Kubernetes(Box::new(KubernetesSink::new(cluster.client(), DRIVER, metrics.clone())));
    Relay::new(Rules::default(), DRIVER.into(), "event-relay-0".into(), sink, metrics)
}

fn cluster() -> Cluster {
    let cluster = Cluster::default();
    cluster.put(
        "/api/v1/namespaces/demo/persistentvolumeclaims/data",
        json!({ "metadata": { "name": "data", "namespace": "demo", "uid": "uid-1" }, "spec": {} }),
    );
    cluster
}

async fn publish(relay: &Relay, event: wire::Event) -> wire::Outcome {
    let deadline = Deadline::after(Duration::from_secs(20));
    relay.answer(event, Sender::Backend, deadline).await
}

fn numbered(number: usize) -> wire::Event {
    wire::Event { id: format!("id-{number}"), ..wire_event("ProvisioningFailed") }
}

#[tokio::test]
async fn an_event_is_written_where_its_claim_lives_and_its_repeats_are_folded() {
    let cluster = cluster();
    let relay = relay(&cluster);
    let first = publish(&relay, numbered(0)).await;
    assert_eq!(first.disposition(), wire::Disposition::Written, "{first:?}");
    assert_eq!(first.namespace, "demo");
    for number in 1..1000 {
        let outcome = publish(&relay, numbered(number)).await;
        assert_eq!(outcome.disposition(), wire::Disposition::Folded);
        assert_eq!(outcome.name, first.name);
    }
    assert!(cluster.asked(Method::POST, "") + cluster.asked(Method::PATCH, "") <= 10);
    relay.flush(Duration::ZERO).await;
    let events = cluster.events();
    assert_eq!((events.len(), &events[0]["count"]), (1, &json!(1000)));
    assert_eq!(events[0]["involvedObject"]["uid"], "uid-1");
}

#[tokio::test]
async fn a_redelivery_is_answered_as_folded_and_counted_once() {
    let cluster = cluster();
    let relay = relay(&cluster);
    publish(&relay, numbered(0)).await;
    let again = publish(&relay, numbered(0)).await;
    assert_eq!(again.disposition(), wire::Disposition::Folded);
    relay.flush(Duration::ZERO).await;
    assert_eq!(cluster.events()[0]["count"], 1);
}

#[tokio::test]
async fn an_outage_hands_the_event_back_and_its_repeat_is_written_once() {
    let cluster = cluster();
    let relay = relay(&cluster);
    cluster.trouble(Method::POST, Trouble::LostReply);
    let outcome = publish(&relay, numbered(0)).await;
    assert_eq!(outcome.disposition(), wire::Disposition::Retry);
    assert!(outcome.message.contains("demo/data."), "{}", outcome.message);
    publish(&relay, numbered(0)).await;
    relay.flush(Duration::ZERO).await;
    assert_eq!(cluster.events().len(), 1);
    assert_eq!(cluster.events()[0]["count"], 1);
}

#[tokio::test]
async fn a_call_that_is_dropped_in_mid_write_leaves_the_series_writable() {
    let cluster = cluster();
    let relay = relay(&cluster);
    cluster.trouble(Method::POST, Trouble::Silence);
    let deadline = Deadline::after(Duration::from_millis(50));
    let outcome = relay.answer(numbered(0), Sender::Backend, deadline).await;
    assert_eq!(outcome.disposition(), wire::Disposition::Retry);
    let again = publish(&relay, numbered(0)).await;
    assert_eq!(again.disposition(), wire::Disposition::Written);
}

#[tokio::test]
async fn over_budget_events_are_suppressed_and_that_is_said_once() {
    let cluster = cluster();
    let relay = relay(&cluster);
    let mut suppressed = 0;
    for number in 0..60 {
        let event = wire::Event { cause: number.to_string(), ..numbered(number) };
        let outcome = publish(&relay, event).await;
        suppressed += usize::from(outcome.disposition() == wire::Disposition::Suppressed);
    }
    assert_eq!(suppressed, 35);
    let reasons: Vec<_> = cluster.events().into_iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(reasons.len(), 26);
    assert_eq!(reasons.iter().filter(|reason| *reason == "EventsSuppressed").count(), 1);
}

#[tokio::test]
async fn a_refused_event_is_answered_with_its_rule_and_nothing_is_written() {
    let cluster = cluster();
    cluster.put(
        "/api/v1/persistentvolumes/pv-1",
        json!({
            "metadata": { "name": "pv-1", "uid": "uid-pv" },
            "spec": {
                "csi": { "driver": DRIVER, "volumeHandle": "rds1/x" },
                "claimRef": { "namespace": "demo", "name": "data", "uid": "uid-1" },
            },
        }),
    );
    let relay = relay(&cluster);
    let mismatch = wire::Event { subject: Some(claim_subject("other", "data", "rds1/x")), ..numbered(0) };
    let other_reason = wire_event("MountFailure");
    for (event, rule) in [(mismatch, "INVALID_ARGUMENT"), (other_reason, "PERMISSION_DENIED")] {
        let outcome = publish(&relay, event).await;
        assert_eq!(outcome.disposition(), wire::Disposition::Refused, "{outcome:?}");
        assert!(outcome.message.starts_with(rule), "{}", outcome.message);
        assert_eq!((outcome.namespace.as_str(), outcome.name.as_str()), ("", ""));
    }
    assert_eq!(cluster.asked(Method::POST, ""), 0);
}

#[tokio::test]
async fn every_reason_of_the_catalogue_is_accepted_from_each_of_its_senders_about_each_of_its_subjects() {
    use proto::event::SubjectKind;
    use wire::subject::Kind;
    let cluster = cluster();
    let node = json!({ "metadata": { "name": "node-a", "uid": "uid-n" } });
    cluster.put("/api/v1/nodes/node-a", node);
    let relay = relay(&cluster);
    for entry in proto::event::CATALOGUE {
        for kind in entry.subjects {
            let subject = match kind {
                SubjectKind::Claim => claim_subject("demo", "data", ""),
                SubjectKind::Node => {
                    wire::Subject { kind: Some(Kind::Node(wire::NodeSubject { name: "node-a".into() })) }
                }
                SubjectKind::PersistentVolume => wire::Subject {
                    kind: Some(Kind::PersistentVolume(wire::PersistentVolumeSubject {
                        name: "pv-1".into(),
                        volume_handle: String::new(),
                    })),
                },
                SubjectKind::StorageClass => wire::Subject {
                    kind: Some(Kind::StorageClass(wire::StorageClassSubject { name: "fast".into() })),
                },
            };
            for sender in entry.senders.iter().filter(|sender| CALLERS.contains(sender)) {
                let event = wire::Event {
                    id: format!("{}-{kind:?}-{}", entry.name, sender.as_str()),
                    subject: Some(subject.clone()),
                    instance: entry.name.into(),
                    ..wire_event(entry.name)
                };
                let deadline = Deadline::after(Duration::from_secs(20));
                let outcome = relay.answer(event, *sender, deadline).await;
                assert_eq!(outcome.disposition(), wire::Disposition::Written, "{}: {outcome:?}", entry.name);
                let expected = if *kind == SubjectKind::Claim { "demo" } else { "default" };
                assert_eq!(outcome.namespace, expected);
            }
        }
    }
}
