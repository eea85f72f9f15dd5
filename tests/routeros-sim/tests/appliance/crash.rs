//! Stops at any change, lost replies, reboots, costs: what a crash matrix needs.

use std::time::{Duration, Instant};

use routeros_sim::{Answered, Config, Costs, Effect, Fault, Growth, Simulator};
use serde_json::json;

use crate::client::{control, eventually, exec, login, start, start_with};

const THREE: &str = "/disk/add type=file slot=v1 file-path=raid1/v1.img file-size=1048576; \
                     /disk/set v1 nvme-tcp-server-nqn=nqn.x nvme-tcp-export=yes; /disk/set v1 comment=done; :put end";

/// How far the script came: nothing, added, exported, commented.
fn progress(simulator: &Simulator) -> usize {
    let rows = simulator.disks();
    match rows.iter().find(|row| row["slot"] == "v1") {
        None => 0,
        Some(row) if row["comment"] == "done" => 3,
        Some(row) if row["nvme-tcp-export"] == true => 2,
        Some(_) => 1,
    }
}

fn outcome(simulator: &Simulator) -> Answered {
    simulator.journal().last().unwrap().outcome
}

#[tokio::test]
async fn a_script_stops_for_good_after_as_many_changes_as_it_may_make() {
    for changes in 0..=4 {
        let (_folder, simulator, key) = start(Growth::Live).await;
        let session = login(&simulator, &key).await.unwrap();
        simulator.fault(Fault::next(Effect::StopAfter(changes)));
        let answer = exec(&session, THREE).await;
        assert_eq!(progress(&simulator), 3.min(changes as usize));
        if changes < 4 {
            assert_eq!((answer, outcome(&simulator)), (None, Answered::Lost), "{changes}");
        } else {
            assert_eq!(answer.unwrap().0, "end\r\n", "it makes fewer changes and is not touched");
        }
        assert_eq!(simulator.journal()[0].changes, changes.min(3));
        let session = login(&simulator, &key).await.unwrap();
        assert_eq!(exec(&session, ":put again").await.unwrap().0, "again\r\n");
    }
}

#[tokio::test]
async fn a_script_goes_on_to_its_end_after_its_connection_was_cut_in_the_middle() {
    for changes in 0..3 {
        let (_folder, simulator, key) = start(Growth::Live).await;
        let session = login(&simulator, &key).await.unwrap();
        simulator.fault(Fault::next_matching(Effect::DropAfter(changes), "/disk/add"));
        assert_eq!(exec(&session, THREE).await, None);
        eventually(async || outcome(&simulator) != Answered::Running).await;
        assert_eq!((progress(&simulator), outcome(&simulator)), (3, Answered::Lost));
    }
}

#[tokio::test]
async fn a_script_that_hangs_after_a_change_never_goes_on_and_leaves_the_connection_alone() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    let session = login(&simulator, &key).await.unwrap();
    simulator.fault(Fault::next(Effect::HangAfter(1)));
    let hung = tokio::time::timeout(Duration::from_millis(300), exec(&session, THREE)).await;
    assert!(hung.is_err());
    assert_eq!(progress(&simulator), 1);
    assert_eq!(exec(&session, ":put y").await.unwrap().0, "y\r\n", "other channels go on");
}

#[tokio::test]
async fn a_late_script_runs_although_its_connection_is_long_gone() {
    let (_folder, mut simulator, key) = start(Growth::Live).await;
    let session = login(&simulator, &key).await.unwrap();
    simulator.fault(Fault::next(Effect::DelayMs(300)));
    let hung = tokio::time::timeout(Duration::from_millis(100), exec(&session, THREE)).await;
    assert!(hung.is_err());
    drop(session);
    simulator.down().await;
    assert_eq!(progress(&simulator), 0);
    eventually(async || progress(&simulator) == 3).await;
}

#[tokio::test]
async fn nothing_catches_a_stop() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    let session = login(&simulator, &key).await.unwrap();
    simulator.fault(Fault::next(Effect::StopAfter(1)));
    let caught = format!(":onerror zE in={{ {THREE} }} do={{ :put $zE }}; /disk/remove v1");
    assert_eq!(exec(&session, &caught).await, None);
    assert_eq!(progress(&simulator), 1);
}

#[tokio::test]
async fn a_reboot_stops_scripts_cuts_sessions_and_gives_new_ids() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    simulator.console(THREE);
    let id = |simulator: &Simulator| simulator.disks().last().unwrap()[".id"].clone();
    let before = id(&simulator);
    let session = login(&simulator, &key).await.unwrap();
    let waiting = exec(&session, ":delay 60s; /disk/remove v1");
    let (lost, ()) = tokio::join!(waiting, async {
        eventually(async || simulator.journal().len() == 1).await;
        simulator.reboot(0).await;
    });
    assert_eq!(lost, None);
    eventually(async || tokio::net::TcpStream::connect(simulator.ssh_addr()).await.is_ok()).await;
    assert_eq!(progress(&simulator), 3, "exported rows stay as configured");
    assert_ne!(id(&simulator), before);
    assert_eq!(outcome(&simulator), Answered::Lost);
    let session = login(&simulator, &key).await.unwrap();
    assert_eq!(exec(&session, ":put ([/system/resource/get uptime] < 30s)").await.unwrap().0, "true\r\n");
}

#[tokio::test]
async fn a_command_reboots_it_too() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    let session = login(&simulator, &key).await.unwrap();
    assert_eq!(exec(&session, "/system/reboot").await, None);
    assert!(tokio::net::TcpStream::connect(simulator.ssh_addr()).await.is_err());
    eventually(async || tokio::net::TcpStream::connect(simulator.ssh_addr()).await.is_ok()).await;
}

#[tokio::test]
async fn costs_of_different_channels_overlap_unless_changes_wait_for_each_other() {
    for serial in [false, true] {
        let (_folder, simulator, key) = start(Growth::Live).await;
        let session = login(&simulator, &key).await.unwrap();
        simulator.set_costs(Costs { change_ms: 400, serial_changes: serial, ..Costs::default() });
        let add = |n: u32| format!("/disk/add type=file slot=s{n} file-path=raid1/s{n}.img file-size=1");
        let (a, b, c) = (add(1), add(2), add(3));
        let began = Instant::now();
        let all = tokio::join!(exec(&session, &a), exec(&session, &b), exec(&session, &c));
        assert_eq!(all.0.unwrap().0, "");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(if serial { 1200 } else { 400 }), "{took:?}");
        assert!(serial || took < Duration::from_millis(1190), "{took:?}");
    }
}

#[tokio::test]
async fn a_walk_over_all_files_costs_by_their_number_and_a_name_costs_nothing() {
    let (_folder, simulator, key) = start_with(|config| config.costs.walk_us = 100_000).await;
    for n in 0..4 {
        simulator.console(&format!("/disk/add type=file slot=s{n} file-path=raid1/s{n}.img file-size=1"));
    }
    let session = login(&simulator, &key).await.unwrap();
    let began = Instant::now();
    assert_eq!(exec(&session, ":put [:len [/file/find where type=\".img file\"]]").await.unwrap().0, "4\r\n");
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(exec(&session, ":put [/file/get \"raid1/s1.img\" size]").await.unwrap().0, "1\r\n");
    let entries = simulator.journal();
    assert!(entries[0].duration_ms >= 400 && entries[1].duration_ms < 400, "{entries:?}");
}

#[tokio::test]
async fn the_state_is_there_again_after_a_restart_and_the_configured_pools_win() {
    let (folder, simulator, key) = start(Growth::Live).await;
    simulator.console(THREE);
    let rows = |simulator: &Simulator| -> Vec<serde_json::Value> {
        let mut rows = simulator.disks();
        rows.retain(|row| row["type"] == "file");
        rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove(".id")));
        rows
    };
    let before = rows(&simulator);
    drop(simulator);
    let mut config =
        Config::new(folder.path().to_owned(), "csi", vec![key.public_key().to_openssh().unwrap()]);
    config.pools[0].size = 1 << 30;
    let simulator = Simulator::start(config).await.unwrap();
    assert_eq!(rows(&simulator), before);
    assert_eq!(simulator.console(":put [/disk/get raid1 size]"), "1073741824\r\n");
}

#[tokio::test]
async fn the_journal_tells_round_trips_apart() {
    let (_folder, simulator, key) = start(Growth::Live).await;
    let first = login(&simulator, &key).await.unwrap();
    exec(&first, ":put [/disk/print as-value]").await;
    exec(&first, "/disk/remove *99").await;
    let second = login(&simulator, &key).await.unwrap();
    exec(&second, THREE).await;
    let seen: Vec<_> = simulator
        .journal()
        .into_iter()
        .map(|entry| (entry.verb, entry.changes, entry.connection, entry.channel, entry.outcome))
        .collect();
    let expected = [
        ("disk/print".to_owned(), 0, 1, 1, Answered::Ok),
        ("disk/remove".to_owned(), 0, 1, 2, Answered::Error),
        ("disk/add".to_owned(), 3, 2, 1, Answered::Ok),
    ];
    assert_eq!(seen, expected);
    let over_control = control(&simulator, &json!("journal")).await;
    assert_eq!(over_control[2]["changes"], 3);
}
