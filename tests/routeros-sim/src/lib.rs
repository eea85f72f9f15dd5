//! A simulated MikroTik ROSE Data Server: an SSH server that interprets RouterOS' scripting language over disks with
//! real files behind them, a storage portal that stands in for NVMe/TCP, and faults on command.
//!
//! It shares no code with the driver it is there to test. What is known of the real device, and how surely, stands at
//! the places that imitate it: **M** measured on real devices and written down, **D** documented, **C** seen in
//! captures, **I** inferred and still to be measured.

mod appliance;
mod control;
mod faults;
mod language;
mod menu;
mod portal;
mod ssh;
mod world;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::{HashAlg, PrivateKey, PublicKey};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use appliance::{Growth, Pool};
pub use faults::{Effect, Entry, Fault};
pub use portal::PortalSession;
use world::World;

use crate::appliance::Appliance;

/// How the simulated appliance is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder for the host key (`host_key`) and the files of the pools (`fs/…`).
    pub state_dir: PathBuf,
    /// Management address; port 0 = any.
    pub ssh_listen: SocketAddr,
    /// Storage address; port 0 = any.
    pub portal_listen: SocketAddr,
    /// Control address; port 0 = any.
    pub control_listen: SocketAddr,
    /// The one user who may log in.
    pub user: String,
    /// Keys of that user, in the form of `authorized_keys`.
    pub authorized_keys: Vec<String>,
    /// What `/system/resource` says, e.g. `7.24.4 (stable)`. Below 7.21 exports cannot be named.
    pub version: String,
    /// The pools.
    pub pools: Vec<Pool>,
    /// How a connected host learns of a new size.
    pub growth: Growth,
}

impl Config {
    /// Port 0 everywhere, RouterOS 7.24.4, one healthy 64 GiB xfs pool `raid1`.
    pub fn new(state_dir: PathBuf, user: &str, authorized_keys: Vec<String>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let pool = Pool {
            slot: "raid1".to_owned(),
            filesystem: "xfs".to_owned(),
            size: 64 << 30,
            state: "clean".to_owned(),
            mounted: true,
        };
        Self {
            state_dir,
            ssh_listen: any,
            portal_listen: any,
            control_listen: any,
            user: user.to_owned(),
            authorized_keys,
            version: "7.24.4 (stable)".to_owned(),
            pools: vec![pool],
            growth: Growth::Reconnect,
        }
    }
}

/// A running simulated appliance. Dropping it stops it; its files stay.
pub struct Simulator {
    world: Arc<World>,
    key: PrivateKey,
    login: Arc<ssh::Login>,
    ssh: SocketAddr,
    portal: SocketAddr,
    control: SocketAddr,
    serving: CancellationToken,
    listening: JoinSet<()>,
    stop: CancellationToken,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator")
            .field("ssh", &self.ssh)
            .field("portal", &self.portal)
            .finish_non_exhaustive()
    }
}

/// Binds with address reuse, so that an appliance that was down comes back on the same ports.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(128)
}

impl Simulator {
    /// Starts it.
    ///
    /// # Errors
    /// When a key cannot be read, a folder not made or an address not bound.
    pub async fn start(config: Config) -> io::Result<Self> {
        std::fs::create_dir_all(&config.state_dir)?;
        let key = ssh::host_key(&config.state_dir.join("host_key"))?;
        let keys: Result<Vec<PublicKey>, _> =
            config.authorized_keys.iter().map(|line| PublicKey::from_openssh(line)).collect();
        let login = Arc::new(ssh::Login { user: config.user.clone(), keys: keys.map_err(io::Error::other)? });
        let root = std::path::absolute(config.state_dir.join("fs"))?;
        let appliance = Appliance::new(root, config.version.clone(), config.growth, &config.pools)?;

        let control = bind(config.control_listen)?;
        let mut simulator = Self {
            world: Arc::new(World::new(appliance)),
            key,
            login,
            ssh: config.ssh_listen,
            portal: config.portal_listen,
            control: control.local_addr()?,
            serving: CancellationToken::new(),
            listening: JoinSet::new(),
            stop: CancellationToken::new(),
        };
        tokio::spawn(control::serve(control, Arc::clone(&simulator.world), simulator.stop.clone()));
        simulator.up().await?;
        Ok(simulator)
    }

    /// Comes (back) up on its addresses.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub async fn up(&mut self) -> io::Result<()> {
        self.down().await;
        let (ssh, portal) = (bind(self.ssh)?, bind(self.portal)?);
        (self.ssh, self.portal) = (ssh.local_addr()?, portal.local_addr()?);
        self.serving = self.stop.child_token();
        let world = || Arc::clone(&self.world);
        let login = Arc::clone(&self.login);
        self.listening = JoinSet::new();
        self.listening.spawn(ssh::serve(ssh, world(), self.key.clone(), login, self.serving.clone()));
        self.listening.spawn(portal::serve(portal, world(), self.serving.clone()));
        Ok(())
    }

    /// Goes down: listeners close, SSH and storage sessions are cut. The rows stay. Returns when nobody listens.
    pub async fn down(&mut self) {
        self.serving.cancel();
        while self.listening.join_next().await.is_some() {}
    }

    /// Management address with its real port.
    pub fn ssh_addr(&self) -> SocketAddr {
        self.ssh
    }

    /// Storage address with its real port.
    pub fn portal_addr(&self) -> SocketAddr {
        self.portal
    }

    /// Control address with its real port.
    pub fn control_addr(&self) -> SocketAddr {
        self.control
    }

    /// Fingerprint of the host key, `SHA256:…`.
    pub fn host_key_fingerprint(&self) -> String {
        self.key.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// What was asked since the start or the last [`Self::clear_journal`].
    pub fn journal(&self) -> Vec<Entry> {
        self.world.script().journal()
    }

    /// Forgets what was asked.
    pub fn clear_journal(&self) {
        self.world.script().clear_journal();
    }

    /// Lets something go wrong.
    pub fn fault(&self, fault: Fault) {
        self.world.script().add(fault);
    }

    /// Lets nothing go wrong any more.
    pub fn clear_faults(&self) {
        self.world.script().clear_faults();
        self.world.appliance().pool_full = false;
    }

    /// The pools have no free byte left.
    pub fn fill_pools(&self) {
        self.world.appliance().pool_full = true;
    }

    /// Traces of a compromise were found: `/system/device-mode` says `flagged`.
    pub fn flag_device(&self) {
        self.world.appliance().flagged = true;
    }

    /// Runs a command as an administrator at the console would: it is not in the journal and meets no fault.
    pub fn console(&self, command: &str) -> String {
        String::from_utf8_lossy(&self.world.run(command)).into_owned()
    }

    /// Every disk row as JSON.
    pub fn disks(&self) -> Vec<serde_json::Value> {
        self.world.disks()
    }

    /// Every file of the pools, by its path on the appliance, with its size in bytes.
    pub fn files(&self) -> Vec<(String, u64)> {
        self.world.appliance().files()
    }

    /// Where a file of the appliance lies on this host.
    pub fn host_path(&self, path: &str) -> PathBuf {
        self.world.appliance().host_path(path)
    }

    /// Who is connected to the storage portal.
    pub fn sessions(&self) -> Vec<PortalSession> {
        self.world.sessions()
    }

    /// Stops for good.
    pub fn stop(&mut self) {
        self.stop.cancel();
        self.serving.cancel();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}
