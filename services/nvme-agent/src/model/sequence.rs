//! One sequence: what an orchestrator, pods, the network, an operator and a crash may do, and what must hold after it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::fault::Fault;
use proto::rds::node::v1 as pb;
use proto::size::ByteSize;

use super::world::{Model, epoch_of};
use crate::config::Config;
use crate::events::Reporter;
use crate::expand::ensure_expanded;
use crate::journal::Journal;
use crate::lanes::Lanes;
use crate::metrics::Metrics;
use crate::mounts::{DevNo, Mount};
use crate::node::{Node, Operation};
use crate::publish::ensure::{ensure_published, ensure_unpublished};
use crate::request::tests::{HANDLE, config, message};
use crate::request::{self, Range};
use crate::stage::ensure::ensure_staged;
use crate::stage::unstage::ensure_unstaged;

/// Things that happen in one sequence.
const LENGTH: u32 = 16;
/// One effect in so many goes wrong.
const FAULTY: u64 = 12;
/// What a call may take while a path may be down.
const SHORT: Duration = Duration::from_millis(150);
/// What it may take when everything works.
const LONG: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;

#[derive(Debug, Clone, Copy)]
enum Act {
    Stage {
        behind: u64,
    },
    Publish {
        pod: u64,
        read_only: bool,
    },
    Unpublish {
        pod: u64,
    },
    Unstage,
    Expand,
    Path {
        up: bool,
    },
    Backend {
        up: bool,
    },
    /// The kernel gives up a controller that is not live.
    Expire,
    /// Another node gets it, and lets go of it again.
    Move,
    Detach,
    Reboot,
    LoseJournal,
    /// A pod writes.
    Write,
    /// A process opens or closes the device.
    Open,
    /// Somebody mounts something at a target, or takes it off.
    Foreign,
}

pub(super) struct Sequence {
    seed: u64,
    model: Model,
    node: Arc<Node>,
    config: Config,
    kind: &'static str,
    journal_lost: bool,
    calls: u64,
    folder: tempfile::TempDir,
}

fn node(model: &Model, config: &Config, folder: &Path) -> Arc<Node> {
    let lanes = Lanes::default();
    let (reporter, _) = Reporter::new("node-a".to_owned());
    let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default(), &lanes, &reporter);
    Arc::new(Node {
        config: config.clone(),
        kernel: Arc::new(model.clone()),
        lanes,
        machine: Arc::new(model.clone()),
        journal: Journal::open(&folder.join("journal")).expect("a journal"),
        backend: Arc::new(model.clone()),
        reporter,
        metrics,
    })
}

impl Sequence {
    pub(super) fn new(seed: u64) -> Self {
        // The journal is synced to its disk all the time: here that may be memory.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("model").tempdir_in(place).expect("a folder");
        let (model, config) = (Model::new(seed), config(folder.path()));
        let node = node(&model, &config, folder.path());
        let kind = ["xfs", "ext4", "block"][usize::try_from(model.world().roll(3)).expect("small")];
        Self { seed, model, node, config, kind, journal_lost: false, calls: 0, folder }
    }

    fn staging(&self) -> PathBuf {
        self.config.kubelet.as_path().join("staging")
    }

    fn target(&self, pod: u64) -> PathBuf {
        self.config.kubelet.as_path().join(format!("pod-{pod}"))
    }

    fn access(&self) -> pb::Access {
        let filesystem = pb::Filesystem { r#type: self.kind.to_owned(), ..pb::Filesystem::default() };
        let kind = match self.kind {
            "block" => pb::access::Kind::Block(pb::Block {}),
            _ => pb::access::Kind::Filesystem(filesystem),
        };
        pb::Access { kind: Some(kind) }
    }

    fn operation(&self, limit: Duration) -> Operation {
        let handle = request::existing(HANDLE).expect("a handle");
        Operation::new(&self.node, handle, Deadline::after(limit))
    }

    /// Runs a call to its end, or until the agent is killed.
    async fn call<T>(&mut self, call: impl Future<Output = Result<T, Fault>>) -> Option<Result<T, Fault>> {
        self.calls += 1;
        let ended = tokio::select! {
            done = call => Some(done),
            () = self.model.killed.notified() => None,
        };
        let said = match &ended {
            Some(Ok(_)) => "ok".to_owned(),
            Some(Err(fault)) => format!("{} settled={}: {}", fault.reason, fault.settled, fault.message),
            None => {
                self.node = node(&self.model, &self.config, self.folder.path());
                "the next agent starts".to_owned()
            }
        };
        self.model.world().log.push(format!("  -> {said}"));
        ended
    }

    fn random(&self) -> Act {
        let mut world = self.model.world();
        let (pod, read_only) = (world.roll(2), world.roll(4) == 0);
        match world.roll(30) {
            0..=5 => Act::Stage { behind: u64::from(world.roll(5) == 0) },
            6..=9 => Act::Publish { pod, read_only },
            10..=12 => Act::Unpublish { pod },
            13..=15 => Act::Unstage,
            16 => Act::Expand,
            17 | 18 => Act::Path { up: false },
            19 | 20 => Act::Path { up: true },
            21 => Act::Expire,
            22 => Act::Move,
            23 => Act::Detach,
            24 => Act::Reboot,
            25 if world.roll(4) == 0 => Act::LoseJournal,
            25 | 26 => Act::Write,
            27 => Act::Open,
            28 => Act::Foreign,
            _ => Act::Backend { up: world.roll(2) == 0 },
        }
    }

    /// Runs it, and answers how many calls it made.
    pub(super) async fn run(mut self) -> u64 {
        let _named = Named(self.seed);
        self.model.world().faulty = FAULTY;
        for _ in 0..LENGTH {
            let act = self.random();
            self.model.world().log.push(format!("{act:?}"));
            self.act(act).await;
        }
        self.take_down().await;
        self.calls
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Stage { behind } => self.stage(behind, SHORT).await,
            Act::Publish { pod, read_only } => self.publish(pod, read_only).await,
            Act::Unpublish { pod } => drop(self.unpublish(pod, SHORT).await),
            Act::Unstage => drop(self.unstage(SHORT).await),
            Act::Expand => self.expand().await,
            _ => self.happen(act),
        }
    }

    fn happen(&mut self, act: Act) {
        let mut world = self.model.world();
        match act {
            Act::Path { up } => world.up = up,
            Act::Backend { up } => world.backend_up = up,
            Act::Expire => {
                let dead: Vec<u64> =
                    world.controllers.iter().filter(|c| !world.live(c)).map(|c| c.minor).collect();
                world.controllers.retain(|controller| !dead.contains(&controller.minor));
                world.opened = None;
            }
            Act::Move => {
                world.epoch += 2;
                world.attached = true;
            }
            Act::Detach => world.attached = false,
            Act::Reboot => {
                world.controllers.clear();
                world.mounts.clear();
                world.opened = None;
                drop(world);
                self.node = node(&self.model, &self.config, self.folder.path());
            }
            Act::LoseJournal => {
                drop(world);
                for entry in std::fs::read_dir(self.folder.path().join("journal")).expect("a folder") {
                    std::fs::remove_file(entry.expect("readable").path()).expect("removed");
                }
                self.journal_lost = true;
            }
            Act::Write => {
                let live = world.mounts.iter().any(|mount| {
                    !mount.read_only && world.of_minor(mount.device.minor).is_some_and(|c| world.live(c))
                });
                world.written |= live;
            }
            Act::Open => {
                let first = world.controllers.first().map(|controller| controller.minor);
                world.opened = if world.opened.is_some() { None } else { first };
            }
            Act::Foreign => {
                let point = self.target(0);
                match world.mounts.iter().position(|mount| mount.kind == "tmpfs") {
                    Some(at) => drop(world.mounts.remove(at)),
                    None if !world.mounts.iter().any(|mount| mount.point == point) => {
                        world.folders.insert(point.clone(), true);
                        world.mounts.push(foreign(point));
                    }
                    None => {}
                }
            }
            Act::Stage { .. } | Act::Publish { .. } | Act::Unpublish { .. } | Act::Unstage | Act::Expand => {}
        }
    }

    fn connection(&self, behind: u64) -> pb::Connection {
        let epoch = self.model.world().epoch.saturating_sub(behind).max(1);
        message(epoch)
    }

    async fn stage(&mut self, behind: u64, limit: Duration) {
        let request = pb::EnsureStagedRequest {
            handle: HANDLE.to_owned(),
            staging_path: self.staging().display().to_string(),
            connection: Some(self.connection(behind)),
            access: Some(self.access()),
            claim: None,
        };
        let want = request::stage(&self.config, request).expect("a request");
        let before = self.model.world().controllers.len();
        let op = self.operation(limit);
        match self.call(ensure_staged(&op, &want)).await {
            Some(Ok(_)) => self.assert_staged(want.connection.epoch.number()),
            Some(Err(fault)) if fault.settled => {
                let world = self.model.world();
                world.law(world.controllers.len() <= before, "a final error left a session behind");
            }
            Some(Err(_)) | None => {}
        }
    }

    fn assert_staged(&self, epoch: u64) {
        let world = self.model.world();
        let controller = world.controllers.iter().find(|controller| controller.epoch == epoch);
        let live = controller.is_some_and(|controller| world.live(controller));
        world.law(live, "a volume was called staged without a live session of the wanted epoch");
        if self.kind == "block" {
            return;
        }
        let minor = controller.map(|controller| controller.minor);
        let top = world.mounts.iter().rfind(|mount| mount.point == self.staging());
        let mounted = top.is_some_and(|mount| Some(mount.device.minor) == minor);
        world.law(mounted, "a volume was called staged without its mount");
        world.law(world.formatted, "a volume was called staged that the appliance does not call formatted");
    }

    async fn publish(&mut self, pod: u64, read_only: bool) {
        let request = pb::EnsurePublishedRequest {
            handle: HANDLE.to_owned(),
            staging_path: self.staging().display().to_string(),
            target_path: self.target(pod).display().to_string(),
            read_only,
            access: Some(self.access()),
            exclusive: false,
            connection: Some(self.connection(0)),
            claim: None,
        };
        let want = request::publish(&self.config, request).expect("a request");
        let op = self.operation(SHORT);
        if let Some(Ok(())) = self.call(ensure_published(&op, &want)).await {
            self.assert_staged(want.stage.connection.epoch.number());
            let world = self.model.world();
            let top = world.mounts.iter().rfind(|mount| mount.point == self.target(pod));
            world.law(
                top.is_some_and(|top| top.kind != "tmpfs"),
                "a volume was called published and is not there",
            );
            world.law(
                top.is_some_and(|top| top.read_only || !read_only),
                "a pod may write that may only read",
            );
        }
    }

    async fn unpublish(&mut self, pod: u64, limit: Duration) -> bool {
        let target = self.target(pod);
        let path = self.config.kubelet.check("target_path", &target.display().to_string()).expect("a path");
        let op = self.operation(limit);
        let done = matches!(self.call(ensure_unpublished(&op, &path)).await, Some(Ok(())));
        let world = self.model.world();
        let there =
            world.mounts.iter().any(|mount| mount.point == target) || world.folders.contains_key(&target);
        world.law(!(done && there), "a volume was called unpublished and is still there");
        done
    }

    async fn unstage(&mut self, limit: Duration) -> bool {
        let staging = self.staging();
        let path = self.config.kubelet.check("staging_path", &staging.display().to_string()).expect("a path");
        let op = self.operation(limit);
        let done = matches!(self.call(ensure_unstaged(&op, &path)).await, Some(Ok(())));
        let world = self.model.world();
        let mounted = world.mounts.iter().any(|mount| mount.point == staging);
        world.law(!(done && mounted), "a volume was called unstaged and is still mounted");
        world.law(
            !done || world.controllers.is_empty(),
            "a volume was called unstaged and is still connected",
        );
        done
    }

    async fn expand(&mut self) {
        let (grown, epoch) = {
            let mut world = self.model.world();
            world.size = (world.size + 256 * MIB).min(4096 * MIB);
            (world.size, world.epoch)
        };
        let path = self.staging().display().to_string();
        let path = self.config.kubelet.check("path", &path).expect("a path");
        let range = Range { required: ByteSize::from_bytes(grown), limit: None };
        let op = self.operation(SHORT);
        if let Some(Ok(size)) = self.call(ensure_expanded(&op, Some(&path), range)).await {
            let world = self.model.world();
            world.law(size.bytes() >= grown, "a volume was called grown and is not");
            world.law(!world.controllers.is_empty() && world.epoch == epoch, "nothing was there to grow");
        }
    }

    /// Everything works again, pods end: then everything can be taken down.
    async fn take_down(&mut self) {
        {
            let mut world = self.model.world();
            world.log.push("everything works again".to_owned());
            (world.faulty, world.up, world.backend_up, world.opened) = (0, true, true, None);
            world.mounts.retain(|mount| mount.kind != "tmpfs");
        }
        // What nobody knows of any more is kept, and told.
        if self.journal_lost {
            return;
        }
        for pod in 0..2 {
            let done = self.unpublish(pod, LONG).await;
            self.model.world().law(done, "a pod's volume could not be taken off although everything works");
        }
        let done = self.unstage(LONG).await;
        let world = self.model.world();
        world.law(done, "a volume could not be unstaged although everything works");
        world.law(world.mounts.is_empty(), "a mount was left behind");
        let newest = world.controllers.iter().map(|c| epoch_of(&self.config.nqn_prefixes, &c.nqn)).max();
        world.law(newest.is_none(), "a session was left behind");
    }
}

fn foreign(point: PathBuf) -> Mount {
    Mount {
        device: DevNo { major: 0, minor: 99 },
        root: "/".into(),
        point,
        read_only: false,
        read_only_filesystem: false,
        kind: "tmpfs".to_owned(),
        source: "somebody".into(),
        shared: false,
    }
}

/// Names the seed when the sequence breaks a law.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("broken by RDS_SEED={} RDS_SEQUENCES=1", self.0);
        }
    }
}
