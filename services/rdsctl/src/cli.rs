//! The command line.

use chassis::channel::Endpoint;

mod appliance;
mod backend;
mod cluster;
mod csi;
mod volume;

pub(crate) use appliance::{
    AdoptArguments, AdoptClusterArguments, ApplianceArguments, ApplianceCommand, NamedArguments,
    OrphansArguments, QualifyArguments, RepairArguments,
};
pub(crate) use backend::{BackendOptions, ClusterOptions, MarkOptions};
pub(crate) use cluster::{CertificatesArguments, CertificatesCommand, UninstallArguments, UninstallCommand};
pub(crate) use csi::CsiCommand;
pub(crate) use volume::{
    DeleteSnapshotArguments, DetachArguments, HandleArguments, ListSnapshotsArguments, ListVolumesArguments,
    SnapshotsCommand, VolumesCommand,
};

/// The operator's command line.
#[derive(Debug, clap::Parser)]
#[command(name = "rdsctl", version, about = "Operates and debugs the RDS CSI driver")]
pub struct Cli {
    /// Send traces to this OTLP gRPC endpoint, e.g. http://jaeger:4317
    #[arg(long, env = "RDS_OTLP_ENDPOINT", value_name = "URL", global = true, help_heading = "Tracing")]
    pub(crate) otlp_endpoint: Option<String>,
    /// Continue this trace, a W3C traceparent: several commands of one script become one trace
    #[arg(long, env = "TRACEPARENT", value_name = "TRACEPARENT", global = true, help_heading = "Tracing")]
    pub(crate) traceparent: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Speak CSI to a socket
    Csi(CsiArguments),
    /// Appliances, as the backend knows them
    #[command(subcommand)]
    Appliance(ApplianceCommand),
    /// Volumes, as the backend knows them
    #[command(subcommand)]
    Volumes(VolumesCommand),
    /// Snapshots, as the backend knows them
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_stands_in_the_page_of_the_program() {
        let page = include_str!("../../../docs/rdsctl.md");
        let command = Cli::command();
        let groups = command.get_subcommands().filter(|group| group.get_name() != "csi");
        for (group, command) in groups.flat_map(|group| group.get_subcommands().map(move |it| (group, it))) {
            let wanted = format!("rdsctl {} {}", group.get_name(), command.get_name());
            assert!(page.contains(&wanted), "{wanted}");
            assert!(command.get_about().is_some(), "{wanted} says nothing of itself");
        }
    }
}
