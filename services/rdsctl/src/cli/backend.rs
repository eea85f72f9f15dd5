//! Options that several commands have.

use std::path::PathBuf;

use chassis::channel::Endpoint;
use chassis::options::TlsOptions;
use proto::rds::volume::v1::{AccessClass, Claim};

use crate::input::{access_class, claim};

/// Where the backend is.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Backend")]
pub(crate) struct BackendOptions {
    /// Where rds-backend is
    #[arg(long, env = "RDS_BACKEND_ENDPOINT", value_name = "tcp://HOST:PORT")]
    pub(crate) backend: Endpoint,
    #[command(flatten)]
    pub(crate) tls: TlsOptions,
    /// Seconds a call may take; without it 30, or 3600 where many files or rows are gone through
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: Option<u64>,
}

/// How the cluster is asked.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterOptions {
    /// Credentials; without it those of the environment (KUBECONFIG) or of the pod
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Name of the CSI driver
    #[arg(long, value_name = "NAME", default_value = "rds.csi.srvlab.io")]
    pub(crate) driver_name: String,
}

/// What is written into the mark of a volume.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MarkOptions {
    /// How it is shared: single-node-filesystem, single-node-block, multi-node-block or multi-node-reader
    #[arg(long, value_name = "CLASS", value_parser = access_class)]
    pub(crate) access_class: Option<AccessClass>,
    /// Claim it belongs to
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = claim)]
    pub(crate) claim: Option<(String, String)>,
    /// It is known to be blank: a node may format it. Without this nobody ever will
    #[arg(long)]
    pub(crate) blank: bool,
}

impl MarkOptions {
    /// The claim as the contract has it.
    pub(crate) fn wire_claim(&self) -> Option<Claim> {
        let (namespace, name) = self.claim.clone()?;
        Some(Claim { namespace, name, volume_name: String::new() })
    }
}
