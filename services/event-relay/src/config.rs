//! What can be set: options as an operator writes them, and the plain values they become.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chassis::options::{Mistakes, ProcessOptions, TlsOptions};
use chassis::server::Listen;
use chassis::tls::Tls;

use crate::namespace::{Namespace, Rules};

/// Command line and environment of `event-relay`.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "event-relay", version, about = "Writes Kubernetes Events for the other services")]
pub struct Options {
    /// Logging, tracing, admin port, shutdown.
    #[command(flatten)]
    pub process: ProcessOptions,
    /// Certificate of this service, its key, and the authority that signs every service.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// Address to serve on, e.g. tcp://0.0.0.0:7444
    #[arg(long, env = "RDS_LISTEN", default_value = "tcp://0.0.0.0:7444")]
    pub listen: String,
    /// Where Events go: kubernetes, or log (one JSON line each)
    #[arg(long, env = "RDS_SINK", value_enum, default_value_t = SinkKind::Kubernetes)]
    pub sink: SinkKind,
    /// With --sink log: append the lines to this file as well
    #[arg(long, env = "RDS_LOG_SINK_FILE")]
    pub log_sink_file: Option<PathBuf>,
    /// With --sink kubernetes: credentials to use instead of those of the pod
    #[arg(long, env = "RDS_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Write Events about nodes to this namespace instead of default; kubectl describe node then does not show them
    #[arg(long, env = "RDS_NODE_EVENT_NAMESPACE")]
    pub node_event_namespace: Option<String>,
    /// Write Events to these namespaces only (comma separated)
    #[arg(long, env = "RDS_ALLOW_NAMESPACES", value_delimiter = ',')]
    pub allow_namespaces: Vec<String>,
    /// Never write Events to these namespaces (comma separated)
    #[arg(long, env = "RDS_DENY_NAMESPACES", value_delimiter = ',')]
    pub deny_namespaces: Vec<String>,
    /// Name of the CSI driver: whose PersistentVolumes are looked at, and the prefix of the reporting component
    #[arg(long, env = "RDS_DRIVER_NAME", default_value = "rds.csi.srvlab.io")]
    pub driver_name: String,
    /// Name of this replica in the Events it writes about itself
    #[arg(long, env = "RDS_INSTANCE", default_value = "event-relay")]
    pub instance: String,
}

/// The kinds of sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SinkKind {
    /// core/v1 Events in a cluster.
    Kubernetes,
    /// JSON lines.
    Log,
}

/// What the relay runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to serve gRPC.
    pub listen: Listen,
    /// Where to serve metrics and health.
    pub admin_listen: SocketAddr,
    /// Who we are, and whom we trust.
    pub tls: Tls,
    /// Time that calls in flight get at shutdown.
    pub grace: Duration,
    /// Where Events may go.
    pub rules: Rules,
    /// Name of the CSI driver.
    pub driver: String,
    /// Name of this replica.
    pub instance: String,
    /// How Events are written.
    pub sink: SinkConfig,
}

/// How Events are written.
#[derive(Clone)]
pub enum SinkConfig {
    /// To the cluster this pod runs in, or to the current context of a kubeconfig.
    Kubernetes {
        /// The kubeconfig; `None` = the pod's own credentials.
        kubeconfig: Option<PathBuf>,
    },
    /// Through this client.
    Client(kube::Client),
    /// As JSON lines in the log.
    Log {
        /// And in this file.
        file: Option<PathBuf>,
    },
}

impl std::fmt::Debug for SinkConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kubernetes { kubeconfig } => write!(f, "Kubernetes({kubeconfig:?})"),
            Self::Client(_) => f.write_str("Client"),
            Self::Log { file } => write!(f, "Log({file:?})"),
        }
    }
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
        let admin_listen = mistakes.check("--admin-listen", self.process.admin_listen.parse());
        let tls = self.tls.load(&mut mistakes);
        let node = self.node_event_namespace.as_deref().filter(|text| !text.is_empty());
        let rules = Rules {
            node_event_namespace: node
                .and_then(|text| mistakes.check("--node-event-namespace", text.parse::<Namespace>())),
            allow: namespaces("--allow-namespaces", &self.allow_namespaces, &mut mistakes),
            deny: namespaces("--deny-namespaces", &self.deny_namespaces, &mut mistakes),
        };
        if !crate::subject::is_object_name(&self.driver_name) {
            let problem = format!("{:?} is not a DNS-1123 subdomain", self.driver_name);
            mistakes.note("--driver-name", problem);
        }
        if !(1..=128).contains(&self.instance.len()) {
            mistakes.note("--instance", "must be 1 to 128 bytes long");
        }
        let sink = self.sink_config(&mut mistakes);
        match (listen, admin_listen, tls) {
            (Some(listen), Some(admin_listen), Some(tls)) if mistakes.is_empty() => Ok(Config {
                listen,
                admin_listen,
                tls,
                grace: Duration::from_secs(self.process.shutdown_grace),
                rules,
                driver: self.driver_name,
                instance: self.instance,
                sink,
            }),
            _ => Err(mistakes),
        }
    }

    fn sink_config(&self, mistakes: &mut Mistakes) -> SinkConfig {
        match self.sink {
            SinkKind::Kubernetes => {
                if self.log_sink_file.is_some() {
                    mistakes.note("--log-sink-file", "goes with --sink log only");
                }
                SinkConfig::Kubernetes { kubeconfig: self.kubeconfig.clone() }
            }
            SinkKind::Log => {
                if self.kubeconfig.is_some() {
                    mistakes.note("--kubeconfig", "goes with --sink kubernetes only");
                }
                SinkConfig::Log { file: self.log_sink_file.clone() }
            }
        }
    }
}

fn namespaces(option: &str, texts: &[String], mistakes: &mut Mistakes) -> BTreeSet<Namespace> {
    texts
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .filter_map(|text| mistakes.check(option, text.parse()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn options(arguments: &[&str]) -> Options {
        Options::parse_from([&["event-relay"], arguments].concat())
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_the_option_it_is_about() {
        let wrong = options(&[
            "--log=a=b=c",
            "--sink=log",
            "--kubeconfig=/nowhere",
            "--node-event-namespace=Not.A.Label",
            "--allow-namespaces=demo,-bad",
            "--driver-name=Bad Name",
        ]);
        let text = wrong.into_config().unwrap_err().to_string();
        for option in
            ["--log:", "--kubeconfig", "--node-event-namespace", "--allow-namespaces", "--driver-name"]
        {
            assert!(text.contains(option), "{option} in {text}");
        }
    }

    #[test]
    fn what_is_not_set_is_no_mistake_but_the_certificates_are_needed() {
        let text = options(&[]).into_config().unwrap_err().to_string();
        assert!(text.contains("3 mistake(s)") && text.contains("--tls-cert"), "{text}");
    }

    #[test]
    fn namespaces_are_comma_separated_lists() {
        let mut mistakes = Mistakes::new();
        let options = options(&["--sink=log", "--allow-namespaces=a,b", "--deny-namespaces=c"]);
        let allow = namespaces("--allow-namespaces", &options.allow_namespaces, &mut mistakes);
        assert_eq!((allow.len(), options.deny_namespaces.len()), (2, 1));
        assert!(matches!(options.sink_config(&mut mistakes), SinkConfig::Log { file: None }));
        assert!(mistakes.is_empty());
    }
}
