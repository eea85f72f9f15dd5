//! What can be set: options as an operator writes them, and the plain values they become.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chassis::channel::Endpoint;
use chassis::options::{Mistakes, ProcessOptions, TlsOptions};
use chassis::server::Listen;
use chassis::tls::Tls;
use proto::id::{ApplianceName, NodeId};
use proto::nqn::NqnPrefix;

use crate::addresses::AllowedAddress;
use crate::paths::KubeletDir;

/// Command line and environment of `nvme-agent`.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "nvme-agent",
    version,
    about = "Connects, formats, mounts, grows and measures volumes on one node"
)]
pub struct Options {
    /// Logging, tracing, admin port, shutdown.
    #[command(flatten)]
    pub process: ProcessOptions,
    /// Certificate of this service, its key, and the authority that signs every service.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// Socket to serve on
    #[arg(long, env = "RDS_LISTEN", default_value = "unix:///run/rds-csi/nvme-agent.sock")]
    pub listen: String,
    /// Name of this node in Kubernetes
    #[arg(long, env = "RDS_NODE_NAME", default_value = "")]
    pub node_name: String,
    /// Where sessions come from: linux (NVMe/TCP), or loopback (development: loop devices over the storage portal)
    #[arg(long, env = "RDS_KERNEL", value_enum, default_value_t = KernelKind::Linux)]
    pub kernel: KernelKind,
    /// With --kernel loopback: folder that remembers which loop device belongs to which volume
    #[arg(long, env = "RDS_LOOPBACK_STATE")]
    pub loopback_state: Option<PathBuf>,
    /// Folder on the host for the journal
    #[arg(long, env = "RDS_STATE_DIR", default_value = "/var/lib/rds.csi.srvlab.io")]
    pub state_dir: PathBuf,
    /// Kubelet's folder; no path outside is ever touched
    #[arg(long, env = "RDS_KUBELET_DIR", default_value = "/var/lib/kubelet")]
    pub kubelet_dir: PathBuf,
    /// What the NQN of a volume must begin with (comma separated)
    #[arg(long, env = "RDS_NQN_PREFIX", value_delimiter = ',')]
    pub nqn_prefix: Vec<String>,
    /// Storage addresses this node may connect to: address or network with an optional port (comma separated)
    #[arg(long, env = "RDS_ALLOW_ADDRESS", value_delimiter = ',')]
    pub allow_address: Vec<String>,
    /// Where rds-backend is, e.g. tcp://rds-backend:7443
    #[arg(long, env = "RDS_BACKEND_ENDPOINT", default_value = "")]
    pub backend_endpoint: String,
    /// Where event-relay is, e.g. tcp://event-relay:7444; without it events are only logged
    #[arg(long, env = "RDS_EVENT_RELAY_ENDPOINT")]
    pub event_relay_endpoint: Option<String>,
    /// Most volumes this node takes; 0 = no limit of ours
    #[arg(long, env = "RDS_MAX_VOLUMES", default_value_t = 0)]
    pub max_volumes: u64,
    /// Appliances and whether this node reaches them, e.g. rds1=yes,rds2=no
    #[arg(long, env = "RDS_APPLIANCES", value_delimiter = ',')]
    pub appliances: Vec<String>,
}

/// The kernels there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum KernelKind {
    /// NVMe/TCP through /dev/nvme-fabrics.
    Linux,
    /// Loop devices over the storage portal. For development only.
    Loopback,
}

/// What the agent runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to serve gRPC: a unix socket.
    pub listen: Listen,
    /// Where to serve metrics and health.
    pub admin_listen: SocketAddr,
    /// Who we are, and whom we trust; needed when an endpoint is TCP.
    pub tls: Option<Tls>,
    /// Time that calls in flight get at shutdown.
    pub grace: Duration,
    /// Name of this node in Kubernetes.
    pub node_name: String,
    /// Id of this node.
    pub node_id: NodeId,
    /// Where sessions come from.
    pub kernel: KernelConfig,
    /// Folder of the journal.
    pub state_dir: PathBuf,
    /// Kubelet's folder.
    pub kubelet: KubeletDir,
    /// What NQNs of ours begin with.
    pub nqn_prefixes: Vec<NqnPrefix>,
    /// Storage addresses that may be connected to.
    pub allowed: Vec<AllowedAddress>,
    /// Where rds-backend is.
    pub backend: Endpoint,
    /// Where event-relay is; `None` = events are only logged.
    pub relay: Option<Endpoint>,
    /// Most volumes; 0 = no limit of ours.
    pub max_volumes: u64,
    /// Appliances and whether this node reaches them.
    pub appliances: BTreeMap<ApplianceName, bool>,
}

/// Where sessions come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelConfig {
    /// NVMe/TCP.
    Linux,
    /// Development.
    Loopback {
        /// Folder that remembers loop devices.
        state: PathBuf,
    },
}

impl AsRef<ProcessOptions> for Options {
    fn as_ref(&self) -> &ProcessOptions {
        &self.process
    }
}

impl Options {
    /// Checks everything and loads the certificates.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn into_config(self) -> Result<Config, Mistakes> {
        let mut mistakes = Mistakes::new();
        self.process.check(&mut mistakes);
        let listen = mistakes.check("--listen", self.listen.parse());
        if matches!(listen, Some(Listen::Tcp(_))) {
            mistakes.note("--listen", "must be a unix socket: whoever may call this service owns the node");
        }
        let admin_listen = mistakes.check("--admin-listen", self.process.admin_listen.parse());
        let backend = mistakes.check("--backend-endpoint", self.backend_endpoint.parse());
        let relay_text = self.event_relay_endpoint.as_deref().filter(|text| !text.is_empty());
        let relay = relay_text.and_then(|text| mistakes.check("--event-relay-endpoint", text.parse()));
        let over_tcp = [&backend, &relay].into_iter().any(|e| matches!(e, Some(Endpoint::Tcp(_))));
        let tls = over_tcp.then(|| self.tls.load(&mut mistakes)).flatten();
        let node_id = mistakes.check("--node-name", NodeId::issue(&self.node_name));
        let kubelet = mistakes.check("--kubelet-dir", KubeletDir::open(&self.kubelet_dir));
        check_absolute("--state-dir", &self.state_dir, &mut mistakes);
        let kernel = self.kernel_config(&mut mistakes);
        let nqn_prefixes = each("--nqn-prefix", &self.nqn_prefix, &mut mistakes);
        let allowed = each("--allow-address", &self.allow_address, &mut mistakes);
        let appliances = appliances(&self.appliances, &mut mistakes);
        match (listen, admin_listen, backend, node_id, kubelet, kernel) {
            (Some(listen), Some(admin_listen), Some(backend), Some(node_id), Some(kubelet), Some(kernel))
                if mistakes.is_empty() =>
            {
                Ok(Config {
                    listen,
                    admin_listen,
                    tls,
                    grace: Duration::from_secs(self.process.shutdown_grace),
                    node_name: self.node_name,
                    node_id,
                    kernel,
                    state_dir: self.state_dir,
                    kubelet,
                    nqn_prefixes,
                    allowed,
                    backend,
                    relay,
                    max_volumes: self.max_volumes,
                    appliances,
                })
            }
            _ => Err(mistakes),
        }
    }

    fn kernel_config(&self, mistakes: &mut Mistakes) -> Option<KernelConfig> {
        match (self.kernel, &self.loopback_state) {
            (KernelKind::Linux, None) => Some(KernelConfig::Linux),
            (KernelKind::Linux, Some(_)) => {
                mistakes.note("--loopback-state", "goes with --kernel loopback only");
                None
            }
            (KernelKind::Loopback, None) => {
                mistakes.note("--loopback-state", "is missing: --kernel loopback must remember its devices");
                None
            }
            (KernelKind::Loopback, Some(state)) => {
                check_absolute("--loopback-state", state, mistakes);
                Some(KernelConfig::Loopback { state: state.clone() })
            }
        }
    }
}

fn check_absolute(option: &str, path: &Path, mistakes: &mut Mistakes) {
    if !path.is_absolute() {
        mistakes.note(option, format!("{} is not an absolute path", path.display()));
    }
}

/// Every entry of a list that must have one.
fn each<T: std::str::FromStr>(option: &str, texts: &[String], mistakes: &mut Mistakes) -> Vec<T>
where
    T::Err: std::fmt::Display,
{
    let given: Vec<&str> = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    if given.is_empty() {
        mistakes.note(option, "is missing: without it this node would refuse every volume");
    }
    given.into_iter().filter_map(|text| mistakes.check(option, text.parse())).collect()
}

fn appliances(texts: &[String], mistakes: &mut Mistakes) -> BTreeMap<ApplianceName, bool> {
    let mut all = BTreeMap::new();
    for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        let (name, answer) = text.split_once('=').unwrap_or((text, "yes"));
        let reached = match answer {
            "yes" => true,
            "no" => false,
            _ => {
                mistakes.note("--appliances", format!("{text:?}: write <name>=yes or <name>=no"));
                continue;
            }
        };
        if let Some(name) = mistakes.check("--appliances", name.parse()) {
            all.insert(name, reached);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn config(arguments: &[&str]) -> Result<Config, String> {
        let options = Options::parse_from([&["nvme-agent"], arguments].concat());
        options.into_config().map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_the_option_it_is_about() {
        let text = config(&[
            "--log=a=b=c",
            "--listen=tcp://0.0.0.0:1",
            "--loopback-state=x",
            "--appliances=rds1=maybe",
        ])
        .unwrap_err();
        let named = [
            "--log:",
            "--listen",
            "--loopback-state",
            "--appliances",
            "--node-name",
            "--nqn-prefix",
            "--allow-address",
        ];
        for option in named {
            assert!(text.contains(option), "{option} in {text}");
        }
    }

    #[test]
    fn the_kernel_of_development_is_chosen_by_name_and_needs_a_memory() {
        let kubelet = tempfile::tempdir().expect("a folder");
        let folder = format!("--kubelet-dir={}", kubelet.path().display());
        let base = [
            folder.as_str(),
            "--node-name=node-a",
            "--nqn-prefix=nqn.2026-09.io.srvlab:rds",
            "--allow-address=127.0.0.1",
            "--backend-endpoint=unix:///run/backend.sock",
            "--appliances=rds1=yes,rds2=no",
        ];
        let plain = config(&base).expect("correct");
        assert_eq!(plain.kernel, KernelConfig::Linux);
        assert_eq!(plain.appliances.values().collect::<Vec<_>>(), [&true, &false]);
        let without_memory = config(&[&base[..], &["--kernel=loopback"]].concat());
        assert!(without_memory.unwrap_err().contains("--loopback-state"));
        let with =
            config(&[&base[..], &["--kernel=loopback", "--loopback-state=/x"]].concat()).expect("correct");
        assert_eq!(with.kernel, KernelConfig::Loopback { state: "/x".into() });
    }
}
