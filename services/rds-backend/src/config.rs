//! Options of the process, and the configuration they become. Every mistake is reported at once.

mod appliance;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chassis::channel::Endpoint;
use chassis::options::{Mistakes, ProcessOptions, TlsOptions};
use chassis::server::Listen;
use chassis::tls::Tls;
use proto::id::ClusterId;
use proto::nqn::NqnPrefix;

use crate::appliance::UserKey;
use crate::ownership::LeaseName;

pub use appliance::{ApplianceConfig, ApplianceConfigError, Wear};

/// Name of an instance that was given none.
const DEFAULT_INSTANCE: &str = "rds-backend";

/// The appliance side of the driver: SSH, RouterOS, and the life of volumes and attachments.
#[derive(clap::Parser, Debug, Clone)]
#[command(name = "rds-backend", version)]
pub struct Options {
    /// Options every service has.
    #[command(flatten)]
    pub process: ProcessOptions,
    /// Certificate, key and CA.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// Where to serve: tcp://HOST:PORT.
    #[arg(long, env = "RDS_LISTEN", default_value = "tcp://0.0.0.0:7443", value_name = "ENDPOINT")]
    pub listen: String,
    /// An appliance; may be given several times, the first is the default (in the environment: separated by ';').
    /// name=rds1,ssh=HOST:PORT,user=csi,storage=IP:PORT[+IP:PORT],dirs=/raid1/volumes[+/raid2/volumes],reserve=1Gi,host-key=SHA256:…
    #[arg(long = "appliance", env = "RDS_APPLIANCE", value_delimiter = ';', value_name = "KEY=VALUE,…")]
    pub appliances: Vec<String>,
    /// The ed25519 key all appliances are logged in to with, in OpenSSH's format. Read anew for each connection.
    #[arg(long, env = "RDS_SSH_KEY", value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,
    /// A file whose first line is the passphrase of that key.
    #[arg(long, env = "RDS_SSH_KEY_PASSPHRASE", value_name = "FILE")]
    pub ssh_key_passphrase: Option<PathBuf>,
    /// Seconds after which a command that an appliance has not begun is void, 1 to 60: what hangs there for longer does
    /// nothing when it wakes up.
    #[arg(long, env = "RDS_COMMAND_EXPIRY", default_value_t = 5, value_name = "SECONDS")]
    pub command_expiry: u64,
    /// Seconds after its start in which nothing is changed on an appliance, 0 to 120: commands of a process that was there
    /// before and died may still begin. More than --command-expiry and 2; 0 only where there never was another one.
    #[arg(long, env = "RDS_TAKEOVER_WAIT", default_value_t = 8, value_name = "SECONDS")]
    pub takeover_wait: u64,
    /// What the NVMe names of all volumes begin with.
    #[arg(long, env = "RDS_NQN_PREFIX", default_value = "nqn.2026-09.io.srvlab:rds", value_name = "NQN")]
    pub nqn_prefix: String,
    /// Identity of this cluster; without it, the UID of the namespace kube-system is read from the API.
    #[arg(long, env = "RDS_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<String>,
    /// Where Events go: tcp://HOST:PORT of event-relay. Without it they are only logged.
    #[arg(long, env = "RDS_EVENT_RELAY_ENDPOINT", value_name = "ENDPOINT")]
    pub event_relay_endpoint: Option<String>,
    /// Name of this instance in Events, e.g. the pod's.
    #[arg(long, env = "RDS_INSTANCE", default_value = DEFAULT_INSTANCE, value_name = "NAME")]
    pub instance: String,
    /// Node this instance runs on: Events about appliances are about it. Without it they are only logged.
    #[arg(long, env = "RDS_NODE_NAME", default_value = "", value_name = "NAME")]
    pub node_name: String,
    /// Hours between two inventories, which walk all files of an appliance; 0 = none, only when rdsctl asks.
    #[arg(long, env = "RDS_INVENTORY_HOURS", default_value_t = 24, value_name = "HOURS")]
    pub inventory_hours: u64,
    /// Lease in Kubernetes that the one process holds which changes the appliances, NAMESPACE/NAME. Without it there must
    /// never be a second process.
    #[arg(long, env = "RDS_LEASE", value_name = "NAMESPACE/NAME")]
    pub lease: Option<String>,
    /// Nodes that may hold one raw block volume at once, for live migration: 1 or 2.
    #[arg(long, env = "RDS_BLOCK_NODES", default_value_t = 2, value_name = "NODES")]
    pub block_nodes: u8,
    /// Do not use appliances whose RouterOS has known holes in its SSH server.
    #[arg(long, env = "RDS_REQUIRE_PATCHED_APPLIANCE")]
    pub require_patched_appliance: bool,
}

impl AsRef<ProcessOptions> for Options {
    fn as_ref(&self) -> &ProcessOptions {
        &self.process
    }
}

/// What the service runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to serve gRPC, TCP only.
    pub listen: Listen,
    /// Where to serve the admin port; `None` = nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// Our certificate and the CA of our peers.
    pub tls: Tls,
    /// The appliances, at least one; the first is the default.
    pub appliances: Vec<ApplianceConfig>,
    /// The ed25519 key for all of them.
    pub ssh_key: UserKey,
    /// How long after it was sent a command may begin.
    pub command_expiry: Duration,
    /// How long after the start nothing is changed.
    pub takeover_wait: Duration,
    /// What exported names begin with.
    pub nqn_prefix: NqnPrefix,
    /// `None` = read from the Kubernetes API.
    pub cluster_id: Option<ClusterId>,
    /// `None` = Events are only logged.
    pub event_relay: Option<Endpoint>,
    /// Name of this instance in Events.
    pub instance: String,
    /// Node that Events about appliances are about; empty = they are only logged.
    pub node_name: String,
    /// Time between two inventories; `None` = none.
    pub inventory_every: Option<Duration>,
    /// What the one process holds that changes the appliances; `None` = there is no other.
    pub lease: Option<LeaseName>,
    /// Nodes that may hold one raw block volume at once.
    pub block_nodes: u8,
    /// Refuse appliances with known holes.
    pub require_patched: bool,
    /// What calls in flight get at the end.
    pub shutdown_grace: Duration,
}

impl Options {
    /// Checks everything.
    ///
    /// # Errors
    /// All mistakes.
    pub fn into_config(self) -> Result<Config, Mistakes> {
        let mut mistakes = Mistakes::new();
        self.process.check(&mut mistakes);
        let tls = self.tls.load(&mut mistakes);
        let listen = mistakes.check("--listen", self.listen.parse::<Listen>());
        if let Some(Listen::Unix(_)) = listen {
            mistakes
                .note("--listen", "must be tcp://HOST:PORT: callers are told apart by their certificates");
        }
        let admin_listen = match self.process.admin_listen.as_str() {
            "" => None,
            address => mistakes.check("--admin-listen", address.parse()),
        };
        let appliances = appliances(&self.appliances, &mut mistakes);
        if self.ssh_key.is_none() {
            mistakes.note("--ssh-key", "is missing: the ed25519 key for the appliances");
        }
        let nqn_prefix = mistakes.check("--nqn-prefix", self.nqn_prefix.parse());
        let lease = self.lease(&mut mistakes);
        let cluster_id = self.cluster_id.as_deref().map(|text| mistakes.check("--cluster-id", text.parse()));
        let event_relay = self
            .event_relay_endpoint
            .as_deref()
            .map(|text| mistakes.check("--event-relay-endpoint", text.parse()));
        if self.instance.is_empty() || self.instance.len() > 128 {
            mistakes.note("--instance", "must have 1 to 128 bytes");
        }
        if !(1..=60).contains(&self.command_expiry) {
            mistakes.note(
                "--command-expiry",
                format!("is {}, 1 to 60 seconds are possible", self.command_expiry),
            );
        }
        if self.takeover_wait > 120 || (1..=self.command_expiry + 2).contains(&self.takeover_wait) {
            mistakes.note(
                "--takeover-wait",
                format!(
                    "is {}, 0 or {} to 120 seconds are possible",
                    self.takeover_wait,
                    self.command_expiry + 3
                ),
            );
        }
        if !(1..=2).contains(&self.block_nodes) {
            mistakes.note("--block-nodes", format!("is {}, 1 or 2 nodes are possible", self.block_nodes));
        }
        if self.inventory_hours > 24 * 365 {
            mistakes.note("--inventory-hours", format!("is {}, at most a year", self.inventory_hours));
        }
        let whole = (tls, listen, self.ssh_key, nqn_prefix);
        mistakes.finish()?;
        let (Some(tls), Some(listen), Some(ssh_key), Some(nqn_prefix)) = whole else {
            // Each of them notes a mistake when it is missing.
            return Err(Mistakes::new());
        };
        Ok(Config {
            listen,
            admin_listen,
            tls,
            appliances,
            ssh_key: UserKey { file: ssh_key, passphrase: self.ssh_key_passphrase },
            command_expiry: Duration::from_secs(self.command_expiry),
            takeover_wait: Duration::from_secs(self.takeover_wait),
            nqn_prefix,
            cluster_id: cluster_id.flatten(),
            event_relay: event_relay.flatten(),
            instance: self.instance,
            node_name: self.node_name,
            inventory_every: (self.inventory_hours > 0)
                .then(|| Duration::from_secs(self.inventory_hours.saturating_mul(3600))),
            lease,
            block_nodes: self.block_nodes,
            require_patched: self.require_patched_appliance,
            shutdown_grace: Duration::from_secs(self.process.shutdown_grace),
        })
    }
}

impl Options {
    fn lease(&self, mistakes: &mut Mistakes) -> Option<LeaseName> {
        let text = self.lease.as_deref()?;
        if self.instance == DEFAULT_INSTANCE {
            mistakes.note(
                "--instance",
                "must tell the replicas apart where there is a --lease, e.g. the pod's name",
            );
        }
        mistakes.check("--lease", text.parse())
    }
}

fn appliances(texts: &[String], mistakes: &mut Mistakes) -> Vec<ApplianceConfig> {
    if texts.is_empty() {
        mistakes.note("--appliance", "is missing: at least one");
    }
    let mut appliances: Vec<ApplianceConfig> = Vec::new();
    let mut names = HashSet::new();
    for text in texts {
        match text.parse::<ApplianceConfig>() {
            Ok(appliance) => {
                if !names.insert(appliance.name.clone()) {
                    mistakes.note("--appliance", format!("the name {} is used twice", appliance.name));
                }
                appliances.push(appliance);
            }
            Err(error) => error.0.iter().for_each(|problem| mistakes.note("--appliance", problem)),
        }
    }
    appliances
}

#[cfg(test)]
mod tests;
