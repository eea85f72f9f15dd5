//! Command line of the simulated appliance.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use routeros_sim::{Config, Growth, Pool};

/// A simulated MikroTik ROSE Data Server for development and tests.
#[derive(clap::Parser, Debug)]
#[command(version)]
pub(crate) struct Options {
    /// Folder for the host key and the files of the pools.
    #[arg(long, value_name = "FOLDER")]
    state_dir: PathBuf,
    /// Management address (SSH).
    #[arg(long, default_value = "127.0.0.1:0")]
    ssh_listen: SocketAddr,
    /// Storage address (portal).
    #[arg(long, default_value = "127.0.0.1:0")]
    portal_listen: SocketAddr,
    /// Control address (faults, journal).
    #[arg(long, default_value = "127.0.0.1:0")]
    control_listen: SocketAddr,
    /// The user who may log in.
    #[arg(long, default_value = "csi")]
    user: String,
    /// File with that user's public keys, one a line.
    #[arg(long, value_name = "FILE")]
    authorized_keys: PathBuf,
    /// RouterOS version to be.
    #[arg(long, default_value = "7.24.4 (stable)")]
    routeros: String,
    /// Slot of the pool: its paths begin with `/SLOT/`.
    #[arg(long, default_value = "raid1")]
    pool: String,
    /// Filesystem of the pool: xfs or btrfs.
    #[arg(long, default_value = "xfs")]
    pool_filesystem: String,
    /// Size of the pool in GiB.
    #[arg(long, default_value_t = 64)]
    pool_gib: u64,
    /// How a connected host learns of a new size: `reconnect` (as seen on a device) or `live`.
    #[arg(long, default_value = "reconnect", value_parser = ["reconnect", "live"])]
    growth: String,
    /// Written when everything listens: a JSON object with the addresses.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

impl Options {
    pub(crate) fn config(self) -> anyhow::Result<Config> {
        let keys = std::fs::read_to_string(&self.authorized_keys)
            .with_context(|| format!("cannot read {}", self.authorized_keys.display()))?;
        let keys = keys.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        let mut config = Config::new(self.state_dir, &self.user, keys);
        (config.ssh_listen, config.portal_listen) = (self.ssh_listen, self.portal_listen);
        config.control_listen = self.control_listen;
        config.version = self.routeros;
        config.growth = if self.growth == "live" { Growth::Live } else { Growth::Reconnect };
        config.pools = vec![Pool {
            slot: self.pool,
            filesystem: self.pool_filesystem,
            size: self.pool_gib << 30,
            state: "clean".to_owned(),
            mounted: true,
        }];
        Ok(config)
    }
}
