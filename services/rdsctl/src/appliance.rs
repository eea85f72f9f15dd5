//! `rdsctl appliance status|health|pools`: what the backend hears from each appliance.

use std::fmt::Write as _;

use proto::rds::volume::v1::{
    ApplianceStatus, GetApplianceHealthRequest, GetApplianceHealthResponse, GetApplianceStatusRequest,
    GetCapacityRequest, GetCapacityResponse, Pool,
};
use tracing::Instrument as _;

use crate::backend::Backend;
use crate::cli::{ApplianceArguments, StatusArguments};
use crate::outcome::Failure;
use crate::show::{rough, row, show, table, visible};

/// Asks and prints. An appliance that cannot be reached is bad news.
pub(crate) async fn status(arguments: StatusArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    let request = GetApplianceStatusRequest { appliance: arguments.name.unwrap_or_default() };
    let span = tracing::info_span!("appliance status", otel.name = "rdsctl appliance status");
    let mut client = backend.appliances();
    let answer = client.get_appliance_status(backend.request(request)).instrument(span).await?;
    let appliances = answer.into_inner().appliances;
    show(arguments.output, &appliances, || text(&appliances))?;
    if appliances.iter().all(|appliance| appliance.reachable) { Ok(()) } else { Err(Failure::BadNews) }
}

/// Disks, sensors, pools. Warnings are bad news.
pub(crate) async fn health(arguments: ApplianceArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    let request = GetApplianceHealthRequest { appliance: arguments.name };
    let health = backend.appliances().get_appliance_health(backend.request(request)).await?.into_inner();
    show(arguments.output, &health, || health_text(&health))?;
    if health.warnings.is_empty() { Ok(()) } else { Err(Failure::BadNews) }
}

fn health_text(health: &GetApplianceHealthResponse) -> String {
    let days = health.uptime_seconds / 86_400;
    let hours = health.uptime_seconds % 86_400 / 3_600;
    let mut text = table(&[
        row(["NAME", "VERSION", "BOARD", "UPTIME", "FLAGGED", "RUNNING", "WAITING"]),
        row([
            &health.name,
            &health.version,
            &health.board,
            &format!("{days}d{hours}h"),
            if health.flagged { "YES" } else { "no" },
            &health.commands_running.to_string(),
            &health.commands_waiting.to_string(),
        ]),
    ]);
    let mut drives = vec![row(["DRIVE", "MODEL", "SERIAL", "SIZE", "STATE"])];
    drives.extend(health.drives.iter().map(|drive| {
        row([&drive.slot, &drive.model, &drive.serial, &rough(drive.size_bytes), &drive.state])
    }));
    let mut pools = vec![row(["APPLIANCE", "FOLDER", "SLOT", "FS", "SIZE", "FREE", "RESERVE", "STATE"])];
    pools.extend(health.pools.iter().map(|pool| pool_row(&health.name, pool)));
    let mut sensors = vec![row(["SENSOR", "VALUE"])];
    sensors.extend(
        health
            .sensors
            .iter()
            .map(|sensor| row([&sensor.name, format!("{} {}", sensor.value, sensor.unit).trim_end()])),
    );
    for part in [pools, drives, sensors] {
        if part.len() > 1 {
            text = text + "\n" + &table(&part);
        }
    }
    for warning in &health.warnings {
        // Writing to a String cannot fail.
        let _ = write!(text, "\nwarning: {}", visible(warning));
    }
    text.trim_end().to_owned() + "\n"
}

/// Room for new volumes.
pub(crate) async fn pools(arguments: StatusArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    let request =
        GetCapacityRequest { appliance: arguments.name.unwrap_or_default(), directory: String::new() };
    let capacity = backend.appliances().get_capacity(backend.request(request)).await?.into_inner();
    show(arguments.output, &capacity, || capacity_text(&capacity))?;
    if capacity.pools.iter().all(|pool| pool.healthy) { Ok(()) } else { Err(Failure::BadNews) }
}

fn capacity_text(capacity: &GetCapacityResponse) -> String {
    let mut rows = vec![row(["FOLDER", "SLOT", "FS", "SIZE", "FREE", "RESERVE", "STATE"])];
    rows.extend(capacity.pools.iter().map(|pool| pool_row("", pool).split_off(1)));
    format!(
        "{}\n{} available, the largest volume can have {}\n",
        table(&rows),
        rough(capacity.available_bytes),
        rough(capacity.maximum_volume_bytes)
    )
}

/// For people: a table of appliances, a table of pools, and what there is to say about each.
fn text(appliances: &[ApplianceStatus]) -> String {
    let mut rows = vec![row(["NAME", "ADDRESS", "STATE", "VERSION", "BOARD", "UPTIME", "VOLUMES"])];
    let mut pools = vec![row(["APPLIANCE", "FOLDER", "SLOT", "FS", "SIZE", "FREE", "RESERVE", "STATE"])];
    let mut remarks = String::new();
    for one in appliances {
        let state = if one.reachable { "reachable" } else { "unreachable" };
        let volumes = if one.reachable { one.volumes.to_string() } else { String::new() };
        rows.push(row([&one.name, &one.address, state, &one.version, &one.board, &one.uptime, &volumes]));
        pools.extend(one.pools.iter().map(|pool| pool_row(&one.name, pool)));
        let problem = (!one.problem.is_empty()).then(|| format!("problem: {}", one.problem));
        let warnings = one.warnings.iter().map(|warning| format!("warning: {warning}"));
        for remark in problem.into_iter().chain(warnings) {
            // Writing to a String cannot fail.
            let _ = writeln!(remarks, "{}: {}", one.name, visible(&remark));
        }
    }
    let mut text = table(&rows);
    for part in [if pools.len() > 1 { table(&pools) } else { String::new() }, remarks] {
        if !part.is_empty() {
            text = text + "\n" + &part;
        }
    }
    text
}

fn pool_row(appliance: &str, pool: &Pool) -> Vec<String> {
    let state = match (pool.healthy, pool.state.as_str()) {
        (true, "") => "healthy".to_owned(),
        (true, state) => format!("healthy ({state})"),
        (false, "") => "UNHEALTHY".to_owned(),
        (false, state) => format!("UNHEALTHY ({state})"),
    };
    row([
        appliance,
        &pool.directory,
        &pool.slot,
        &pool.filesystem,
        &rough(pool.size_bytes),
        &rough(pool.free_bytes),
        &rough(pool.reserve_bytes),
        &state,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_pools_problems_and_warnings() {
        let fine = ApplianceStatus {
            name: "rds1".to_owned(),
            address: "10.0.0.1:22".to_owned(),
            reachable: true,
            volumes: 3,
            pools: vec![Pool {
                directory: "/raid1/volumes".to_owned(),
                size_bytes: 3 << 40,
                free_bytes: 1536 << 20,
                healthy: true,
                state: "clean".to_owned(),
                ..Pool::default()
            }],
            warnings: vec!["version with known holes".to_owned()],
            ..ApplianceStatus::default()
        };
        let down = ApplianceStatus {
            name: "rds2".to_owned(),
            problem: "no route".to_owned(),
            ..ApplianceStatus::default()
        };
        let text = text(&[fine, down]);
        for wanted in [
            "3.0 TiB",
            "1.5 GiB",
            "healthy (clean)",
            "unreachable",
            "rds2: problem: no route",
            "rds1: warning: version",
        ] {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
        assert!(text.lines().all(|line| !line.ends_with(' ')));
    }
}
