//! The story: one volume from its claim to its end, told as it happens.
//!
//! Each act does one thing an operator would want to see, proves it by looking (a checksum, statfs, the portal's
//! answer, /proc/mounts), and says so in one line.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use proto::size::ByteSize;
use tonic::{Code, Status};
use tracing::Instrument;

use super::machine;
use super::narrator::{Narrator, brief};
use crate::appliance::Appliance;
use crate::leftovers::Leftovers;
use crate::operator::Operator;
use crate::orchestrator::{Access, Controller, Node, PublishContext, Volume, Wish};
use crate::portal::{self, Admission};
use crate::settings::APPLIANCE;

const GIB: i64 = 1 << 30;
/// What is written to the volume, in bytes.
const DATA: u64 = 64 << 20;
const POD_A: &str = "11111111-aaaa-4000-8000-000000000001";
const POD_B: &str = "22222222-bbbb-4000-8000-000000000002";

/// Everything the story needs.
pub(crate) struct Play<'a> {
    pub(crate) narrator: &'a mut Narrator,
    pub(crate) controller: Controller,
    pub(crate) a: Node,
    pub(crate) b: Node,
    pub(crate) appliance: &'a Appliance,
    pub(crate) operator: Operator,
    pub(crate) root: &'a Path,
}

/// A volume in use: where, by which pod, under which name.
struct InUse {
    volume: Volume,
    publish: PublishContext,
    path: PathBuf,
}

impl Play<'_> {
    /// Plays it all. Answers the id of the trace that is worth showing.
    pub(crate) async fn run(&mut self) -> Result<String> {
        self.narrator.heading("One volume for the claim demo/data, from create to delete");
        let (on_a, trace) = self.bring().await?;
        let checksum = self.write(&on_a)?;
        let on_b = self.move_to_b(on_a, &checksum).await?;
        self.measure(&on_b).await?;
        self.grow(&on_b).await?;
        self.refuse_second_node(&on_b).await?;
        self.look().await?;
        self.force_away(&on_b).await?;
        self.put_away(on_b).await?;
        Ok(trace)
    }

    /// Claim to mount on node-a, in one trace.
    async fn bring(&mut self) -> Result<(InUse, String)> {
        let span = tracing::info_span!("bring demo/data to node-a", otel.kind = "internal");
        async {
            let trace = chassis::telemetry::trace_id().unwrap_or_default();
            let clock = Instant::now();
            let wish = Wish::new("data", Access::Filesystem("xfs"), 2 * GIB);
            let volume = self.controller.create(&wish).await.map_err(said("CreateVolume"))?;
            self.narrator.done(clock.elapsed(), format!("created {}, {}", volume.id, size(volume.bytes)));

            let publish = self.attach(&volume, true).await?;
            let path = self.mount(&volume, &publish, true).await?;
            Ok((InUse { volume, publish, path }, trace))
        }
        .instrument(span)
        .await
    }

    async fn attach(&mut self, volume: &Volume, to_a: bool) -> Result<PublishContext> {
        let node = if to_a { &self.a } else { &self.b };
        let clock = Instant::now();
        let publish = self.controller.attach(volume, node).await.map_err(said("ControllerPublishVolume"))?;
        let text = format!(
            "attached to {}, epoch {}, exported as {}",
            node.name,
            field(&publish, "epoch")?,
            field(&publish, "nqn")?
        );
        self.narrator.done(clock.elapsed(), brief(&text));
        Ok(publish)
    }

    async fn mount(&mut self, volume: &Volume, publish: &PublishContext, on_a: bool) -> Result<PathBuf> {
        let (node, pod) = if on_a { (&mut self.a, POD_A) } else { (&mut self.b, POD_B) };
        let clock = Instant::now();
        node.stage(volume, publish).await.map_err(said("NodeStageVolume"))?;
        let first = if on_a {
            "connected, proven blank, formatted with xfs and mounted"
        } else {
            "connected and mounted, not formatted again"
        };
        self.narrator.done(clock.elapsed(), format!("staged on {}: {first}", node.name));
        let clock = Instant::now();
        let path = node.publish(volume, publish, pod).await.map_err(said("NodePublishVolume"))?;
        self.narrator.done(clock.elapsed(), format!("published to a pod on {}", node.name));
        Ok(path)
    }

    async fn unmount(&mut self, volume: &Volume, on_a: bool) -> Result<()> {
        let (node, pod) = if on_a { (&mut self.a, POD_A) } else { (&mut self.b, POD_B) };
        let clock = Instant::now();
        node.unpublish(volume, pod).await.map_err(said("NodeUnpublishVolume"))?;
        node.unstage(volume).await.map_err(said("NodeUnstageVolume"))?;
        self.narrator.done(clock.elapsed(), format!("unpublished and unstaged on {}", node.name));
        Ok(())
    }

    async fn detach(&mut self, volume: &Volume, from_a: bool) -> Result<()> {
        let node = if from_a { &self.a } else { &self.b };
        let clock = Instant::now();
        self.controller.detach(volume, node).await.map_err(said("ControllerUnpublishVolume"))?;
        self.narrator.done(clock.elapsed(), format!("detached from {}, no longer exported", node.name));
        Ok(())
    }

    fn write(&mut self, at: &InUse) -> Result<String> {
        let file = at.path.join("data");
        let clock = Instant::now();
        machine::write_random(&file, DATA)?;
        let checksum = machine::checksum(&file)?;
        let text = format!(
            "{} written on node-a and synced, sha256 {}…",
            ByteSize::from_bytes(DATA),
            &checksum[..16]
        );
        self.narrator.done(clock.elapsed(), text);
        Ok(checksum)
    }

    async fn move_to_b(&mut self, on_a: InUse, checksum: &str) -> Result<InUse> {
        self.narrator.heading("It moves to the other node");
        let volume = on_a.volume;
        self.unmount(&volume, true).await?;
        self.detach(&volume, true).await?;
        let publish = self.attach(&volume, false).await?;
        ensure!(publish.get("nqn") != on_a.publish.get("nqn"), "the name did not change with the owner");
        let path = self.mount(&volume, &publish, false).await?;
        let clock = Instant::now();
        let found = machine::checksum(&path.join("data"))?;
        ensure!(found == checksum, "the checksum on node-b is {found}, on node-a it was {checksum}");
        self.narrator.done(clock.elapsed(), format!("the same checksum on node-b: {}…", &found[..16]));
        Ok(InUse { volume, publish, path })
    }

    async fn measure(&mut self, at: &InUse) -> Result<()> {
        let clock = Instant::now();
        let usage = self.b.stats(&at.volume, POD_B).await.map_err(said("NodeGetVolumeStats"))?;
        let bytes = usage.iter().find(|usage| usage.total >= GIB).context("no usage in bytes")?;
        ensure!(u64::try_from(bytes.used).is_ok_and(|used| used >= DATA), "only {} bytes in use", bytes.used);
        let percent = bytes.used * 100 / bytes.total;
        self.narrator
            .done(clock.elapsed(), format!("stats: {percent} % of {:.2} GiB in use", gib(bytes.total)));
        Ok(())
    }

    async fn grow(&mut self, at: &InUse) -> Result<()> {
        self.narrator.heading("It grows while mounted");
        let before = machine::filesystem_size(&at.path)?;
        let clock = Instant::now();
        let (bytes, on_node) =
            self.controller.expand(&at.volume, 3 * GIB).await.map_err(said("ControllerExpandVolume"))?;
        ensure!(on_node, "a volume with a filesystem needs the node to grow it");
        self.narrator.done(clock.elapsed(), format!("the disk on the appliance has {}", size(bytes)));
        let clock = Instant::now();
        self.b.expand(&at.volume, POD_B, 3 * GIB).await.map_err(said("NodeExpandVolume"))?;
        let after = machine::filesystem_size(&at.path)?;
        let least = u64::try_from(3 * GIB).unwrap_or_default() / 100 * 95;
        ensure!(after > before && after > least, "statfs says {after} bytes after growing, {before} before");
        let text = format!(
            "the mounted filesystem fills it: {:.2} GiB before, {:.2} GiB now",
            before as f64 / GIB as f64,
            after as f64 / GIB as f64
        );
        self.narrator.done(clock.elapsed(), text);
        Ok(())
    }

    async fn refuse_second_node(&mut self, at: &InUse) -> Result<()> {
        self.narrator.heading("Two owners are never allowed");
        let clock = Instant::now();
        match self.controller.attach(&at.volume, &self.a).await {
            Err(status) if status.code() == Code::FailedPrecondition => {
                let text = format!("attaching it to node-a as well is refused: {}", brief(status.message()));
                self.narrator.done(clock.elapsed(), text);
                Ok(())
            }
            Err(status) => Err(said("ControllerPublishVolume")(status)),
            Ok(_) => bail!("two nodes were attached to one volume"),
        }
    }

    /// What the operator of the appliance sees meanwhile.
    async fn look(&mut self) -> Result<()> {
        self.narrator.heading("The operator looks at the appliance");
        let clock = Instant::now();
        let (health, inventory) = self.operator.look(APPLIANCE).await?;
        let pools: Vec<_> = health
            .pools
            .iter()
            .map(|pool| format!("{} ({}) {}", pool.slot, pool.filesystem, pool.state))
            .collect();
        let text = format!(
            "{}, pool {}, {} drives, {} sensors, {} warnings",
            health.version,
            pools.join(", "),
            health.drives.len(),
            health.sensors.len(),
            health.warnings.len()
        );
        self.narrator.done(clock.elapsed(), text);
        ensure!(inventory.volumes == 1, "{} volumes in the inventory", inventory.volumes);
        ensure!(inventory.mismatches.is_empty(), "it does not fit: {:?}", inventory.mismatches);
        self.narrator.done(clock.elapsed(), "inventory: 1 volume, and nothing that does not fit together");
        Ok(())
    }

    /// Takes it away from node-b, which still has it mounted, and shows that node-b cannot come back.
    async fn force_away(&mut self, at: &InUse) -> Result<()> {
        self.narrator.heading("It is taken away by force from node-b, which still has it mounted");
        self.detach(&at.volume, false).await?;
        let clock = Instant::now();
        let nqn = field(&at.publish, "nqn")?;
        let address = field(&at.publish, "addresses")?.split(',').next().unwrap_or_default();
        match portal::knock(address, nqn, field(&at.publish, "hostNqn")?, field(&at.publish, "hostId")?)
            .await?
        {
            Admission::Refused(why) => {
                let left = self.appliance.sessions().await?;
                ensure!(left == 0, "{left} sessions to the appliance are still open");
                let text =
                    format!("node-b knocks again as {}: refused, {why}; no session is left", brief(nqn));
                self.narrator.done(clock.elapsed(), text);
            }
            Admission::Connected => bail!("the former owner was let in again as {nqn}"),
        }
        let clock = Instant::now();
        let error = machine::write_must_fail(&at.path.join("late"))?;
        self.narrator.done(clock.elapsed(), format!("a late write on node-b fails: {error}"));
        let publish = self.attach(&at.volume, true).await?;
        ensure!(publish.get("nqn") != at.publish.get("nqn"), "the name did not change with the owner");
        self.detach(&at.volume, true).await
    }

    async fn put_away(&mut self, at: InUse) -> Result<()> {
        self.narrator.heading("It goes, and nothing is left");
        self.unmount(&at.volume, false).await?;
        let clock = Instant::now();
        self.controller.delete(&at.volume).await.map_err(said("DeleteVolume"))?;
        self.narrator.done(clock.elapsed(), "deleted");
        let clock = Instant::now();
        let slot = at.volume.id.rsplit('/').next().unwrap_or_default();
        let disks = self.appliance.disks_of(slot).await?;
        ensure!(disks == 0, "{disks} disk rows of {slot} are left on the appliance");
        let files = self.appliance.images()?;
        ensure!(files.is_empty(), "left on the appliance: {files:?}");
        let left = Leftovers::below(self.root)?;
        ensure!(left.is_empty(), "left in the kernel: {left}");
        let text = "no disk and no image on the appliance, nothing in /proc/mounts, no loop device";
        self.narrator.done(clock.elapsed(), text);
        Ok(())
    }
}

fn said(call: &'static str) -> impl Fn(Status) -> anyhow::Error {
    move |status| anyhow!("{call}: {:?}: {}", status.code(), status.message())
}

fn field<'a>(publish: &'a PublishContext, key: &str) -> Result<&'a str> {
    publish.get(key).map(String::as_str).with_context(|| format!("the publish context has no {key}"))
}

fn size(bytes: i64) -> impl Display {
    ByteSize::from_bytes(u64::try_from(bytes).unwrap_or_default())
}

fn gib(bytes: i64) -> f64 {
    bytes as f64 / GIB as f64
}
