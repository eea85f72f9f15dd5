//! `rdsctl appliance …`: one file per command. Each asks the backend, and prints a table or the messages.

mod adopt;
mod adopt_cluster;
mod health;
mod orphans;
mod pool;
mod qualify;
mod repair;
mod status;

use crate::cli::ApplianceCommand;
use crate::outcome::Failure;
use crate::{snapshots, volumes};

/// Does what the command says.
pub(crate) async fn obey(command: ApplianceCommand) -> Result<(), Failure> {
    match command {
        ApplianceCommand::Status(arguments) => status::status(arguments).await,
        ApplianceCommand::Health(arguments) => health::health(arguments).await,
        ApplianceCommand::Pools(arguments) => pool::pools(arguments).await,
        ApplianceCommand::Volumes(arguments) => volumes::list(arguments).await,
        ApplianceCommand::Snapshots(arguments) => snapshots::list(arguments).await,
        ApplianceCommand::Orphans(arguments) => orphans::orphans(arguments).await,
        ApplianceCommand::Adopt(arguments) => adopt::adopt(arguments).await,
        ApplianceCommand::AdoptCluster(arguments) => adopt_cluster::adopt_cluster(arguments).await,
        ApplianceCommand::RepairComment(arguments) => repair::repair(arguments).await,
        ApplianceCommand::Qualify(arguments) => qualify::qualify(arguments).await,
    }
}
