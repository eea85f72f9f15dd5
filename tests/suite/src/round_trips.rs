//! One SSH command each, counted by the appliance.

use anyhow::{Result, ensure};
use harness::Stack;

use crate::{GIB, wish};

/// Runs one call and answers how many commands the appliance was asked to execute.
macro_rules! commands {
    ($stack:expr, $call:expr) => {{
        $stack.appliance().forget_journal().await?;
        let answer = $call.await?;
        let journal = $stack.appliance().journal().await?;
        (answer, journal)
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn create_attach_expand_detach_and_delete_cost_one_ssh_command_each() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, a) = (stack.controller(), stack.node("node-a"));
    // The first volume warms the connection up.
    let warm = controller.create(&wish("warm")).await?;
    controller.delete(&warm).await?;

    let (volume, create) = commands!(stack, controller.create(&wish("data")));
    let (_, attach) = commands!(stack, controller.attach(&volume, &a));
    let (_, expand) = commands!(stack, controller.expand(&volume, 2 * GIB));
    let (_, detach) = commands!(stack, controller.detach(&volume, &a));
    let (_, delete) = commands!(stack, controller.delete(&volume));
    for (name, journal) in
        [("create", create), ("attach", attach), ("expand", expand), ("detach", detach), ("delete", delete)]
    {
        ensure!(journal.len() == 1, "{name} cost {} commands: {journal:#?}", journal.len());
    }
    stack.stop().await
}
