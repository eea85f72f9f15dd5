//! Nothing that could hold data is ever formatted.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::leftovers::Leftovers;
use harness::orchestrator::{Access, Wish};
use harness::{Stack, eventually, needs_root};
use tonic::Code;

use crate::MIB;

/// Small, because its image is read as a whole; xfs wants 300 MiB.
const SIZE: i64 = 320 * MIB;

fn wish(claim: &str) -> Wish {
    Wish::new(claim, Access::Filesystem("xfs"), SIZE)
}

/// Puts something into a volume's image behind the driver's back.
fn plant(image: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).open(image)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

/// An image as it was, beside the stack's other files.
struct Keepsake(PathBuf);

impl Keepsake {
    fn of(image: &Path, root: &Path) -> Result<Self> {
        let copy = root.join("keepsake");
        run(Command::new("cp").arg("--sparse=always").arg(image).arg(&copy))?;
        Ok(Self(copy))
    }

    /// Every byte is as it was.
    fn equals(&self, image: &Path) -> Result<()> {
        run(Command::new("cmp").arg(&self.0).arg(image))
    }
}

/// Runs a tool whose trade is reading hundreds of megabytes.
fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

async fn stays_untouched(claim: &str, at: u64, bytes: &[u8]) -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish(claim)).await?;
    let images = stack.appliance().images()?;
    let image = images.first().context("no image on the appliance")?;
    plant(image, at, bytes)?;
    let before = Keepsake::of(image, stack.root())?;

    let publish = controller.attach(&volume, &a).await?;
    let status = a.stage(&volume, &publish).await.err().context("a volume that holds data was staged")?;
    ensure!(status.code() == Code::FailedPrecondition, "{:?}: {}", status.code(), status.message());
    before.equals(image).context("the image was changed")?;
    ensure!(Leftovers::below(stack.root())?.is_empty(), "a final refusal must leave nothing connected");
    let event = eventually("a FormatRefused event", async || {
        let found = stack.events()?.into_iter().find(|event| event.reason == "FormatRefused");
        found.context("no such event")
    })
    .await?;
    ensure!(event.namespace == "demo" && event.kind == "Warning", "{event:?}");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_with_a_foreign_signature_is_refused_and_not_a_byte_of_it_changes() -> Result<()> {
    if !needs_root("format safety, signature", "that a filesystem of somebody else is never overwritten") {
        return Ok(());
    }
    // The magic number of ext4's superblock, where it belongs.
    stays_untouched("signature", 1080, &[0x53, 0xef]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_merely_not_blank_is_refused_and_not_a_byte_of_it_changes() -> Result<()> {
    if !needs_root("format safety, blank test", "that data without a known signature is never overwritten") {
        return Ok(());
    }
    let last = u64::try_from(SIZE - MIB)?;
    stays_untouched("tail", last, b"a database's last page").await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_backends_answer_nothing_is_formatted() -> Result<()> {
    if !needs_root("format safety, backend down", "that nothing is formatted on the node's own word") {
        return Ok(());
    }
    let mut stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    let publish = controller.attach(&volume, &a).await?;
    let images = stack.appliance().images()?;
    let image = images.first().context("no image on the appliance")?;
    let before = Keepsake::of(image, stack.root())?;
    stack.stop_backend().await?;

    let status = a.stage(&volume, &publish).await.err().context("staged without the backend's word")?;
    ensure!(status.code() == Code::Unavailable, "{:?}: {}", status.code(), status.message());
    before.equals(image).context("the image was changed")?;
    a.unstage(&volume).await?;
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_was_formatted_once_is_never_formatted_again() -> Result<()> {
    if !needs_root("format safety, mark", "that a wiped volume is not taken for a new one") {
        return Ok(());
    }
    let stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    let publish = controller.attach(&volume, &a).await?;
    a.stage(&volume, &publish).await?;
    a.unstage(&volume).await?;
    controller.detach(&volume, &a).await?;
    let images = stack.appliance().images()?;
    let image = images.first().context("no image on the appliance")?;
    // Blank again, as a restored empty image would be. The mark on the appliance says otherwise.
    let file = std::fs::OpenOptions::new().write(true).open(image)?;
    let length = file.metadata()?.len();
    file.set_len(0)?;
    file.set_len(length)?;

    let publish = controller.attach(&volume, &a).await?;
    let status = a.stage(&volume, &publish).await.err().context("formatted a second time")?;
    ensure!(status.code() == Code::FailedPrecondition, "{:?}: {}", status.code(), status.message());
    stack.stop().await
}
