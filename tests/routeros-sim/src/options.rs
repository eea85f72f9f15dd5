//! Command line of the simulated appliance.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use routeros_sim::{Config, Costs, Exports, Growth, Member, Pool};

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
    #[arg(long, default_value = "xfs", value_parser = ["xfs", "btrfs"])]
    pool_filesystem: String,
    /// Size of the pool in GiB.
    #[arg(long, default_value_t = 64)]
    pool_gib: u64,
    /// A further pool; may be given several times.
    #[arg(long, value_name = "SLOT:FILESYSTEM:GIB", value_parser = pool)]
    more_pool: Vec<Pool>,
    /// Physical disks of each pool.
    #[arg(long, default_value_t = 0)]
    members: u32,
    /// How a connected host learns of a new size: `reconnect` (as seen on a device) or `live`.
    #[arg(long, default_value = "reconnect", value_parser = ["reconnect", "live"])]
    growth: String,
    /// Milliseconds every command takes.
    #[arg(long, default_value_t = 0)]
    exec_ms: u64,
    /// Milliseconds every change takes.
    #[arg(long, default_value_t = 0)]
    change_ms: u64,
    /// Microseconds `/file/print` takes for each file.
    #[arg(long, default_value_t = 0)]
    walk_us: u64,
    /// Changes wait for each other.
    #[arg(long)]
    serial_changes: bool,
    /// Sessions accepted at once.
    #[arg(long, default_value_t = 20)]
    max_sessions: usize,
    /// Policies of the user's group.
    #[arg(long, default_value = "ssh,read,write,test,ftp,policy,reboot")]
    policies: String,
    /// Longest command in bytes.
    #[arg(long, default_value_t = 16 << 10)]
    max_line: usize,
    /// Longest comment in bytes.
    #[arg(long, default_value_t = 255)]
    max_comment: usize,
    /// Name of the appliance, as in its prompt.
    #[arg(long, default_value = "simulated-rds")]
    identity: String,
    /// Where exports go: `portal`, or `nvmet`, the kernel's NVMe target (root; modules nvmet and nvmet-tcp).
    #[arg(long, default_value = "portal", value_parser = ["portal", "nvmet"])]
    export: String,
    /// Where the kernel's NVMe target is configured.
    #[arg(long, value_name = "FOLDER", default_value = "/sys/kernel/config/nvmet")]
    nvmet_root: PathBuf,
    /// Address the kernel's NVMe target listens on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    nvmet_address: IpAddr,
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
        config.pools = vec![Pool::new(&self.pool, &self.pool_filesystem, self.pool_gib << 30)];
        config.pools.extend(self.more_pool);
        let pools = config.pools.iter().flat_map(|pool| (1..=self.members).map(move |n| (pool, n)));
        config.members = pools
            .map(|(pool, n)| Member {
                slot: format!("{}-nvme{n}", pool.slot),
                pool: pool.slot.clone(),
                size: pool.size,
                temperature: 38,
            })
            .collect();
        config.costs = Costs {
            exec_ms: self.exec_ms,
            change_ms: self.change_ms,
            walk_us: self.walk_us,
            serial_changes: self.serial_changes,
        };
        (config.max_sessions, config.policies) = (self.max_sessions, self.policies);
        (config.max_line, config.max_comment) = (self.max_line, self.max_comment);
        config.identity = self.identity;
        if self.export == "nvmet" {
            config.exports = Exports::Nvmet { root: self.nvmet_root, address: self.nvmet_address };
        }
        Ok(config)
    }
}

/// `flash:btrfs:128`
fn pool(text: &str) -> Result<Pool, String> {
    let wrong = || format!("{text} is not SLOT:FILESYSTEM:GIB, e.g. flash:btrfs:128");
    let mut parts = text.split(':');
    let (Some(slot), Some(filesystem @ ("xfs" | "btrfs")), Some(gib), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let gib: u64 = gib.parse().map_err(|_| wrong())?;
    Ok(Pool::new(slot, filesystem, gib << 30))
}
