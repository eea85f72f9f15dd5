//! A service that is asked to stop finishes what runs, and what it reports of that still arrives.

use anyhow::{Context, Result, ensure};
use harness::{Stack, eventually, needs_root};

use crate::wish;

/// Long enough that the service is asked to stop before the appliance answers.
const SLOW_MS: u64 = 1500;

async fn arrives(stack: &Stack, reason: &str) -> Result<()> {
    eventually(reason, async || {
        stack.events()?.into_iter().find(|event| event.reason == reason).context("no such event")
    })
    .await
    .map(|_| ())
}

/// Returns when the appliance works on a command with this text.
async fn asked(stack: &Stack, text: &str) -> Result<()> {
    eventually("the appliance is asked", async || {
        let journal = stack.appliance().journal().await?;
        ensure!(journal.iter().any(|command| command.contains(text)), "not in {journal:#?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_stops_finishes_the_volume_it_is_making_and_its_event_arrives() -> Result<()> {
    let mut stack = Stack::start().await?;
    let mut controller = stack.controller();
    stack.appliance().delay("/disk/add", SLOW_MS).await?;
    let creating = tokio::spawn(async move { controller.create(&wish("data")).await });
    asked(&stack, "/disk/add").await?;
    ensure!(stack.events()?.is_empty(), "it was not asked in the middle: {:?}", stack.events()?);
    stack.stop_backend().await?;
    creating.await?.context("the call was cut")?;
    arrives(&stack, "Provisioned").await?;
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stops_finishes_the_volume_it_is_staging_and_its_event_arrives() -> Result<()> {
    if !needs_root("shutdown of the agent", "that the events of its last operation arrive") {
        return Ok(());
    }
    let mut stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    let publish = controller.attach(&volume, &a).await?;
    stack.appliance().forget_journal().await?;
    stack.appliance().delay("", SLOW_MS).await?;
    let staging = tokio::spawn(async move { a.stage(&volume, &publish).await });
    // The agent's first question, before it formats.
    asked(&stack, "").await?;
    ensure!(
        !stack.events()?.iter().any(|event| event.reason == "Formatted"),
        "it was not asked in the middle"
    );
    stack.stop_agents().await?;
    staging.await?.context("the call was cut")?;
    arrives(&stack, "Formatted").await
    // What is staged goes with the stack: there is no agent left to unstage it.
}
