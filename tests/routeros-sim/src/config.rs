//! How a simulated appliance is set up.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A pool of the appliance.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Slot of the row, also the first folder of its paths: `raid1` → `/raid1/…`.
    pub slot: String,
    /// `xfs` or `btrfs`.
    pub filesystem: String,
    /// Size in bytes.
    pub size: u64,
    /// `clean`, `active`, `degraded`, ….
    pub state: String,
    /// False: the pool is not mounted.
    pub mounted: bool,
}

impl Pool {
    /// A healthy, mounted pool.
    pub fn new(slot: &str, filesystem: &str, size: u64) -> Self {
        Self {
            slot: slot.to_owned(),
            filesystem: filesystem.to_owned(),
            size,
            state: "clean".to_owned(),
            mounted: true,
        }
    }
}

/// A physical disk: a row of type `hardware`.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its slot, e.g. `nvme1`.
    pub slot: String,
    /// Slot of the pool it belongs to.
    pub pool: String,
    /// Size in bytes.
    pub size: u64,
    /// Degrees Celsius.
    pub temperature: i64,
}

/// How a connected host learns of a new size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Growth {
    /// Only when it connects anew: what was seen on a device (M).
    Reconnect,
    /// At once.
    Live,
}

/// What things cost in time. Commands of different channels overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Costs {
    /// Milliseconds every command takes before it begins.
    pub exec_ms: u64,
    /// Milliseconds every change takes.
    pub change_ms: u64,
    /// Microseconds `/file/print` and `/file/find` take for each file of the whole tree (M: they walk it).
    pub walk_us: u64,
    /// Changes wait for each other (I: unknown of a device).
    pub serial_changes: bool,
}

/// Where exports go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Exports {
    /// The portal hands the backing file to the host: for agents on the same machine.
    #[default]
    Portal,
    /// The kernel's NVMe target, through its configfs. Needs root and the modules `nvmet` and `nvmet-tcp`.
    Nvmet {
        /// Usually `/sys/kernel/config/nvmet`.
        root: PathBuf,
        /// Address the target listens on; the port is that of each row.
        address: std::net::IpAddr,
    },
}

/// How the simulated appliance is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder for the host key (`host_key`), the rows (`state.jsonl`) and the files of the pools (`fs/…`).
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
    /// The pools. They win over what an earlier run has left in the state.
    pub pools: Vec<Pool>,
    /// Physical disks.
    pub members: Vec<Member>,
    /// How a connected host learns of a new size.
    pub growth: Growth,
    /// What things cost in time.
    pub costs: Costs,
    /// Sessions the SSH service accepts at once (C: `/ip/service max-sessions`).
    pub max_sessions: usize,
    /// Policies of the user's group, with commas between.
    pub policies: String,
    /// Longest command in bytes; longer ones are refused (I).
    pub max_line: usize,
    /// Longest comment in bytes; longer ones are refused (I).
    pub max_comment: usize,
    /// What `/system/identity` says; also in the prompt.
    pub identity: String,
    /// Where exports go.
    pub exports: Exports,
}

/// All policies that matter here.
pub(crate) const POLICIES: &str = "ssh,read,write,test,ftp,policy,reboot";

impl Config {
    /// Port 0 everywhere, RouterOS 7.24.4, one healthy 64 GiB xfs pool `raid1`, everything allowed, nothing slow.
    pub fn new(state_dir: PathBuf, user: &str, authorized_keys: Vec<String>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            state_dir,
            ssh_listen: any,
            portal_listen: any,
            control_listen: any,
            user: user.to_owned(),
            authorized_keys,
            version: "7.24.4 (stable)".to_owned(),
            pools: vec![Pool::new("raid1", "xfs", 64 << 30)],
            members: Vec::new(),
            growth: Growth::Reconnect,
            costs: Costs::default(),
            max_sessions: 20,
            policies: POLICIES.to_owned(),
            max_line: 16 << 10,
            max_comment: 255,
            identity: "simulated-rds".to_owned(),
            exports: Exports::Portal,
        }
    }
}
