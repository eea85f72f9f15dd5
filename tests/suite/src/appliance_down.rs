//! The appliance is down when the services start: they start, say so, answer in time, and recover alone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::observatory::observatory;
use harness::orchestrator::call_within;
use harness::{Stack, eventually, readiness};
use tonic::Code;

use crate::wish;

#[tokio::test(flavor = "multi_thread")]
async fn without_the_appliance_the_services_start_say_why_answer_in_time_and_recover_alone() -> Result<()> {
    let mut stack = Stack::without_appliance().await?;
    let mut controller = stack.controller();
    let address = stack.appliance().addresses().ssh.to_string();

    let why = eventually("readiness that says why", async || {
        let why =
            readiness::ready(stack.backend_admin()).await.err().context("ready without an appliance")?;
        let why = format!("{why:#}");
        ensure!(why.contains("rds1"), "{why}");
        Ok(why)
    })
    .await?;
    ensure!(why.contains(&address), "the address is not named: {why}");
    ensure!(
        readiness::get(stack.backend_admin(), "/healthz").await?.0 == 200,
        "liveness must not depend on it"
    );

    let limit = Duration::from_secs(4);
    let clock = Instant::now();
    let status = controller.csi.create_volume(call_within(limit, wish("data").create())).await.err();
    let status = status.context("created without an appliance")?;
    ensure!(clock.elapsed() < limit + Duration::from_secs(1), "answered after {:?}", clock.elapsed());
    ensure!(status.code() == Code::Unavailable, "{:?}: {}", status.code(), status.message());
    ensure!(status.message().contains(&address), "no address in: {}", status.message());

    let first = status.message().rsplit_once("trace ").map(|(_, id)| id.trim_end_matches(')').to_owned());
    let first = first.with_context(|| format!("no trace id in: {}", status.message()))?;
    stack.appliance_mut().up().await?;
    eventually("the backend is ready again", async || readiness::ready(stack.backend_admin()).await).await?;
    controller.create(&wish("data")).await?;
    eventually("the second try points at the first", async || {
        let spans = observatory().spans();
        ensure!(
            spans.iter().any(|span| span.name == "CreateVolume" && span.links.contains(&first)),
            "no link"
        );
        Ok(())
    })
    .await?;
    stack.stop().await
}
