//! The model: one volume on one appliance, and the node's kernel. Every effect may fail before or after it is done, or be
//! the last one before the agent is killed.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chassis::deadline::Deadline;
use proto::fault::{Fault, Reason};
use proto::id::VolumeHandle;
use proto::nqn::{Epoch, Nqn, NqnPrefix};
use proto::size::ByteSize;
use tokio::sync::Notify;

use crate::facts::{Backend, BackendFacts};
use crate::filesystem::Kind;
use crate::kernel::{ConnectError, Device, Kernel, KernelError, Lack, Path, Session, State, volume_of};
use crate::mounts::{DevNo, Mount};
use crate::request::Connection;

/// What is on the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    Blank,
    /// mkfs was killed.
    Half(Kind),
    Whole(Kind, u64),
}

/// A session as the kernel has it.
#[derive(Debug, Clone)]
pub(super) struct Controller {
    pub(super) nqn: Nqn,
    pub(super) epoch: u64,
    pub(super) minor: u64,
    pub(super) size: u64,
    pub(super) protected: bool,
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    dice: u64,
    /// One effect in so many goes wrong; zero = none.
    pub(super) faulty: u64,
    pub(super) log: Vec<String>,
    // The appliance.
    pub(super) up: bool,
    pub(super) backend_up: bool,
    pub(super) epoch: u64,
    pub(super) attached: bool,
    pub(super) formatted: bool,
    pub(super) size: u64,
    pub(super) disk: Disk,
    /// A pod has written something.
    pub(super) written: bool,
    // The node.
    pub(super) controllers: Vec<Controller>,
    pub(super) mounts: Vec<Mount>,
    pub(super) folders: BTreeMap<PathBuf, bool>,
    /// A process has this device open.
    pub(super) opened: Option<u64>,
    next_minor: u64,
}

impl World {
    /// A random number generator whose whole state is its seed (splitmix64).
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// Breaks the test.
    pub(super) fn law(&self, holds: bool, law: &str) {
        let (sessions, mounts) = (&self.controllers, &self.mounts);
        assert!(holds, "{law}\n{}\n{sessions:?}\n{mounts:?}\n{:?}", self.log.join("\n"), self.disk);
    }

    pub(super) fn live(&self, controller: &Controller) -> bool {
        self.up && self.attached && controller.epoch == self.epoch
    }

    /// True when the appliance has let go of it: its writes must die.
    pub(super) fn fenced(&self, controller: &Controller) -> bool {
        controller.epoch < self.epoch || !self.attached
    }

    pub(super) fn of_minor(&self, minor: u64) -> Option<&Controller> {
        self.controllers.iter().find(|controller| controller.minor == minor)
    }

    pub(super) fn uses(&self, minor: u64) -> Vec<String> {
        let number = DevNo { major: 259, minor };
        let node = node_of(minor);
        let mounted = self.mounts.iter().filter(|mount| mount.is_of(number, &node));
        let mut users: Vec<String> = mounted.map(|mount| mount.point.display().to_string()).collect();
        users.extend(self.opened.filter(|open| *open == minor).map(|_| "a process".to_owned()));
        users
    }

    fn disconnect(&mut self, session: &Session) -> Result<(), KernelError> {
        let Some(at) = self.controllers.iter().position(|controller| controller.nqn == session.nqn) else {
            return Ok(());
        };
        let controller = self.controllers[at].clone();
        if !session.paths.contains(&path_of(&controller)) {
            return Err(KernelError::Replaced { controller: "nvme".to_owned(), nqn: session.nqn.clone() });
        }
        let users = self.uses(controller.minor);
        let former = !self.live(&controller) && self.fenced(&controller);
        self.law(users.is_empty() || former, &format!("a session that carries {users:?} was ended"));
        self.controllers.remove(at);
        Ok(())
    }

    fn connect(&mut self, connection: &Connection) -> Result<(), ConnectError> {
        let address = connection.addresses[0].to_string();
        if self.controllers.iter().any(|controller| controller.nqn == connection.nqn) {
            return Err(ConnectError::AlreadyThere);
        }
        if !self.up || !self.attached || connection.epoch.number() != self.epoch {
            return Err(ConnectError::Failed { address, why: "refused".to_owned() });
        }
        self.next_minor += 1;
        let (minor, size, epoch) = (self.next_minor, self.size, self.epoch);
        self.controllers.push(Controller {
            nqn: connection.nqn.clone(),
            epoch,
            minor,
            size,
            protected: false,
        });
        Ok(())
    }
}

pub(super) fn node_of(minor: u64) -> PathBuf {
    format!("/dev/nvme{minor}n1").into()
}

fn path_of(controller: &Controller) -> Path {
    Path {
        controller: format!("nvme{}", controller.minor),
        identity: controller.minor.to_string(),
        address: "127.0.0.1:4420".parse().expect("an address"),
    }
}

/// A handle on the world, of one agent's life.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) world: Arc<Mutex<World>>,
    /// Told when the agent is to be killed.
    pub(super) killed: Arc<Notify>,
}

/// What becomes of an effect.
pub(super) struct Fate {
    what: &'static str,
    fails_after: bool,
    killed_after: bool,
    model: Model,
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        let world = World {
            dice: seed,
            faulty: 0,
            log: Vec::new(),
            up: true,
            backend_up: true,
            epoch: 1,
            attached: true,
            formatted: false,
            size: 1 << 30,
            disk: Disk::Blank,
            written: false,
            controllers: Vec::new(),
            mounts: Vec::new(),
            folders: BTreeMap::new(),
            opened: None,
            next_minor: 0,
        };
        Self { world: Arc::new(Mutex::new(world)), killed: Arc::default() }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn kill(&self, what: &str) {
        self.world().log.push(format!("  killed at {what}"));
        self.killed.notify_one();
        std::future::pending::<()>().await;
    }

    /// Decides what becomes of an effect; errs when it fails before anything is done.
    pub(super) async fn fate(&self, what: &'static str) -> Result<Fate, KernelError> {
        let rolled = {
            let mut world = self.world();
            let faulty = world.faulty;
            if faulty != 0 && world.roll(faulty) == 0 { Some(world.roll(4)) } else { None }
        };
        match rolled {
            Some(0) => self.kill(what).await,
            Some(1) => {
                self.world().log.push(format!("  {what} fails"));
                return Err(failed(what));
            }
            _ => self.world().log.push(format!("  {what}")),
        }
        let (fails_after, killed_after) = (rolled == Some(2), rolled == Some(3));
        Ok(Fate { what, fails_after, killed_after, model: self.clone() })
    }
}

fn failed(what: &str) -> KernelError {
    KernelError::system(what, std::io::Error::other("as the dice would have it"))
}

impl Fate {
    /// Once it is done.
    pub(super) async fn done(self) -> Result<(), KernelError> {
        if self.killed_after {
            self.model.kill(&format!("the end of {}", self.what)).await;
        }
        if self.fails_after {
            self.model.world().log.push(format!("  {} fails although it was done", self.what));
            return Err(failed(self.what));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Kernel for Model {
    fn name(&self) -> &'static str {
        "model"
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn connect(&self, connection: &Connection, _: Deadline) -> Result<(), ConnectError> {
        let fate = self.fate("connect").await?;
        self.world().connect(connection)?;
        Ok(fate.done().await?)
    }

    async fn sessions(&self, _: Deadline) -> Result<Vec<Session>, KernelError> {
        let world = self.world();
        let session = |controller: &Controller| Session {
            nqn: controller.nqn.clone(),
            state: if world.live(controller) { State::Live } else { State::NotLive("connecting".to_owned()) },
            device: Some(Device {
                node: node_of(controller.minor),
                number: DevNo { major: 259, minor: controller.minor },
                size: ByteSize::from_bytes(controller.size),
                nsid: 1,
            }),
            paths: vec![path_of(controller)],
        };
        Ok(world.controllers.iter().map(session).collect())
    }

    async fn rescan(&self, nqn: &Nqn, _: Deadline) -> Result<(), KernelError> {
        let fate = self.fate("rescan").await?;
        {
            let mut world = self.world();
            let size = world.size;
            let seen = world.controllers.clone();
            for (controller, seen) in world.controllers.iter_mut().zip(&seen) {
                if seen.nqn == *nqn {
                    controller.size = size;
                }
            }
        }
        fate.done().await
    }

    async fn disconnect(&self, session: &Session, _: Deadline) -> Result<(), KernelError> {
        let fate = self.fate("disconnect").await?;
        self.world().disconnect(session)?;
        fate.done().await
    }

    async fn missing(&self, _: &FilePath) -> Vec<Lack> {
        Vec::new()
    }

    async fn stop(&self) {}
}

#[tonic::async_trait]
impl Backend for Model {
    async fn facts(&self, _: &VolumeHandle, _: Deadline) -> Result<BackendFacts, Fault> {
        let world = self.world();
        if !world.backend_up {
            return Err(Fault::unsettled(Reason::ServiceUnreachable, "down"));
        }
        Ok(BackendFacts {
            size: ByteSize::from_bytes(world.size),
            epoch: Epoch::new(world.epoch).expect("an epoch"),
            attached: world.attached,
            formatted: world.formatted,
            content_source: None,
        })
    }

    async fn mark_formatted(&self, _: &VolumeHandle, epoch: Epoch, _: Deadline) -> Result<(), Fault> {
        let told = |error: KernelError| Fault::unsettled(Reason::ServiceUnreachable, error.to_string());
        let fate = self.fate("mark").await.map_err(told)?;
        {
            let mut world = self.world();
            if !world.backend_up || !world.attached || world.epoch != epoch.number() {
                return Err(Fault::settled(Reason::StaleEpoch, "not attached in this epoch"));
            }
            world
                .law(matches!(world.disk, Disk::Whole(..)), "what is not whole was recorded as a filesystem");
            world.formatted = true;
        }
        fate.done().await.map_err(told)
    }
}

/// The epoch in a name.
pub(super) fn epoch_of(prefixes: &[NqnPrefix], nqn: &Nqn) -> u64 {
    volume_of(prefixes, nqn).map_or(0, |(_, epoch)| epoch.number())
}
