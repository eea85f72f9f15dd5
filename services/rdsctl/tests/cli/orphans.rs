//! `rdsctl appliance orphans`, and what else asks the cluster, against a Kubernetes API that has PersistentVolumes only.

use std::path::PathBuf;

use axum::extract::RawQuery;
use axum::routing::get;
use proto::rds::volume::v1::{GetInventoryResponse, Mismatch, Volume, mismatch};
use serde_json::{Value, json};

use crate::fake::World;
use crate::program::Backend;

const SLOT: &str = "csi-0123456789abcdef0123456789ab";
const OTHER: &str = "csi-ffffffffffffffffffffffffffff";
const LEGACY: &str = "pvc-0b5f4a52-6a0e-4f0d-9f55-0d5c6ddb7a11";

fn persistent(name: &str, handle: &str, driver: &str, phase: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "capacity": { "storage": "2Gi" }, "accessModes": ["ReadWriteOnce"], "volumeMode": "Block",
            "persistentVolumeReclaimPolicy": "Retain", "csi": { "driver": driver, "volumeHandle": handle },
            "claimRef": { "namespace": "demo", "name": "data" },
        },
        "status": { "phase": phase },
    })
}

/// Serves the items one per page; the path of credentials for it.
async fn cluster(backend: &Backend, items: Vec<Value>) -> String {
    let list = move |RawQuery(query): RawQuery| async move {
        let query = query.unwrap_or_default();
        let token = query.split('&').find_map(|part| part.strip_prefix("continue="));
        let at: usize = token.map_or(0, |token| token.parse().unwrap());
        let next = if at + 1 < items.len() { (at + 1).to_string() } else { String::new() };
        let page: Vec<&Value> = items.iter().skip(at).take(1).collect();
        let list = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeList", "metadata": { "continue": next }, "items": page,
        });
        ([("content-type", "application/json")], list.to_string())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/api/v1/persistentvolumes", get(list));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let path: PathBuf = backend.folder.path().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": format!("http://{address}") } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        "users": [{ "name": "u", "user": {} }],
    });
    std::fs::write(&path, config.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn volume(slot: &str) -> Volume {
    Volume { handle: format!("rds1/{slot}"), size_bytes: 3 << 30, ..Volume::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_and_persistent_volumes_that_have_lost_each_other_are_found_and_exit_1() {
    let image = Mismatch {
        kind: mismatch::Kind::ImageWithoutDisk.into(),
        what: "/raid1/volumes/csi-x.img".to_owned(),
        note: "no row uses it; remove the file when nobody misses it".to_owned(),
        size_bytes: 1 << 30,
    };
    let inventory = GetInventoryResponse { volumes: 2, snapshots: 1, mismatches: vec![image] };
    let volumes = vec![volume(SLOT), volume(OTHER)];
    let backend = Backend::start(World { inventory, volumes, ..World::default() }).await;
    let ours = "rds.csi.srvlab.io";
    let items = vec![
        persistent("kept", &format!("rds1/{SLOT}"), ours, "Released"),
        persistent("lost", LEGACY, ours, "Bound"),
        persistent("hidden", "unreachable", ours, "Bound"),
        persistent("theirs", "x", "other.example.org", "Bound"),
        persistent("elsewhere", &format!("rds2/{SLOT}"), ours, "Bound"),
    ];
    let kubeconfig = cluster(&backend, items).await;
    let orphans = ["appliance", "orphans", "rds1", "--kubeconfig", &kubeconfig];
    let (code, out, err) = backend.rdsctl(&orphans).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("walking the files of rds1, this can take minutes"), "{err}");
    assert!(out.contains("5 finding(s)") && out.contains("remove the file when nobody misses it"), "{out}");
    assert!(out.contains(&format!("    $ rdsctl csi delete rds1/{OTHER} --socket")), "{out}");

    let (code, value) = backend.values(&orphans).await;
    assert_eq!(code, 1);
    let found: Vec<(&str, &str)> = value["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["kind"].as_str().unwrap(), finding["what"].as_str().unwrap()))
        .collect();
    let other = format!("rds1/{OTHER}");
    let expected = [
        ("volume-without-pv", other.as_str()),
        ("pv-waits", "kept"),
        ("pv-without-volume", "lost"),
        ("pv-not-known", "hidden"),
        ("image-without-disk", "/raid1/volumes/csi-x.img"),
    ];
    assert_eq!(found, expected);
    assert_eq!(value["findings"][0]["size_bytes"], 3u64 << 30);
    assert_eq!((&value["findings"][2]["claim"], &value["snapshots"]), (&"demo/data".into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_fits_together_there_is_no_finding_and_exit_0() {
    let (volumes, unlisted) = (vec![volume(SLOT)], vec![volume(OTHER)]);
    let backend = Backend::start(World { volumes, unlisted, ..World::default() }).await;
    let persistent = |slot: &str| persistent("a", &format!("rds1/{slot}"), "rds.csi.srvlab.io", "Bound");
    let kubeconfig = cluster(&backend, vec![persistent(SLOT), persistent(OTHER)]).await;
    let orphans = ["appliance", "orphans", "rds1", "--kubeconfig", &kubeconfig];
    let (code, out, err) = backend.rdsctl(&orphans).await;
    assert_eq!((code, out.as_str()), (0, "rds1: 0 volume(s), 0 snapshot(s), 0 finding(s)\n"), "{err}");
    assert_eq!(backend.fake.asked("GetVolume").len(), 1, "one that was made since is asked for once more");
    let (code, value) = backend.values(&orphans).await;
    assert_eq!((code, &value["findings"]), (0, &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_cluster_only_the_appliance_is_looked_at() {
    let backend = Backend::start(World { volumes: vec![volume(SLOT)], ..World::default() }).await;
    let (code, value) = backend.values(&["appliance", "orphans", "rds1", "--no-cluster"]).await;
    assert_eq!((code, &value["cluster_asked"]), (0, &false.into()));
    let (code, out, err) =
        backend.rdsctl(&["appliance", "orphans", "rds1", "--kubeconfig", "/nonexistent"]).await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("no access to the Kubernetes API"), "{err}");
    assert_eq!(backend.fake.asked("GetInventory").len(), 2, "nobody waits for what cannot be had");
}

#[tokio::test(flavor = "multi_thread")]
async fn adopting_takes_class_and_claim_from_the_cluster_and_leaves_the_rest_alone() {
    let backend = Backend::start(World::default()).await;
    let kubeconfig = cluster(&backend, vec![persistent(LEGACY, LEGACY, "rds.csi.srvlab.io", "Bound")]).await;
    let adopt =
        ["appliance", "adopt", LEGACY, "pvc-other", "--from-cluster", "--kubeconfig", &kubeconfig, "--yes"];
    let (code, out, err) = backend.rdsctl(&adopt).await;
    assert_eq!(code, 1);
    assert!(out.contains("single-node-block") && out.contains("demo/data"), "{out}");
    assert!(err.contains("pvc-other: no PersistentVolume names it"), "{err}");
    let asked = backend.fake.asked("AdoptVolume");
    assert!(asked.iter().all(|asked| asked.contains(&format!("volume_name: \"{LEGACY}\""))), "{asked:?}");
}
