//! An appliance in trouble: reboots, hangs, refuses; and text that tries to be a command.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::{EnsureVolumeRequest, GetVolumeRequest};
use routeros_sim::{Effect, Pool, PoolChange};
use tokio::task::JoinSet;

use crate::world::{World, answer, eventually, order, within};

const MIB: u64 = 1 << 20;

fn small(name: &str) -> EnsureVolumeRequest {
    EnsureVolumeRequest { required_bytes: MIB, ..order(name) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_in_the_middle_of_fifty_operations_gives_no_wrong_answer() {
    let world = World::warm().await;
    world.sim.set_costs(routeros_sim::Costs {
        exec_ms: 100,
        change_ms: 20,
        ..routeros_sim::Costs::default()
    });
    let mut creating = JoinSet::new();
    for number in 0..50 {
        let mut client = world.volumes();
        creating.spawn(async move {
            let request = within(Duration::from_secs(8), small(&format!("pvc-{number}")));
            answer(client.ensure_volume(request).await)
        });
    }
    eventually(async || world.sim.files().len() > 5).await;
    world.sim.reboot(1).await;
    let mut made = 0;
    for result in creating.join_all().await {
        match result {
            Ok(_) => made += 1,
            Err(fault) => assert!(!fault.settled, "what is not known is not settled: {fault}"),
        }
    }
    let connections: BTreeSet<u64> = world.sim.journal().iter().map(|entry| entry.connection).collect();
    assert!(connections.len() <= 4, "{} connections, {made} made", connections.len());
    world.sim.set_costs(routeros_sim::Costs::default());
    world.until_connected().await;
    let mut handles = BTreeSet::new();
    for number in 0..50 {
        handles.insert(world.volume_of(small(&format!("pvc-{number}"))).await);
    }
    assert_eq!((handles.len(), world.sim.files().len()), (50, 50), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_that_hangs_holds_up_no_other_volume() {
    let world = World::warm().await;
    let handle = world.volume("pvc-0").await;
    let slot = handle.split_once('/').unwrap().1.to_owned();
    world.sim.fault(routeros_sim::Fault { matching: slot, ..routeros_sim::Fault::always(Effect::Hang) });
    let mut stuck = world.volumes();
    let request = GetVolumeRequest { handle: handle.clone() };
    let hanging =
        tokio::spawn(async move { stuck.get_volume(within(Duration::from_secs(60), request)).await });
    for number in 1..30 {
        let request = within(Duration::from_secs(5), small(&format!("pvc-{number}")));
        answer(world.volumes().ensure_volume(request).await).unwrap();
    }
    assert!(!hanging.is_finished(), "it hangs all the while");
    hanging.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_appliance_that_is_dead_slows_no_other() {
    let mut world = World::warm().await;
    let mut dead = world.config.appliances[0].clone();
    dead.name = "dead".parse().unwrap();
    // Takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    dead.ssh = silent.local_addr().unwrap().to_string();
    world.config.appliances.push(dead);
    world.restart();
    eventually(async || world.create(small("warm")).await.is_ok()).await;
    let mut waiting = JoinSet::new();
    for number in 0..20 {
        let mut client = world.volumes();
        let request =
            EnsureVolumeRequest { appliance: "dead".to_owned(), ..small(&format!("dead-{number}")) };
        waiting.spawn(
            async move { answer(client.ensure_volume(within(Duration::from_secs(3), request)).await) },
        );
    }
    for number in 0..20 {
        let request = within(Duration::from_secs(2), small(&format!("pvc-{number}")));
        answer(world.volumes().ensure_volume(request).await).unwrap();
    }
    for result in waiting.join_all().await {
        let fault = result.unwrap_err();
        assert_eq!((fault.reason, fault.settled), (Reason::ApplianceUnreachable, false), "{fault}");
        assert!(fault.message.contains("dead"), "{fault}");
    }
}

/// The fault of making a volume.
async fn refused(world: &World) -> Fault {
    answer(world.volumes().ensure_volume(within(Duration::from_secs(5), order("pvc-1"))).await).unwrap_err()
}

/// What an operator has to do about each trouble is said, each in words of its own. `docs/errors.md` lists them.
#[tokio::test(flavor = "multi_thread")]
async fn every_trouble_has_a_message_of_its_own_that_says_what_to_do() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md")).unwrap();
    let mut seen = BTreeSet::new();
    let mut check = |what: &str, fault: &Fault, words: &[&str]| {
        for word in words {
            assert!(fault.message.contains(word), "{what}: {word:?} is not in: {fault}");
            assert!(page.contains(word), "{what}: docs/errors.md does not say {word:?}");
        }
        assert!(fault.message.contains("rds1"), "{what}: {fault}");
        assert!(seen.insert(words.join(" ")), "{what} has no words of its own");
    };

    let mut world = World::warm().await;
    world.config.appliances[0].host_keys =
        vec!["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".parse().unwrap()];
    world.restart();
    check("wrong host key", &refused(&world).await, &["the host key is", "configure the new fingerprint"]);

    let mut world = World::warm().await;
    world.config.appliances[0].user = "nobody".to_owned();
    world.restart();
    check("wrong user key", &refused(&world).await, &["is refused; import the public key"]);

    let world = World::start(|sim| sim.version = "7.20.8 (long-term)".to_owned()).await;
    check("too low a version", &refused(&world).await, &["is below 7.21"]);

    let world = World::warm().await;
    world.sim.set_policies("ssh,read,test");
    check("missing policy", &refused(&world).await, &["not enough permissions", "the user's group needs"]);

    let world = World::warm().await;
    world.sim.fill_pools();
    check("full pool", &refused(&world).await, &["the pool has only", "free space or ask for less"]);

    let world = World::warm().await;
    let state = |state: Option<&str>, mounted| PoolChange {
        slot: "raid1".to_owned(),
        state: state.map(str::to_owned),
        mounted,
        ..PoolChange::default()
    };
    assert!(world.sim.change_pool(&state(Some("degraded"), None)));
    check("degraded RAID", &refused(&world).await, &["the pool cannot be used: degraded"]);
    assert!(world.sim.change_pool(&state(Some("clean"), Some(false))));
    check("unmounted pool", &refused(&world).await, &["the pool cannot be used: not mounted"]);

    let world = World::start(|sim| sim.max_sessions = 0).await;
    check("too many sessions", &refused(&world).await, &["max-sessions"]);

    let mut world = World::warm().await;
    world.sim.down().await;
    check("switched off", &refused(&world).await, &["connection refused", "check the address"]);

    let world = World::start(|sim| sim.pools = vec![Pool::new("other", "xfs", 1 << 40)]).await;
    world.until_connected().await;
    check("no such pool", &refused(&world).await, &["the pool cannot be used: missing"]);
}
