//! What is behind the front may be down at any time.

use std::time::{Duration, Instant};

use proto::csi::v1 as csi;
use proto::csi::v1::identity_client::IdentityClient;
use tonic::Code;

use crate::world::{World, create, eventually, within};

#[tokio::test]
async fn a_backend_that_is_down_is_told_within_the_deadline_with_its_address() {
    let mut world = World::bare(true, false).await;
    let limit = Duration::from_secs(10);
    let asked = Instant::now();
    let status = world.controller().create_volume(within(limit, create())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(asked.elapsed() < limit);
    assert!(status.message().contains("backend.sock"), "{status}");
    let probe = IdentityClient::new(world.channel()).probe(csi::ProbeRequest {}).await.expect("answers");
    assert_eq!(probe.into_inner().ready, Some(true), "a pod is not restarted for what is down behind it");
    eventually("readiness names the backend", async || {
        let page = world.page("/readyz").await;
        page.contains("503") && page.contains("rds-backend") && page.contains("backend.sock")
    })
    .await;
    world.start_backend().await;
    eventually("it recovers alone", async || world.page("/readyz").await.contains("200 OK")).await;
    world.controller().create_volume(within(limit, create())).await.expect("created");
}

#[tokio::test]
async fn an_agent_that_is_down_is_told_with_its_address() {
    let world = World::bare(false, true).await;
    let limit = Duration::from_secs(10);
    let status = world.node().node_get_info(within(limit, csi::NodeGetInfoRequest {})).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("agent.sock"), "{status}");
}
