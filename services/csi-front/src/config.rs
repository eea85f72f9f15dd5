//! What can be set: options as an operator writes them, and the plain values they become.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use chassis::channel::Endpoint;
use chassis::options::{Mistakes, ProcessOptions, TlsOptions};
use chassis::server::Listen;
use chassis::tls::Tls;

pub use crate::request::path::{KubeletDir, KubeletDirError};

/// Name of the driver unless configured otherwise: that of the earlier driver, so that existing volumes keep theirs.
pub const DEFAULT_DRIVER: &str = "rds.csi.srvlab.io";
/// Longest name of a driver, in bytes (CSI: 63).
const MAX_DRIVER_BYTES: usize = 63;
/// Longest path of a unix socket, in bytes, without the final NUL (unix(7)).
const MAX_SOCKET_BYTES: usize = 107;
/// What is put before the registration socket's name while it is made: one by us, one by the listener.
const HIDDEN_BYTES: usize = "..".len();

/// Which CSI services a process serves, beside Identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Controller, for the sidecars.
    Controller,
    /// Node, for kubelet.
    Node,
    /// Both on one socket.
    Both,
}

/// Who tells kubelet about the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Registration {
    /// This process.
    #[value(name = "self")]
    Own,
    /// A node-driver-registrar beside it.
    Sidecar,
}

/// Command line and environment of `csi-front`.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "csi-front",
    version,
    about = "Speaks CSI: parsing, capabilities, error codes, registration"
)]
pub struct Options {
    /// Logging, tracing, admin port, shutdown.
    #[command(flatten)]
    pub process: ProcessOptions,
    /// Certificate towards the backend; needed in controller mode.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// Which CSI services to serve beside Identity
    #[arg(long, env = "RDS_MODE", value_enum)]
    pub mode: Option<Mode>,
    /// Socket to serve CSI on
    #[arg(long, env = "RDS_LISTEN", default_value = "unix:///csi/csi.sock", value_name = "unix:///PATH")]
    pub listen: String,
    /// Name of the CSI driver
    #[arg(long, env = "RDS_DRIVER_NAME", default_value = DEFAULT_DRIVER, value_name = "NAME")]
    pub driver_name: String,
    /// Where rds-backend is (controller mode), e.g. tcp://rds-backend:7443
    #[arg(long, env = "RDS_BACKEND_ENDPOINT", value_name = "ENDPOINT")]
    pub backend_endpoint: Option<String>,
    /// Where nvme-agent is (node mode)
    #[arg(
        long,
        env = "RDS_AGENT_ENDPOINT",
        default_value = "unix:///run/rds-csi/nvme-agent.sock",
        value_name = "unix:///PATH"
    )]
    pub agent_endpoint: String,
    /// Kubelet's folder (node mode): every path of a request must lie below it
    #[arg(long, env = "RDS_KUBELET_DIR", default_value = "/var/lib/kubelet", value_name = "PATH")]
    pub kubelet_dir: String,
    /// Who tells kubelet about the driver (node mode): this process, or a node-driver-registrar sidecar
    #[arg(long, env = "RDS_REGISTRATION", value_enum, default_value = "self")]
    pub registration: Registration,
}

impl AsRef<ProcessOptions> for Options {
    fn as_ref(&self) -> &ProcessOptions {
        &self.process
    }
}

/// What the front runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the CSI driver.
    pub driver: String,
    /// Where to serve CSI: a unix socket.
    pub listen: Listen,
    /// Where to serve `/metrics`, `/healthz` and `/readyz`.
    pub admin: SocketAddr,
    /// Set to serve CSI Controller.
    pub controller: Option<ControllerConfig>,
    /// Set to serve CSI Node.
    pub node: Option<NodeConfig>,
    /// How long calls in flight get to finish at the end.
    pub grace: Duration,
}

/// What the controller needs.
#[derive(Debug, Clone)]
pub struct ControllerConfig {
    /// Where rds-backend is.
    pub backend: Endpoint,
    /// Our certificate, for TCP.
    pub tls: Option<Tls>,
}

/// What the node needs.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Where nvme-agent is.
    pub agent: Endpoint,
    /// Every path of a request must lie below it.
    pub kubelet_dir: KubeletDir,
    /// Who tells kubelet about the driver.
    pub registration: Registration,
}

impl Options {
    /// Checks everything; all mistakes are reported at once.
    ///
    /// # Errors
    /// With every mistake.
    pub fn into_config(self) -> Result<Config, Mistakes> {
        let mut mistakes = Mistakes::new();
        self.process.check(&mut mistakes);
        if let Some(problem) = driver_name_problem(&self.driver_name) {
            mistakes.note("--driver-name", problem);
        }
        let listen = mistakes.check("--listen", self.listen.parse::<Listen>());
        if let Some(Listen::Tcp(_)) = listen {
            mistakes.note("--listen", "CSI is served on unix sockets only: unix:///PATH");
        }
        let admin = mistakes.check("--admin-listen", self.process.admin_listen.parse::<SocketAddr>());
        if self.mode.is_none() {
            mistakes.note("--mode", "is missing: controller, node or both");
        }
        let controller = match self.mode {
            Some(Mode::Controller | Mode::Both) => self.controller(&mut mistakes),
            Some(Mode::Node) | None => None,
        };
        let node = match self.mode {
            Some(Mode::Node | Mode::Both) => self.node(&mut mistakes),
            Some(Mode::Controller) | None => None,
        };
        match (listen, admin) {
            (Some(listen), Some(admin)) if mistakes.is_empty() => Ok(Config {
                driver: self.driver_name,
                listen,
                admin,
                controller,
                node,
                grace: Duration::from_secs(self.process.shutdown_grace),
            }),
            _ => Err(mistakes),
        }
    }

    fn controller(&self, mistakes: &mut Mistakes) -> Option<ControllerConfig> {
        let Some(text) = &self.backend_endpoint else {
            mistakes.note(
                "--backend-endpoint",
                "is missing: controller mode needs it, e.g. tcp://rds-backend:7443",
            );
            return None;
        };
        let backend = mistakes.check("--backend-endpoint", text.parse::<Endpoint>())?;
        let tls = match backend {
            Endpoint::Tcp(_) => Some(self.tls.load(mistakes)?),
            Endpoint::Unix(_) => None,
        };
        Some(ControllerConfig { backend, tls })
    }

    fn node(&self, mistakes: &mut Mistakes) -> Option<NodeConfig> {
        let agent = mistakes.check("--agent-endpoint", self.agent_endpoint.parse::<Endpoint>());
        if let Some(Endpoint::Tcp(_)) = agent {
            mistakes.note("--agent-endpoint", "the agent serves on a unix socket of its node: unix:///PATH");
        }
        let kubelet_dir = mistakes.check("--kubelet-dir", self.kubelet_dir.parse::<KubeletDir>())?;
        let socket = crate::registration::socket(&kubelet_dir, &self.driver_name);
        if self.registration == Registration::Own && !fits_a_socket(&socket) {
            mistakes.note(
                "--kubelet-dir",
                format!(
                    "{} is too long for a unix socket: at most {MAX_SOCKET_BYTES} bytes",
                    socket.display()
                ),
            );
        }
        Some(NodeConfig { agent: agent?, kubelet_dir, registration: self.registration })
    }
}

fn fits_a_socket(path: &Path) -> bool {
    path.as_os_str().len() + HIDDEN_BYTES <= MAX_SOCKET_BYTES
}

/// CSI: domain name notation, at most 63 bytes, letters and digits at both ends.
fn driver_name_problem(name: &str) -> Option<String> {
    let end = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let good = name.len() <= MAX_DRIVER_BYTES
        && end(name.bytes().next())
        && end(name.bytes().last())
        && name.bytes().all(inner)
        && !name.contains("..");
    (!good).then(|| {
        format!("{name:?} is not a domain name of at most {MAX_DRIVER_BYTES} lower-case letters, digits, '-' and '.'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn config(arguments: &[&str]) -> Result<Config, String> {
        let process = ["csi-front", "--admin-listen=127.0.0.1:0"];
        let options =
            Options::try_parse_from([&process, arguments].concat()).map_err(|error| error.to_string())?;
        options.into_config().map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_the_option_it_is_about() {
        let text = config(&[
            "--log=a=b=c",
            "--mode=both",
            "--listen=tcp://127.0.0.1:0",
            "--driver-name=Not A Name",
            "--agent-endpoint=tcp://node:1",
            "--kubelet-dir=relative",
        ])
        .unwrap_err();
        for option in
            ["--log:", "--listen", "--driver-name", "--backend-endpoint", "--agent-endpoint", "--kubelet-dir"]
        {
            assert!(text.contains(option), "{option} in {text}");
        }
    }

    #[test]
    fn a_mode_needs_only_what_it_uses() {
        let node = config(&["--mode=node"]).expect("needs neither backend nor certificates");
        assert!(node.controller.is_none());
        assert_eq!(node.node.expect("set").registration, Registration::Own);
        let controller =
            config(&["--mode=controller", "--backend-endpoint=unix:///run/b.sock"]).expect("complete");
        assert!(controller.node.is_none());
        let text = config(&["--mode=controller", "--backend-endpoint=tcp://b:1"]).unwrap_err();
        assert!(text.contains("--tls-cert"), "{text}");
    }

    #[test]
    fn a_registration_socket_that_no_kernel_could_bind_is_told_at_start() {
        let long = format!("--kubelet-dir=/{}", "k".repeat(90));
        assert!(config(&["--mode=node", &long]).unwrap_err().contains("too long"));
        assert!(config(&["--mode=node", &long, "--registration=sidecar"]).is_ok());
    }
}
