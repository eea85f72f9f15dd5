//! What is asked of rds-backend.

use std::path::PathBuf;

use chassis::channel::Endpoint;
use chassis::options::TlsOptions;
use proto::rds::volume::v1::AccessClass;

use super::Output;
use crate::input;

/// Where the backend is, and how long to wait for it.
#[derive(Debug, clap::Args)]
pub(crate) struct BackendOptions {
    /// Where rds-backend is
    #[arg(long, env = "RDS_BACKEND_ENDPOINT", value_name = "tcp://HOST:PORT")]
    pub(crate) backend: Endpoint,
    #[command(flatten)]
    pub(crate) tls: TlsOptions,
    /// Seconds a call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u64,
}

/// How a volume may be shared between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Class {
    /// One node at a time, with a filesystem
    SingleFilesystem,
    /// One node at a time, raw block
    SingleBlock,
    /// Up to two nodes, raw block
    MultiBlock,
    /// Up to two nodes, read-only
    MultiReader,
}

impl From<Class> for AccessClass {
    fn from(class: Class) -> Self {
        match class {
            Class::SingleFilesystem => Self::SingleNodeFilesystem,
            Class::SingleBlock => Self::SingleNodeBlock,
            Class::MultiBlock => Self::MultiNodeBlock,
            Class::MultiReader => Self::MultiNodeReader,
        }
    }
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ApplianceCommand {
    /// What each appliance says of itself now
    Status(StatusArguments),
    /// Disks, RAID sets, sensors and warnings of one appliance
    Health(ApplianceArguments),
    /// Room for new volumes
    Pools(StatusArguments),
    /// Volumes of this cluster
    Volumes(ListArguments),
    /// Snapshots of this cluster
    Snapshots(SnapshotListArguments),
    /// What is on the appliance and not in the cluster, or the other way round; removes nothing
    Orphans(OrphansArguments),
    /// Make volumes of an earlier driver (pvc-<uuid>) this one's
    Adopt(AdoptArguments),
    /// Take over the volumes of a cluster that was made anew
    AdoptCluster(AdoptClusterArguments),
    /// Write the mark of a volume anew after somebody edited its comment
    RepairComment(RepairArguments),
    /// Find out on a scratch disk what no documentation says of this appliance
    Qualify(QualifyArguments),
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum VolumesCommand {
    /// Volumes of this cluster
    List(ListArguments),
    /// One volume
    Show(VolumeArguments),
    /// Take a volume away from a node that is lost
    Detach(DetachArguments),
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum SnapshotsCommand {
    /// Snapshots of this cluster
    List(SnapshotListArguments),
    /// One snapshot
    Show(SnapshotArguments),
    /// Delete a snapshot; what was made from it stays
    Delete(SnapshotArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArguments {
    /// Name of one appliance; without it all configured ones
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ApplianceArguments {
    /// Name of the appliance
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArguments {
    /// Name of one appliance; without it all configured ones
    pub(crate) appliance: Option<String>,
    /// Only volumes that this node holds, by its node id
    #[arg(long, value_name = "NODE_ID")]
    pub(crate) node: Option<String>,
    /// Only volumes of this claim
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = input::claim)]
    pub(crate) claim: Option<(String, String)>,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SnapshotListArguments {
    /// Name of one appliance; without it all configured ones
    pub(crate) appliance: Option<String>,
    /// Only snapshots of this volume
    #[arg(long, value_name = "HANDLE")]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VolumeArguments {
    /// Handle of the volume
    pub(crate) handle: String,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SnapshotArguments {
    /// Handle of the snapshot
    pub(crate) handle: String,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DetachArguments {
    /// Handle of the volume
    pub(crate) handle: String,
    /// Only from this node, by its node id; without it from all
    #[arg(long, value_name = "NODE_ID")]
    pub(crate) node: Option<String>,
    /// I know what fencing does and does not do
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OrphansArguments {
    /// Name of the appliance
    pub(crate) name: String,
    /// Look at the appliance only
    #[arg(long)]
    pub(crate) no_cluster: bool,
    /// Name of the CSI driver
    #[arg(long, value_name = "NAME", default_value = "rds.csi.srvlab.io")]
    pub(crate) driver_name: String,
    /// Credentials; without it those of the environment or of the pod
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AdoptArguments {
    /// Handles of the volumes, pvc-<uuid>
    #[arg(required = true, value_name = "HANDLE")]
    pub(crate) handles: Vec<String>,
    /// How they are shared between nodes
    #[arg(long, value_enum)]
    pub(crate) access_class: Class,
    /// The claim of the volume
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = input::claim)]
    pub(crate) claim: Option<(String, String)>,
    /// They hold nothing: a node may format them
    #[arg(long)]
    pub(crate) blank: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AdoptClusterArguments {
    /// Name of the appliance
    pub(crate) name: String,
    /// Eight hex digits of the cluster, as `appliance orphans` names them
    #[arg(long, value_name = "MARK")]
    pub(crate) from: String,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RepairArguments {
    /// Handle of the volume
    pub(crate) handle: String,
    /// How it is shared between nodes
    #[arg(long, value_enum)]
    pub(crate) access_class: Class,
    /// The claim of the volume
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = input::claim)]
    pub(crate) claim: Option<(String, String)>,
    /// It holds nothing: a node may format it
    #[arg(long)]
    pub(crate) blank: bool,
    /// How many owners it has had; without it that of its exported name
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) epoch: u64,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct QualifyArguments {
    /// Name of the appliance
    pub(crate) name: String,
    /// Folder for the scratch disk; without it the first configured one
    #[arg(long, value_name = "FOLDER")]
    pub(crate) directory: Option<String>,
    /// Size of the scratch disk
    #[arg(long, value_name = "SIZE", default_value = "1Gi", value_parser = input::size)]
    pub(crate) size: u64,
    /// Write commands and answers to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) transcript: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) backend: BackendOptions,
    /// How to print it
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}
