//! A simulated MikroTik ROSE Data Server: an SSH server that interprets RouterOS' scripting language over disks with
//! real files behind them, a storage portal that stands in for NVMe/TCP, and faults on command.
//!
//! It shares no code with the driver it is there to test. What is known of the real device, and how surely, stands at
//! the places that imitate it: **M** measured on real devices and written down, **D** documented, **C** seen in
//! captures, **I** inferred and still to be measured.

mod appliance;
mod config;
mod control;
mod device;
mod execution;
mod faults;
#[cfg(test)]
mod fuzz;
mod journal;
mod language;
mod menu;
mod nvmet;
mod portal;
mod ssh;
mod world;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::PublicKey;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use appliance::Appliance;
pub use appliance::PoolChange;
pub use config::{Config, Costs, Exports, Growth, Member, Pool};
use device::Device;
pub use faults::{Effect, Fault, Flaky};
pub use journal::{Answered, Entry};
pub use portal::PortalSession;
use world::World;

/// A running simulated appliance. Dropping it stops it; its files and rows stay.
pub struct Simulator {
    world: Arc<World>,
    device: Arc<Device>,
    control: SocketAddr,
    stop: CancellationToken,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator").field("addresses", &self.device.addresses()).finish_non_exhaustive()
    }
}

impl Simulator {
    /// Starts it.
    ///
    /// # Errors
    /// When a key cannot be read, a folder not made or an address not bound.
    pub async fn start(config: Config) -> io::Result<Self> {
        std::fs::create_dir_all(&config.state_dir)?;
        let keys: Result<Vec<PublicKey>, _> =
            config.authorized_keys.iter().map(|line| PublicKey::from_openssh(line)).collect();
        let login = ssh::Login { user: config.user.clone(), keys: keys.map_err(io::Error::other)? };
        let appliance = Appliance::open(&config)?;
        let (reboots, asked) = mpsc::unbounded_channel();
        let world = Arc::new(World::new(appliance, &config, reboots));
        let stop = CancellationToken::new();
        let addresses = (config.ssh_listen, config.portal_listen);
        let key_file = config.state_dir.join("host_key");
        let device = Arc::new(Device::new(Arc::clone(&world), key_file, login, addresses, stop.clone())?);

        let control = device::bind(config.control_listen)?;
        let simulator = Self { world, device, control: control.local_addr()?, stop };
        tokio::spawn(control::serve(control, Arc::clone(&simulator.device), simulator.stop.clone()));
        tokio::spawn(Arc::clone(&simulator.device).obey(asked));
        simulator.device.up().await?;
        Ok(simulator)
    }

    /// Comes (back) up on its addresses.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub async fn up(&mut self) -> io::Result<()> {
        self.device.up().await
    }

    /// Goes down: listeners close, SSH and storage sessions are cut. The rows stay, scripts that run go on. Returns
    /// when nobody listens.
    pub async fn down(&mut self) {
        self.device.down().await;
    }

    /// Reboots: sessions are cut, scripts stop where they are, ids of rows are new, uptime begins anew. Returns when
    /// nobody listens; it comes back by itself after so many seconds.
    pub async fn reboot(&self, seconds: u64) {
        self.device.reboot(seconds).await;
    }

    /// Another host key from the next connection on; its fingerprint.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn new_host_key(&self) -> io::Result<String> {
        self.device.new_key()
    }

    /// Management address with its real port.
    pub fn ssh_addr(&self) -> SocketAddr {
        self.device.addresses().0
    }

    /// Storage address with its real port.
    pub fn portal_addr(&self) -> SocketAddr {
        self.device.addresses().1
    }

    /// Control address with its real port.
    pub fn control_addr(&self) -> SocketAddr {
        self.control
    }

    /// Fingerprint of the host key, `SHA256:…`.
    pub fn host_key_fingerprint(&self) -> String {
        self.device.fingerprint()
    }

    /// What was asked since the start or the last [`Self::clear_journal`].
    pub fn journal(&self) -> Vec<Entry> {
        self.world.journal().entries()
    }

    /// Forgets what was asked.
    pub fn clear_journal(&self) {
        self.world.journal().clear();
    }

    /// Lets something go wrong.
    pub fn fault(&self, fault: Fault) {
        self.world.faults().add(fault);
    }

    /// Lets nothing go wrong any more.
    pub fn clear_faults(&self) {
        self.world.faults().clear();
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

    /// What commands and changes cost from now on.
    pub fn set_costs(&self, costs: Costs) {
        self.world.settings().costs = costs;
    }

    /// Policies of the user's group from now on, with commas between.
    pub fn set_policies(&self, policies: &str) {
        policies.clone_into(&mut self.world.settings().policies);
    }

    /// Lets connections break.
    pub fn set_flaky(&self, flaky: Flaky) {
        self.world.settings().flaky = flaky;
    }

    /// Changes state, mount, fullness or size of a pool; false when there is none of this name.
    pub fn change_pool(&self, change: &PoolChange) -> bool {
        self.world.appliance().change_pool(change)
    }

    /// Every btrfs subvolume that somebody made, as JSON; without the roots of filesystems.
    pub fn subvolumes(&self) -> Vec<serde_json::Value> {
        self.world.subvolumes()
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
        self.world.cut_power();
        self.world.appliance().unpublish();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}
