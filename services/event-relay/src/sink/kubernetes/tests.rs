use std::time::Duration;

use http::Method;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::fake::{Cluster, Trouble};
use super::*;
use crate::event::tests::report;
use crate::namespace::{Namespace, Rules};
use crate::sink::Sink;

const DRIVER: &str = "rds.csi.srvlab.io";
const CLAIM: &str = "/api/v1/namespaces/demo/persistentvolumeclaims/data";
const VOLUME: &str = "/api/v1/persistentvolumes/pv-1";
const HANDLE: &str = "rds1/csi-0000000000000000000000000001";

fn sink(cluster: &Cluster) -> Sink {
    let metrics = Metrics::register(&mut Registry::default());
    Sink::Kubernetes(Box::new(KubernetesSink::new(cluster.client(), DRIVER, metrics)))
}

fn claim(uid: &str, volume: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "namespace": "demo", "uid": uid },
        "spec": { "volumeName": volume },
    })
}

fn volume(claim_uid: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": "pv-1", "uid": "uid-pv" },
        "spec": {
            "csi": { "driver": DRIVER, "volumeHandle": HANDLE },
            "claimRef": { "namespace": "demo", "name": "data", "uid": claim_uid },
        },
    })
}

fn bound() -> Cluster {
    let cluster = Cluster::default();
    cluster.put(CLAIM, claim("uid-1", "pv-1"));
    cluster.put(VOLUME, volume("uid-1"));
    cluster
}

fn about_handle() -> Subject {
    Subject::Claim { namespace: None, name: None, handle: Some(HANDLE.into()) }
}

fn about_claim(handle: Option<&str>) -> Subject {
    Subject::Claim {
        namespace: Some("demo".parse().unwrap()),
        name: Some("data".into()),
        handle: handle.map(ToOwned::to_owned),
    }
}

/// A draft of the series `Provisioned` of demo/data in which `unwritten` of `count` are not written yet.
fn draft(id: &str, count: i32, unwritten: u32) -> Draft {
    let mut report = report("Provisioned");
    report.id = id.into();
    let object = Object::unasked(&report.subject);
    let placement = Rules::default().place(&object).unwrap();
    let mut event = report.compose(&object, &placement, DRIVER);
    event.count = Some(count);
    Draft { event, unwritten }
}

fn retry_after(result: Result<Written, SinkError>) -> Option<Duration> {
    match result {
        Err(SinkError::Unavailable { retry_after, .. }) => retry_after,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_claim_is_found_through_its_volume_with_its_current_uid() {
    let cluster = bound();
    let object = sink(&cluster).resolve(&about_handle()).await.unwrap();
    let expected = Object::Claim {
        namespace: "demo".parse::<Namespace>().unwrap(),
        name: "data".into(),
        uid: Some("uid-1".into()),
    };
    assert_eq!(object, expected);
}

#[tokio::test]
async fn a_claim_made_anew_under_the_same_name_leaves_the_event_to_the_volume() {
    let cluster = bound();
    cluster.put(CLAIM, claim("uid-2", ""));
    let object = sink(&cluster).resolve(&about_claim(Some(HANDLE))).await.unwrap();
    assert_eq!((object.name(), object.uid()), ("pv-1", Some("uid-pv")));
}

#[tokio::test]
async fn a_volume_bound_after_the_list_was_read_is_found_through_its_claim() {
    let cluster = Cluster::default();
    let sink = sink(&cluster);
    // Somebody else's event has the volumes listed, moments before this one is bound.
    let other = Subject::Claim { namespace: None, name: None, handle: Some("rds1/csi-other".into()) };
    sink.resolve(&other).await.unwrap();
    cluster.put(CLAIM, claim("uid-1", "pv-1"));
    cluster.put(VOLUME, volume("uid-1"));
    let object = sink.resolve(&about_claim(Some(HANDLE))).await.unwrap();
    assert_eq!(object.uid(), Some("uid-1"), "{object:?}");
    // The claim of another volume is still no subject of this one's events.
    let strange = about_claim(Some("rds1/csi-0000000000000000000000000002"));
    assert!(sink.resolve(&strange).await.is_err());
}

#[tokio::test]
async fn a_claim_that_is_gone_is_answered_as_such_and_counted() {
    let cluster = Cluster::default();
    let refused = sink(&cluster).resolve(&about_claim(None)).await;
    assert!(matches!(refused, Err(SinkError::Refused(Refusal::ClaimGone { .. }))), "{refused:?}");
}

#[tokio::test]
async fn a_handle_no_volume_has_leaves_the_namespace_unknown() {
    let cluster = Cluster::default();
    let object = sink(&cluster).resolve(&about_handle()).await.unwrap();
    assert_eq!(object, Object::UnplacedClaim { name: HANDLE.into() });
}

#[tokio::test]
async fn volumes_of_another_driver_are_not_looked_at() {
    let cluster = bound();
    let mut foreign = volume("uid-1");
    foreign["spec"]["csi"]["driver"] = json!("other.example.com");
    cluster.put(VOLUME, foreign);
    let object = sink(&cluster).resolve(&about_handle()).await.unwrap();
    assert_eq!(object, Object::UnplacedClaim { name: HANDLE.into() });
}

#[tokio::test]
async fn a_node_and_a_deleted_volume_are_pointed_at_as_far_as_they_are_known() {
    let cluster = Cluster::default();
    let node =
        json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node-a", "uid": "uid-n" } });
    cluster.put("/api/v1/nodes/node-a", node);
    let sink = sink(&cluster);
    let node = sink.resolve(&Subject::Node("node-a".into())).await.unwrap();
    assert_eq!(node.uid(), Some("uid-n"));
    let subject = Subject::PersistentVolume { name: Some("pv-gone".into()), handle: Some(HANDLE.into()) };
    let volume = sink.resolve(&subject).await.unwrap();
    assert_eq!((volume.name(), volume.uid()), ("pv-gone", None));
}

#[tokio::test]
async fn a_thousand_events_of_one_claim_cost_one_lookup() {
    let cluster = bound();
    let sink = sink(&cluster);
    for _ in 0..1000 {
        sink.resolve(&about_handle()).await.unwrap();
    }
    assert_eq!(cluster.asked(Method::GET, ""), 2, "one list of volumes, one claim");
}

#[tokio::test]
async fn a_new_series_is_one_post_to_the_claims_namespace() {
    let cluster = bound();
    assert_eq!(sink(&cluster).write(&draft("id-1", 1, 1)).await, Ok(Written::Created));
    assert_eq!(cluster.asked(Method::POST, "/namespaces/demo/events"), 1);
    assert_eq!(cluster.events()[0]["count"], 1);
}

#[tokio::test]
async fn an_event_that_exists_is_counted_not_doubled() {
    let cluster = bound();
    let (one, other) = (sink(&cluster), sink(&cluster));
    assert_eq!(one.write(&draft("id-1", 1, 1)).await, Ok(Written::Created));
    assert_eq!(other.write(&draft("id-2", 1, 1)).await, Ok(Written::Counted));
    assert_eq!(one.write(&draft("id-3", 4, 3)).await, Ok(Written::Counted));
    let events = cluster.events();
    assert_eq!((events.len(), &events[0]["count"]), (1, &json!(5)));
}

#[tokio::test]
async fn a_create_whose_reply_was_lost_is_not_counted_twice() {
    let cluster = bound();
    let sink = sink(&cluster);
    cluster.trouble(Method::POST, Trouble::LostReply);
    assert_eq!(retry_after(sink.write(&draft("id-1", 1, 1)).await), None);
    assert_eq!(sink.write(&draft("id-1", 1, 1)).await, Ok(Written::Counted));
    assert_eq!(cluster.events()[0]["count"], 1);
}

#[tokio::test]
async fn a_count_another_replica_added_in_between_is_kept() {
    let cluster = bound();
    let sink = sink(&cluster);
    sink.write(&draft("id-1", 1, 1)).await.unwrap();
    cluster.trouble(Method::PATCH, Trouble::Answer(409, "Conflict", 0));
    assert_eq!(sink.write(&draft("id-2", 2, 1)).await, Ok(Written::Counted));
    assert_eq!(cluster.events()[0]["count"], 2);
    assert_eq!(cluster.asked(Method::GET, "/events/"), 2, "it was read again");
}

#[tokio::test]
async fn a_series_whose_event_was_deleted_goes_on_in_a_new_one() {
    let cluster = bound();
    let sink = sink(&cluster);
    sink.write(&draft("id-1", 1, 1)).await.unwrap();
    let name = cluster.events()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.remove(&format!("/api/v1/namespaces/demo/events/{name}"));
    assert_eq!(sink.write(&draft("id-4", 4, 3)).await, Ok(Written::Created));
    assert_eq!(cluster.events()[0]["count"], 4);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_leaves_the_api_server_alone_for_as_long_as_it_asks() {
    let cluster = bound();
    let sink = sink(&cluster);
    cluster.trouble(Method::POST, Trouble::Answer(429, "TooManyRequests", 7));
    assert_eq!(retry_after(sink.write(&draft("id-1", 1, 1)).await), Some(Duration::from_secs(7)));
    assert!(retry_after(sink.write(&draft("id-1", 1, 1)).await).is_some());
    assert_eq!(cluster.asked(Method::POST, ""), 1, "it is not asked meanwhile");
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(sink.write(&draft("id-1", 1, 1)).await, Ok(Written::Created));
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_server_costs_one_timeout_and_the_event_stays_with_its_sender() {
    let cluster = bound();
    cluster.trouble(Method::POST, Trouble::Silence);
    let begun = Instant::now();
    let result = sink(&cluster).write(&draft("id-1", 1, 1)).await;
    assert!(matches!(result, Err(SinkError::Unavailable { .. })), "{result:?}");
    assert_eq!(begun.elapsed().as_secs(), REQUEST_TIMEOUT.as_secs());
}

#[tokio::test]
async fn what_may_pass_is_to_be_sent_again_and_what_will_not_is_refused() {
    let cluster = bound();
    let sink = sink(&cluster);
    for (code, reason) in
        [(500, "InternalError"), (503, "ServiceUnavailable"), (403, "Forbidden"), (401, "Unauthorized")]
    {
        cluster.trouble(Method::POST, Trouble::Answer(code, reason, 0));
        let result = sink.write(&draft("id-1", 1, 1)).await;
        assert!(matches!(result, Err(SinkError::Unavailable { .. })), "{code}: {result:?}");
    }
    for trouble in
        [Trouble::Terminating, Trouble::Answer(404, "NotFound", 0), Trouble::Answer(422, "Invalid", 0)]
    {
        cluster.trouble(Method::POST, trouble.clone());
        let result = sink.write(&draft("id-1", 1, 1)).await;
        assert!(matches!(result, Err(SinkError::Refused(_))), "{trouble:?}: {result:?}");
    }
}
