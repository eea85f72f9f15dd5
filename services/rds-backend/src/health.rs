//! What an appliance says of itself, read for the call.

use chassis::deadline::Deadline;
use proto::id::ClusterId;
use proto::rds::volume::v1::ApplianceStatus;

use crate::appliance::link::Patience;
use crate::appliance::{Appliance, RunError};
use crate::capacity;
use crate::mark;
use crate::routeros::probe::Status;
use crate::routeros::script::status;

/// Asks one appliance. An outage is an answer here, not an error.
pub(crate) async fn status(
    appliance: &Appliance,
    cluster: &ClusterId,
    deadline: Deadline,
) -> ApplianceStatus {
    let config = appliance.config();
    let command = status::status(appliance.places(), &mark::head(cluster));
    let read = match appliance.run(&command, deadline, Patience::None).await {
        Ok(answer) => Status::read(&answer).map_err(|error| RunError::Lost(error.to_string())),
        Err(error) => Err(error),
    };
    let blank = ApplianceStatus {
        name: config.name.to_string(),
        address: config.ssh.clone(),
        ..ApplianceStatus::default()
    };
    match read {
        Ok(status) => describe(appliance, &status, blank),
        Err(error) => {
            let version = appliance.version();
            ApplianceStatus {
                problem: format!("appliance {} at {}: {error}", config.name, config.ssh),
                version: version.as_ref().map(|v| v.as_str().to_owned()).unwrap_or_default(),
                warnings: version.map(|v| v.warnings()).unwrap_or_default(),
                ..blank
            }
        }
    }
}

fn describe(appliance: &Appliance, status: &Status, blank: ApplianceStatus) -> ApplianceStatus {
    let pools = capacity::pools(appliance.config(), appliance.places(), &status.pools);
    let mut warnings = status.resource.version.warnings();
    for pool in pools.iter().filter(|pool| !pool.healthy) {
        let state = if pool.state.is_empty() { "not mounted" } else { &pool.state };
        warnings.push(format!("pool {} ({}) is {state}: no volume is made on it", pool.slot, pool.directory));
    }
    ApplianceStatus {
        reachable: true,
        version: status.resource.version.as_str().to_owned(),
        board: status.resource.board.clone(),
        uptime: status.resource.uptime.clone(),
        pools,
        volumes: status.volumes,
        warnings,
        ..blank
    }
}
