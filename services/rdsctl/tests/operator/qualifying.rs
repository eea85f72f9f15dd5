//! `rdsctl appliance qualify`, from the yes to the cleaning up.

use anyhow::{Context as _, Result, ensure};
use harness::Stack;

use crate::program::{interrupted, rdsctl};

const QUALIFY: [&str; 5] = ["appliance", "qualify", "rds1", "--size", "16Mi"];
/// What the backend makes begins with this.
const SCRATCH: &str = "rds-qualify-";

/// Rows and files that a qualification has made and not removed.
async fn scratch(stack: &Stack) -> Result<Vec<String>> {
    let disks = stack.appliance().disks().await?;
    let slots = disks.iter().filter_map(|row| row["slot"].as_str()).map(str::to_owned);
    let images = stack.appliance().images()?;
    let files = images.iter().map(|path| path.display().to_string());
    Ok(slots.chain(files).filter(|name| name.contains(SCRATCH)).collect())
}

async fn eventually_clean(stack: &Stack) -> Result<()> {
    harness::eventually("nothing is left", async || {
        let left = scratch(stack).await?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_is_qualified_after_a_yes_and_the_transcript_is_written() -> Result<()> {
    let stack = Stack::start().await?;
    let file = stack.root().join("transcript.txt");
    let file = file.to_str().context("a path")?;
    let qualify = [&QUALIFY[..], &["--transcript", file]].concat();
    let (code, _, err) = rdsctl(&stack, &qualify).await?;
    ensure!(code == 2 && err.contains("--yes"), "{code} {err}");
    let (code, text, err) = rdsctl(&stack, &[&qualify[..], &["--yes"]].concat()).await?;
    ensure!(code == 0 && text.contains("is everything removed again"), "{code} {text} {err}");
    ensure!(text.contains(" 0 not fine"), "{text}");
    let progress = err.lines().filter(|line| line.starts_with("fine      ")).count();
    ensure!(progress > 20, "progress: {err}");
    let transcript = std::fs::read_to_string(file)?;
    ensure!(
        transcript.starts_with("# kind: real hardware\n") && transcript.contains("\n# routeros: 7."),
        "{transcript}"
    );
    ensure!(transcript.contains("\n> /disk/add") && !transcript.contains("127.0.0.1"), "{transcript}");
    let turns = transcript.lines().filter(|line| line.starts_with("> ")).count();
    ensure!(turns == progress, "a turn for each finding: {turns} of {progress}");
    ensure!(scratch(&stack).await?.is_empty(), "something is left");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_interrupts_it_leaves_a_clean_appliance_and_keeps_what_was_found() -> Result<()> {
    let stack = Stack::start().await?;
    let file = stack.root().join("transcript.txt");
    let file = file.to_str().context("a path")?;
    stack.appliance().slow(50).await?;
    let qualify = [&QUALIFY[..], &["--transcript", file, "--yes"]].concat();
    let (code, err) = interrupted(&stack, &qualify, "how long does a new disk take").await?;
    ensure!(code == 1 && err.contains("broken off"), "{code} {err}");
    let transcript = std::fs::read_to_string(file)?;
    ensure!(
        transcript.contains("broken off") && transcript.contains("how long does a new disk"),
        "{transcript}"
    );
    eventually_clean(&stack).await?;
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_broken_off_and_cleaned_up() -> Result<()> {
    let stack = Stack::start().await?;
    stack.appliance().slow(200).await?;
    let qualify = [&QUALIFY[..], &["--timeout", "4", "--yes"]].concat();
    let (code, text, err) = rdsctl(&stack, &qualify).await?;
    ensure!(code == 1 && err.contains("--timeout gives it longer"), "{code} {err}");
    ensure!(text.contains("does it know"), "what was found is printed: {text}");
    eventually_clean(&stack).await?;
    stack.stop().await
}
