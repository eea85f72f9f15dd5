//! `rdsctl appliance …`.

use std::path::PathBuf;

use super::{BackendOptions, ClusterOptions, ListSnapshotsArguments, ListVolumesArguments, MarkOptions};
use crate::input::{cluster_mark, size};
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ApplianceCommand {
    /// What each appliance says of itself now; exit code 1 when one cannot be reached
    Status(ApplianceArguments),
    /// RAID sets, drives and sensors of one appliance; exit code 1 when something is not well
    Health(NamedArguments),
    /// Room for new volumes, per configured folder; exit code 1 when a pool is not healthy
    Pools(ApplianceArguments),
    /// Volumes of this cluster
    Volumes(ListVolumesArguments),
    /// Snapshots of this cluster
    Snapshots(ListSnapshotsArguments),
    /// What is left over: volumes without a PersistentVolume, the other way round, and what does not fit on the
    /// appliance. Removes nothing; exit code 1 when something was found
    Orphans(OrphansArguments),
    /// Make volumes of the earlier driver (pvc-<uuid>) ours; they keep their slots and their data
    Adopt(AdoptArguments),
    /// Take over the volumes of another cluster: after a cluster was made anew
    AdoptCluster(AdoptClusterArguments),
    /// Write the mark of one volume anew after somebody edited its comment
    RepairComment(RepairArguments),
    /// Find out on a scratch volume what no documentation says of this appliance; exit code 1 when something is not
    /// as the driver expects it
    Qualify(QualifyArguments),
}

/// One appliance or all.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplianceArguments {
    /// Name of one appliance; without it all configured ones
    pub(crate) name: Option<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
}

/// One appliance.
#[derive(Debug, clap::Args)]
pub(crate) struct NamedArguments {
    /// Name of the appliance
    pub(crate) name: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OrphansArguments {
    /// Do not ask the cluster: only what does not fit on the appliance itself
    #[arg(long, conflicts_with = "kubeconfig")]
    pub(crate) no_cluster: bool,
    #[command(flatten)]
    pub(crate) appliance: NamedArguments,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AdoptArguments {
    /// Handles of the earlier driver, pvc-<uuid>
    #[arg(value_name = "HANDLE", required_unless_present = "all_legacy")]
    pub(crate) handles: Vec<String>,
    /// All that are not adopted yet, on all appliances or on the one of --appliance. Walks all files
    #[arg(long, conflicts_with = "handles")]
    pub(crate) all_legacy: bool,
    /// Where --all-legacy looks; without it on all configured appliances
    #[arg(long, value_name = "NAME", requires = "all_legacy")]
    pub(crate) appliance: Option<String>,
    #[command(flatten)]
    pub(crate) mark: MarkOptions,
    /// Take class and claim from the PersistentVolume of each; what has none is left alone
    #[arg(long, conflicts_with_all = ["access_class", "claim"], required_unless_present = "access_class")]
    pub(crate) from_cluster: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AdoptClusterArguments {
    /// The eight hex digits of the cluster whose volumes are taken over; `appliance orphans` names them
    #[arg(long, value_name = "MARK", value_parser = cluster_mark)]
    pub(crate) from: String,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) appliance: NamedArguments,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("class").required(true).arg("access_class")))]
pub(crate) struct RepairArguments {
    /// Handle of the volume, APPLIANCE/SLOT
    pub(crate) handle: String,
    #[command(flatten)]
    pub(crate) mark: MarkOptions,
    /// Epoch to write, not below that of the exported name; without it that of the exported name
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) epoch: u64,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct QualifyArguments {
    /// Folder for the scratch volume, one of the configured ones; without it the first
    #[arg(long, value_name = "FOLDER")]
    pub(crate) directory: Option<String>,
    /// Size of the scratch volume
    #[arg(long, value_name = "SIZE", default_value = "1Gi", value_parser = size)]
    pub(crate) size: u64,
    /// Write the conversation to this file, which must not exist; names, serial numbers and addresses are left out
    #[arg(long, value_name = "FILE")]
    pub(crate) transcript: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) appliance: NamedArguments,
}
