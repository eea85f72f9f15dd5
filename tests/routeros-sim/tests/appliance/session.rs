//! SSH, the storage portal, the control port.

use std::time::Duration;

use routeros_sim::{Config, Effect, Fault, Growth, Simulator};
use russh::Disconnect;
use serde_json::json;
use tokio::io::BufReader;
use tokio::net::TcpStream;

use crate::client::{Host, exec, key, login, start};

const ADD: &str = "/disk/add type=file slot=v1 file-path=raid1/v1.img file-size=1048576";
const EXPORT: &str = "/disk/set v1 nvme-tcp-server-nqn=nqn.x:v1.e1 nvme-tcp-export=yes";

#[tokio::test]
async fn a_failed_command_still_exits_with_status_0() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    let session = login(&simulator, &key).await.expect("may log in");
    assert_eq!(exec(&session, ":put hello").await, Some(("hello\r\n".to_owned(), 0)));
    assert_eq!(exec(&session, "/disk/remove *7").await, Some(("no such item\r\n".to_owned(), 0)));
    let asked: Vec<String> = simulator.journal().into_iter().map(|entry| entry.command).collect();
    assert_eq!(asked, [":put hello", "/disk/remove *7"]);
    session.disconnect(Disconnect::ByApplication, "", "").await.unwrap();
}

#[tokio::test]
async fn only_the_configured_key_logs_in() {
    let (_folder, simulator, _key) = start(Growth::Live).await;
    assert!(login(&simulator, &key()).await.is_none());
}

#[tokio::test]
async fn the_host_key_survives_a_restart() {
    let (folder, simulator, key) = start(Growth::Live).await;
    let before = simulator.host_key_fingerprint();
    drop(simulator);
    let config = Config::new(folder.path().to_owned(), "csi", vec![key.public_key().to_openssh().unwrap()]);
    assert_eq!(Simulator::start(config).await.unwrap().host_key_fingerprint(), before);
}

#[tokio::test]
async fn faults_answer_a_text_take_effect_and_drop_or_never_answer() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    let session = login(&simulator, &key).await.unwrap();
    simulator.fault(Fault::next(Effect::Error("failure: disk is busy".to_owned())));
    assert_eq!(exec(&session, ADD).await.unwrap().0, "failure: disk is busy\r\n");
    assert_eq!(simulator.files(), []);

    simulator.fault(Fault::next_matching(Effect::PerformThenDrop, "/disk/add"));
    assert_eq!(exec(&session, ADD).await, None);
    assert_eq!(simulator.files(), [("/raid1/v1.img".to_owned(), 1 << 20)]);

    let session = login(&simulator, &key).await.unwrap();
    simulator.fault(Fault::next(Effect::Hang));
    let hung = tokio::time::timeout(Duration::from_millis(200), exec(&session, ":put x")).await;
    assert!(hung.is_err());
    assert_eq!(exec(&session, ":put y").await.unwrap().0, "y\r\n", "other channels go on");
}

#[tokio::test]
async fn an_appliance_that_was_down_comes_back_on_the_same_addresses() {
    let (_folder, mut simulator, key) = start(Growth::Live).await;
    let session = login(&simulator, &key).await.unwrap();
    let address = simulator.ssh_addr();
    simulator.down().await;
    assert_eq!(exec(&session, ":put x").await, None);
    simulator.up().await.unwrap();
    assert_eq!(simulator.ssh_addr(), address);
    let session = login(&simulator, &key).await.unwrap();
    assert_eq!(exec(&session, ":put x").await.unwrap().0, "x\r\n");
}

#[tokio::test]
async fn a_storage_session_ends_with_its_name() {
    let (_folder, simulator, _key) = start(Growth::Live).await;
    simulator.console(ADD);
    let (_, refused) = Host::connect(&simulator, "nqn.x:v1.e1").await;
    assert_eq!(refused, json!({ "refused": "no such subsystem" }));
    simulator.console(EXPORT);
    let (mut host, connected) = Host::connect(&simulator, "nqn.x:v1.e1").await;
    assert_eq!(connected["connected"]["size"], 1 << 20);
    assert_eq!(simulator.sessions().len(), 1);
    simulator.console("/disk/set v1 nvme-tcp-server-nqn=nqn.x:v1.e2");
    assert_eq!(host.hear().await, None, "the session is cut");
    let (_, refused) = Host::connect(&simulator, "nqn.x:v1.e1").await;
    assert_eq!(refused, json!({ "refused": "no such subsystem" }));
}

#[tokio::test]
async fn growth_is_pushed_or_seen_only_after_a_reconnect() {
    for (growth, after) in [(Growth::Live, 2 << 20), (Growth::Reconnect, 1 << 20)] {
        let (_folder, simulator, _key) = start(growth).await;
        simulator.console(ADD);
        simulator.console(EXPORT);
        let (mut host, _) = Host::connect(&simulator, "nqn.x:v1.e1").await;
        simulator.console("/disk/set v1 file-size=2097152");
        if growth == Growth::Live {
            assert_eq!(host.hear().await, Some(json!({ "size": 2 << 20 })));
        }
        host.say(&json!({ "rescan": true })).await;
        assert_eq!(host.hear().await, Some(json!({ "size": after })), "{growth:?}");
        let (_, connected) = Host::connect(&simulator, "nqn.x:v1.e1").await;
        assert_eq!(connected["connected"]["size"], 2 << 20);
    }
}

#[tokio::test]
async fn another_process_can_order_faults_and_read_the_journal() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    let mut control = Host(BufReader::new(TcpStream::connect(simulator.control_addr()).await.unwrap()));
    control.say(&json!({ "fault": { "effect": { "error": "failure: no" }, "matching": "put" } })).await;
    assert_eq!(control.hear().await, Some(json!("done")));
    let session = login(&simulator, &key).await.unwrap();
    assert_eq!(exec(&session, ":put x").await.unwrap().0, "failure: no\r\n");
    control.say(&json!("journal")).await;
    assert_eq!(control.hear().await.unwrap()[0]["command"], ":put x");
    control.say(&json!("bogus")).await;
    assert!(control.hear().await.unwrap()["error"].is_string());
}
