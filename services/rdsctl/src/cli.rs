//! The command line.

use chassis::channel::Endpoint;

mod backend;
mod cluster;
mod csi;

pub(crate) use backend::{
    AdoptArguments, AdoptClusterArguments, ApplianceArguments, ApplianceCommand, BackendOptions,
    DetachArguments, ListArguments, OrphansArguments, QualifyArguments, RepairArguments, SnapshotArguments,
    SnapshotListArguments, SnapshotsCommand, StatusArguments, VolumeArguments, VolumesCommand,
};
pub(crate) use cluster::{CertificatesArguments, CertificatesCommand, UninstallArguments, UninstallCommand};
pub(crate) use csi::CsiCommand;

/// The operator's command line.
#[derive(Debug, clap::Parser)]
#[command(name = "rdsctl", version, about = "Operates and debugs the RDS CSI driver")]
pub struct Cli {
    /// Send traces to this OTLP gRPC endpoint, e.g. http://jaeger:4317
    #[arg(long, env = "RDS_OTLP_ENDPOINT", value_name = "URL", global = true)]
    pub(crate) otlp_endpoint: Option<String>,
    /// Continue this trace, a W3C traceparent: several commands of one script become one trace
    #[arg(long, env = "TRACEPARENT", value_name = "TRACEPARENT", global = true)]
    pub(crate) traceparent: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Speak CSI to a socket
    Csi(CsiArguments),
    /// Ask the backend about appliances
    #[command(subcommand)]
    Appliance(ApplianceCommand),
    /// Volumes on the appliances
    #[command(subcommand)]
    Volumes(VolumesCommand),
    /// Snapshots on the appliances
    #[command(subcommand)]
    Snapshots(SnapshotsCommand),
    /// The certificates of the services, in the cluster's secrets
    #[command(subcommand)]
    Certificates(CertificatesCommand),
    /// Before the driver is taken away
    #[command(subcommand)]
    Uninstall(UninstallCommand),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CsiArguments {
    /// Socket of the driver
    #[arg(long, env = "RDS_CSI_SOCKET", value_name = "unix:///PATH", global = true)]
    pub(crate) socket: Option<Endpoint>,
    /// Seconds the call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, global = true)]
    pub(crate) timeout: u64,
    #[command(subcommand)]
    pub(crate) command: CsiCommand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
