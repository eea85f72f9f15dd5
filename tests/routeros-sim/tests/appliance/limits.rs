//! What is refused: sessions, policies, long lines; and what the control port changes.

use routeros_sim::{Growth, Pool, Simulator};
use russh::keys::PrivateKey;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{control, eventually, exec, login, start, start_with};

async fn says(simulator: &Simulator, key: &PrivateKey, command: &str) -> String {
    let session = login(simulator, key).await.unwrap();
    exec(&session, command).await.unwrap().0.trim_end().to_owned()
}

#[tokio::test]
async fn one_session_too_many_is_closed_without_a_word() {
    let (_folder, simulator, key) = start_with(|config| config.max_sessions = 2).await;
    let first = login(&simulator, &key).await.unwrap();
    let _second = login(&simulator, &key).await.unwrap();
    let mut third = TcpStream::connect(simulator.ssh_addr()).await.unwrap();
    let mut heard = Vec::new();
    // Closed in order or not, nothing is said.
    let _ = third.read_to_end(&mut heard).await;
    assert_eq!(heard, b"");
    first.disconnect(russh::Disconnect::ByApplication, "", "").await.unwrap();
    drop(first);
    eventually(async || {
        let mut stream = TcpStream::connect(simulator.ssh_addr()).await.unwrap();
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).await.is_ok() && &heard == b"SSH-"
    })
    .await;
}

#[tokio::test]
async fn a_group_without_a_policy_is_refused_what_needs_it() {
    const REFUSED: &str = "not enough permissions (9)";
    let (_folder, simulator, key) = start(Growth::Live).await;
    let add = "/disk/add type=file slot=v1 file-path=raid1/v1.img file-size=1";
    simulator.set_policies("ssh,read,test");
    assert_eq!(says(&simulator, &key, add).await, REFUSED);
    assert_eq!(says(&simulator, &key, ":put [:len [/disk/find where type=raid]]").await, "1");
    assert_eq!(says(&simulator, &key, "/system/reboot").await, REFUSED);
    simulator.set_policies("ssh,write");
    assert_eq!(says(&simulator, &key, add).await, "");
    assert_eq!(says(&simulator, &key, "/disk/print").await, REFUSED);
    assert_eq!(says(&simulator, &key, ":put x").await, "x");
    simulator.console("/disk/remove v1");
    assert_eq!(says(&simulator, &key, "/file/remove \"raid1/v1.img\"").await, REFUSED, "it needs ftp");
    simulator.set_policies("read,write");
    assert!(login(&simulator, &key).await.is_none());
}

#[tokio::test]
async fn a_command_longer_than_the_limit_is_refused() {
    let (_folder, simulator, key) = start_with(|config| config.max_line = 100).await;
    let line = |length: usize| format!(":put \"{}\"", "x".repeat(length - 7));
    assert_eq!(says(&simulator, &key, &line(100)).await.len(), 93);
    assert_eq!(says(&simulator, &key, &line(101)).await, "failure: command is too long");
}

#[tokio::test]
async fn a_new_host_key_is_shown_to_the_next_connection() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    let before = simulator.host_key_fingerprint();
    let session = login(&simulator, &key).await.unwrap();
    let answer = control(&simulator, &json!("new-host-key")).await;
    assert_ne!(simulator.host_key_fingerprint(), before);
    assert_eq!(answer["host_key"], simulator.host_key_fingerprint());
    assert_eq!(exec(&session, ":put x").await.unwrap().0, "x\r\n", "the old connection goes on");
    assert!(login(&simulator, &key).await.is_some(), "a client that knows the new one gets in");
}

#[tokio::test]
async fn a_pool_changes_on_command() {
    let (_folder, simulator, _key) = start(Growth::Live).await;
    let state = |simulator: &Simulator| simulator.disks()[0].clone();
    control(&simulator, &json!({ "pool": { "slot": "raid1", "state": "degraded", "size": 4096 } })).await;
    assert_eq!((&state(&simulator)["state"], &state(&simulator)["free"]), (&json!("degraded"), &json!(4096)));
    control(&simulator, &json!({ "pool": { "slot": "raid1", "full": true } })).await;
    assert_eq!(state(&simulator)["free"], 0);
    control(&simulator, &json!({ "pool": { "slot": "raid1", "mounted": false } })).await;
    assert!(state(&simulator).get("mount-point").is_none());
    let wrong = control(&simulator, &json!({ "pool": { "slot": "nope" } })).await;
    assert_eq!(wrong["error"], "there is no pool nope");
    control(&simulator, &json!({ "flag": true })).await;
    assert_eq!(simulator.console(":put [/system/device-mode/get flagged]"), "true\r\n");
}

#[tokio::test]
async fn a_flaky_link_loses_the_command_after_the_last_good_one() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    control(&simulator, &json!({ "flaky": { "every": 2, "after": 1 } })).await;
    let odd = login(&simulator, &key).await.unwrap();
    let even = login(&simulator, &key).await.unwrap();
    assert!(exec(&even, ":put 1").await.is_some());
    assert_eq!(exec(&even, "/disk/set raid1 comment=x").await, None);
    for _ in 0..3 {
        assert!(exec(&odd, ":put 1").await.is_some());
    }
    assert_eq!(simulator.disks()[0].get("comment"), None);
}

async fn http(simulator: &Simulator, request: &str) -> String {
    let mut stream = TcpStream::connect(simulator.control_addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_control_port_speaks_http_too() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    let body = json!({ "fault": { "effect": { "stop-after": 0 }, "matching": "/disk/set" } }).to_string();
    let post = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert!(http(&simulator, &post).await.ends_with("\r\n\r\n\"done\"\n"));
    let session = login(&simulator, &key).await.unwrap();
    assert_eq!(exec(&session, "/disk/set raid1 comment=x").await, None);
    let journal = http(&simulator, "GET /journal HTTP/1.1\r\n\r\n").await;
    assert!(
        journal.starts_with("HTTP/1.1 200 OK\r\n") && journal.contains("\"outcome\":\"lost\""),
        "{journal}"
    );
    assert!(http(&simulator, "GET /nope HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404"));
    let wrong = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\"huh\"";
    assert!(http(&simulator, wrong).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn two_pools_of_different_kinds_stand_side_by_side() {
    let (_folder, simulator, key) = start_with(|config| {
        config.pools.push(Pool::new("flash", "btrfs", 1 << 30));
    })
    .await;
    assert_eq!(says(&simulator, &key, ":put [/disk/get flash fs]").await, "btrfs");
    assert_eq!(says(&simulator, &key, "/disk/btrfs/subvolume/add fs=flash-fs name=a").await, "");
    assert_eq!(says(&simulator, &key, "/disk/btrfs/subvolume/add fs=flash name=b").await, "");
    let refused = says(&simulator, &key, "/disk/btrfs/subvolume/add fs=raid1 name=a").await;
    assert_eq!(refused, "failure: not a btrfs filesystem");
    assert_eq!(simulator.subvolumes().len(), 2);
}
