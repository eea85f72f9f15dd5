//! `rdsctl volumes …` and `rdsctl snapshots …`.

use super::BackendOptions;
use crate::input::claim;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum VolumesCommand {
    /// Volumes of this cluster
    List(ListVolumesArguments),
    /// One volume as the appliance has it now
    Show(HandleArguments),
    /// Take a volume away from its nodes by force, when Kubernetes cannot
    Detach(DetachArguments),
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum SnapshotsCommand {
    /// Snapshots of this cluster
    List(ListSnapshotsArguments),
    /// One snapshot as the appliance has it now
    Show(HandleArguments),
    /// Remove a snapshot; volumes made from it stay
    Delete(DeleteSnapshotArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListVolumesArguments {
    /// Name of one appliance; without it all configured ones
    pub(crate) name: Option<String>,
    /// Only those attached to this node
    #[arg(long, value_name = "ID")]
    pub(crate) node: Option<String>,
    /// Only those of this claim
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = claim)]
    pub(crate) claim: Option<(String, String)>,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListSnapshotsArguments {
    /// Name of one appliance; without it all configured ones
    pub(crate) name: Option<String>,
    /// Only those made of this volume
    #[arg(long, value_name = "HANDLE")]
    pub(crate) source: Option<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HandleArguments {
    /// Its handle, APPLIANCE/SLOT
    pub(crate) handle: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DetachArguments {
    /// Take it away from this node only; without it from all
    #[arg(long, value_name = "ID")]
    pub(crate) node: Option<String>,
    /// Needed: the node may still run, and what it has not written yet is lost
    #[arg(long)]
    pub(crate) force: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) volume: HandleArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeleteSnapshotArguments {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) snapshot: HandleArguments,
}
