//! What an appliance says of itself, read for the call.

use chassis::deadline::Deadline;
use proto::id::ClusterId;
use proto::rds::volume::v1::{ApplianceStatus, Drive, GetApplianceHealthResponse, Pool, Sensor};
use proto::size::ByteSize;
use serde_json::Value;

use crate::appliance::link::Patience;
use crate::appliance::{Appliance, RunError, clock};
use crate::capacity;
use crate::mark;
use crate::routeros::disk::{Fields, RowError};
use crate::routeros::probe::{Resource, Status, read_pools};
use crate::routeros::script::status;

/// Asks one appliance. An outage is an answer here, not an error.
pub(crate) async fn status(
    appliance: &Appliance,
    cluster: &ClusterId,
    deadline: Deadline,
) -> ApplianceStatus {
    let config = appliance.config();
    let command = status::status(&appliance.places(), &mark::head(cluster));
    let read = match appliance.run::<Value>(&command, deadline, Patience::None).await {
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
    let pools = capacity::pools(appliance.config(), &appliance.places(), &status.pools);
    let mut warnings = status.resource.version.warnings();
    warnings.extend(of_pools(&pools));
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

/// What the answer to a health command says.
pub(crate) fn describe_health(
    appliance: &Appliance,
    answer: &Value,
) -> Result<GetApplianceHealthResponse, RowError> {
    let resource = Resource::read(answer)?;
    let fields = Fields::of(answer, "answer")?;
    let mode = fields.get("mode").map(|mode| Fields::of(mode, "mode")).transpose()?;
    // Versions differ in how they name it; absent is not flagged.
    let flagged = mode.is_some_and(|mode| mode.flag("flagged").unwrap_or(false));
    let pools = capacity::pools(appliance.config(), &appliance.places(), &read_pools(answer)?);
    let mut warnings = resource.version.warnings();
    warnings.extend(of_pools(&pools));
    if flagged {
        warnings.push(
            "RouterOS has found traces of a compromise (/system/device-mode, flagged): treat the appliance as hostile until \
             it is reinstalled"
                .to_owned(),
        );
    }
    let mut drives = Vec::new();
    for row in fields.rows("drives")? {
        drives.push(Drive {
            slot: row.wanted("slot")?,
            model: row.text("model")?,
            serial: row.text("serial")?,
            size_bytes: row.number("size").unwrap_or(0),
            state: row.text("state")?,
        });
    }
    let mut sensors = Vec::new();
    for row in fields.rows("sensors")? {
        sensors.push(Sensor {
            name: row.wanted("name")?,
            value: row.text("value")?,
            unit: row.text("type")?,
        });
    }
    let (commands_running, commands_waiting) = appliance.commands();
    Ok(GetApplianceHealthResponse {
        name: appliance.config().name.to_string(),
        version: resource.version.as_str().to_owned(),
        board: resource.board.clone(),
        uptime_seconds: clock::seconds(&resource.uptime).unwrap_or(0),
        flagged,
        pools,
        drives,
        sensors,
        warnings,
        commands_running,
        commands_waiting,
    })
}

/// A sentence for each pool that cannot be used, or soon cannot.
fn of_pools(pools: &[Pool]) -> Vec<String> {
    let mut warnings = Vec::new();
    for pool in pools {
        let Pool { slot, directory, state, .. } = pool;
        let state = if state.is_empty() { "not mounted" } else { state };
        if !pool.healthy {
            warnings.push(format!("pool {slot} ({directory}) is {state}: no volume is made on it"));
        } else if capacity::is_nearly_full(pool) {
            warnings.push(format!(
                "pool {slot} ({directory}) is nearly full: {} free, of which {} are kept",
                ByteSize::from_bytes(pool.free_bytes),
                ByteSize::from_bytes(pool.reserve_bytes)
            ));
        }
    }
    warnings
}
