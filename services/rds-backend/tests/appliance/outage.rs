//! Lost answers, an appliance that is down, and what must not be trusted.

use std::time::Duration;

use proto::fault::Reason;
use proto::rds::volume::v1::DeleteVolumeRequest;
use routeros_sim::{Effect, Fault};

use crate::world::{World, answer, eventually, node_id, order, within};

/// Lets the next command that contains `text` take effect and its answer be lost.
fn lose(world: &World, text: &str) {
    world.sim.fault(Fault::next_matching(Effect::PerformThenDrop, text));
}

#[tokio::test]
async fn a_lost_answer_is_found_out_and_nothing_is_done_twice() {
    let world = World::warm().await;
    lose(&world, "/disk/add");
    let made = world.create(order("pvc-1")).await.unwrap();
    assert!(made.created);
    let handle = made.volume.unwrap().handle;
    assert_eq!(world.sim.files().len(), 1);

    lose(&world, "nvme-tcp-export=yes");
    let attached = world.attach(&handle, "node-a").await.unwrap();
    assert_eq!((attached.attached, attached.epoch), (true, 1), "one owner, one epoch");

    lose(&world, "nvme-tcp-export=no");
    let detached = world.detach(&handle, "node-a").await.unwrap();
    assert!(detached.detached && !detached.still_exported);

    lose(&world, "/disk/remove");
    let request = DeleteVolumeRequest { handle };
    let deleted =
        answer(world.volumes().delete_volume(within(Duration::from_secs(20), request)).await).unwrap();
    assert!(deleted.deleted && world.sim.files().is_empty());
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_effect_costs_a_round_and_no_more() {
    let world = World::warm().await;
    world.sim.fault(Fault::next_matching(Effect::Drop, "/disk/add"));
    assert!(world.create(order("pvc-1")).await.unwrap().created);
    assert_eq!(world.sim.files().len(), 1);
}

#[tokio::test]
async fn an_appliance_that_takes_connections_and_says_nothing_is_named_before_the_deadline() {
    let mut world = World::warm().await;
    let address = world.sim.ssh_addr();
    world.sim.down().await;
    // The kernel completes the handshake; nobody ever speaks.
    let _silent = tokio::net::TcpListener::bind(address).await.unwrap();
    for _ in 0..2 {
        let begun = tokio::time::Instant::now();
        let request = within(Duration::from_secs(2), order("pvc-1"));
        let fault = answer(world.volumes().ensure_volume(request).await).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!((fault.reason, fault.settled), (Reason::ApplianceUnreachable, false), "{fault}");
        assert!(fault.message.contains(&address.to_string()), "{fault}");
    }
}

#[tokio::test]
async fn a_command_that_never_answers_ends_at_the_deadline_and_settles_nothing() {
    let world = World::warm().await;
    world.sim.fault(Fault { matching: "/disk/add".to_owned(), ..Fault::always(Effect::Hang) });
    let begun = tokio::time::Instant::now();
    let request = within(Duration::from_secs(3), order("pvc-1"));
    let fault = answer(world.volumes().ensure_volume(request).await).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let waits = [Reason::DeadlineExceeded, Reason::ApplianceUnreachable].contains(&fault.reason);
    assert!(waits && !fault.settled, "{fault}");
    let address = world.sim.ssh_addr().to_string();
    assert!(fault.message.contains(&address), "{address} is not named: {fault}");
    world.sim.clear_faults();
    // The operation holds the volume until its own deadline.
    eventually(async || match world.create(order("pvc-1")).await {
        Ok(made) => made.created,
        Err(fault) => {
            assert_eq!(fault.reason, Reason::Busy, "{fault}");
            false
        }
    })
    .await;
}

#[tokio::test]
async fn a_command_that_hangs_once_is_asked_again_within_the_deadline() {
    let world = World::warm().await;
    world.sim.fault(Fault::next_matching(Effect::Hang, "/disk/add"));
    let request = within(Duration::from_secs(6), order("pvc-1"));
    assert!(answer(world.volumes().ensure_volume(request).await).unwrap().created);
}

#[tokio::test]
async fn a_second_call_for_a_busy_volume_is_told_so_at_once() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.sim.fault(Fault::next_matching(Effect::DelayMs(1000), "nvme-tcp-export=yes"));
    let (first, second) = tokio::join!(world.attach(&handle, "node-a"), async {
        let asked = |entry: &routeros_sim::Entry| entry.command.contains("nvme-tcp-export=yes");
        eventually(async || world.sim.journal().iter().any(asked)).await;
        world.attach(&handle, "node-b").await
    });
    assert!(first.is_ok());
    let fault = second.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::Busy, false));
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_cut_the_operation() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.sim.fault(Fault::next_matching(Effect::DelayMs(500), "nvme-tcp-export=yes"));
    let cut = tokio::time::timeout(Duration::from_millis(200), world.attach(&handle, "node-a")).await;
    assert!(cut.is_err());
    eventually(async || world.row(&handle).unwrap()["nvme-tcp-export"] == true).await;
}

#[tokio::test]
async fn an_appliance_that_is_down_at_the_start_is_named_with_its_address_and_used_when_it_comes() {
    let mut world = World::start(|_| {}).await;
    world.sim.down().await;
    world.restart();
    let address = world.sim.ssh_addr().to_string();
    let give_up = tokio::time::Instant::now() + Duration::from_secs(10);
    let status = loop {
        let status = world.status().await;
        assert!(!status.reachable);
        if status.problem.contains("refused") || tokio::time::Instant::now() > give_up {
            break status;
        }
    };
    assert!(
        status.problem.contains(&address) && status.problem.contains("connection refused"),
        "{}",
        status.problem
    );
    let begun = tokio::time::Instant::now();
    let fault = world.create(order("pvc-1")).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::ApplianceUnreachable, false));
    assert!(fault.message.contains(&address), "{fault}");
    assert!(begun.elapsed() < Duration::from_secs(10));

    world.sim.up().await.unwrap();
    world.until_connected().await;
    assert!(world.create(order("pvc-1")).await.unwrap().created);
}

#[tokio::test]
async fn an_appliance_that_restarts_is_found_again() {
    let mut world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.sim.down().await;
    world.sim.up().await.unwrap();
    world.until_connected().await;
    assert_eq!(world.attach(&handle, "node-a").await.unwrap().epoch, 1);
}

#[tokio::test]
async fn another_host_key_than_the_pinned_one_is_refused_and_both_are_named() {
    let mut world = World::warm().await;
    let offered = world.sim.host_key_fingerprint();
    let expected = format!("SHA256:{}", "A".repeat(43));
    world.config.appliances[0].host_keys = vec![expected.parse().unwrap()];
    world.restart();
    let give_up = tokio::time::Instant::now() + Duration::from_secs(10);
    let fault = loop {
        let fault = world.create(order("pvc-1")).await.unwrap_err();
        if fault.reason == Reason::ApplianceRefused || tokio::time::Instant::now() > give_up {
            break fault;
        }
    };
    assert_eq!((fault.reason, fault.settled), (Reason::ApplianceRefused, false), "{fault}");
    assert!(fault.message.contains(&offered) && fault.message.contains(&expected), "{fault}");
    assert!(world.sim.files().is_empty());
}

#[tokio::test]
async fn an_appliance_below_the_floor_is_not_used_and_one_with_holes_is_warned_about() {
    let old = World::start(|config| config.version = "7.20.8 (stable)".to_owned()).await;
    let fault = old.create(order("pvc-1")).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::ApplianceRefused, false), "{fault}");
    assert!(fault.message.contains("7.20.8") && fault.message.contains("7.21"), "{fault}");

    let holes = World::start(|config| config.version = "7.24.1 (stable)".to_owned()).await;
    holes.until_connected().await;
    let status = holes.status().await;
    assert_eq!(status.version, "7.24.1 (stable)");
    assert!(
        status.warnings.iter().any(|warning| warning.contains("CVE-2026-67276")),
        "{:?}",
        status.warnings
    );
    assert!(holes.create(order("pvc-1")).await.is_ok());
}

#[tokio::test]
async fn the_status_counts_our_volumes_and_shows_the_pool() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.sim.console("/disk/add type=file slot=strange file-path=raid1/strange.img file-size=1048576");
    let status = world.status().await;
    assert_eq!((status.volumes, status.reachable, status.problem.as_str()), (1, true, ""));
    let pool = &status.pools[0];
    assert_eq!((pool.slot.as_str(), pool.filesystem.as_str(), pool.healthy), ("raid1", "xfs", true));
    assert!(pool.free_bytes < pool.size_bytes && pool.reserve_bytes == 1 << 30);
    assert!(handle.starts_with("rds1/csi-") && !node_id("a").is_empty());
}

#[tokio::test]
async fn an_appliance_with_an_rsa_host_key_is_used() {
    // RouterOS makes RSA host keys by default.
    let openssl = std::process::Command::new("openssl").args(["genrsa", "-traditional", "3072"]).output();
    let Some(made) = openssl.ok().filter(|made| made.status.success()).map(|made| made.stdout) else {
        let told = b"LEFT OUT rsa host keys: openssl is not installed; not proven here: RSA host keys\n";
        std::io::Write::write_all(&mut std::io::stderr(), told).unwrap();
        return;
    };
    let world = World::start(|config| {
        std::fs::create_dir_all(&config.state_dir).unwrap();
        std::fs::write(config.state_dir.join("host_key"), &made).unwrap();
    })
    .await;
    world.until_connected().await;
    assert!(world.create(order("pvc-1")).await.unwrap().created);
}
