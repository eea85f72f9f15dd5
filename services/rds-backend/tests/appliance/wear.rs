//! Connections age and fall silent: they are doubted before they are used, and replaced without losing what runs.

use std::time::Duration;

use rds_backend::Wear;
use routeros_sim::{Answered, Effect, Entry, Fault};

use crate::world::{World, eventually, order};

/// In front of an appliance, with connections that wear out like this.
async fn worn(wear: Wear) -> World {
    let mut world = World::warm().await;
    world.config.appliances[0].wear = wear;
    world.restart();
    world.until_connected().await;
    world.sim.clear_journal();
    world
}

/// The one command that makes a disk, as soon as it was asked.
fn create(world: &World) -> Option<Entry> {
    let mut asked = world.sim.journal().into_iter().filter(|entry| entry.command.contains("/disk/add"));
    let create = asked.next();
    assert!(asked.next().is_none(), "a disk is made by one command");
    create
}

#[tokio::test]
async fn an_old_connection_is_replaced_and_what_runs_over_it_comes_to_its_end() {
    let wear = Wear { look: Duration::from_millis(20), age: Duration::from_millis(300), ..Wear::default() };
    let world = worn(wear).await;
    // Slower than a connection becomes old, twice.
    world.sim.fault(Fault::next_matching(Effect::DelayMs(800), "/disk/add"));
    let (made, ()) = tokio::join!(world.create(order("pvc-1")), async {
        eventually(async || create(&world).is_some()).await;
        let first = create(&world).unwrap().connection;
        eventually(async || world.sim.journal().iter().any(|entry| entry.connection > first)).await;
        assert_eq!(create(&world).unwrap().outcome, Answered::Running, "replaced meanwhile");
    });
    let made = made.unwrap();
    assert!(made.created);
    let create = create(&world).unwrap();
    assert_eq!(create.outcome, Answered::Ok, "its connection stayed until it had ended");
    world.attach(&made.volume.unwrap().handle, "node-a").await.unwrap();
    let last = world.sim.journal().pop().unwrap();
    assert!(last.connection > create.connection, "what came later went over the new one");
}

#[tokio::test]
async fn a_connection_that_was_quiet_is_asked_for_a_sign_of_life_before_it_is_used() {
    let wear = Wear { idle: Duration::from_millis(50), look: Duration::from_secs(3600), ..Wear::default() };
    let world = worn(wear).await;
    quiet_for_more_than(wear.idle).await;
    // The first question on it is never answered, as on a link that a firewall has forgotten.
    world.sim.fault(Fault::next_matching(Effect::Hang, ""));
    let made = world.create(order("pvc-1")).await.unwrap();
    assert!(made.created, "by another connection, within the call");
    let journal = world.sim.journal();
    assert!(
        journal[0].verb.is_empty() && journal[0].changes == 0,
        "the question asks nothing: {:?}",
        journal[0]
    );
    assert!(create(&world).unwrap().connection > journal[0].connection, "nothing was sent into the silence");
}

/// Lets the connection be quiet for longer than `idle`.
async fn quiet_for_more_than(idle: Duration) {
    let until = tokio::time::Instant::now() + 2 * idle;
    eventually(async || tokio::time::Instant::now() >= until).await;
}
