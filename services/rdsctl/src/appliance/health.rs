//! `rdsctl appliance health`: RAID sets, drives and sensors of one appliance.

use proto::rds::volume::v1::{GetApplianceHealthRequest, GetApplianceHealthResponse};

use super::pool;
use crate::backend::{Backend, SHORT};
use crate::cli::NamedArguments;
use crate::message;
use crate::outcome::Failure;
use crate::table::{Table, fields, paragraphs, rough, visible};

/// Asks and prints. A warning, a pool that is not healthy and a flagged device are bad news.
pub(super) async fn health(arguments: NamedArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend, SHORT)?;
    let health = ask(&backend, &arguments.name).await?;
    arguments.output.show(|| text(&health), || message::value(&health));
    let well = health.warnings.is_empty() && !health.flagged && health.pools.iter().all(|pool| pool.healthy);
    if well { Ok(()) } else { Err(Failure::BadNews) }
}

/// Health of one appliance.
pub(super) async fn ask(backend: &Backend, name: &str) -> Result<GetApplianceHealthResponse, Failure> {
    let message = GetApplianceHealthRequest { appliance: name.to_owned() };
    backend
        .call("GetApplianceHealth", message, async |m| backend.appliances().get_appliance_health(m).await)
        .await
}

fn text(health: &GetApplianceHealthResponse) -> String {
    let flagged = if health.flagged { "YES: RouterOS found traces of a compromise" } else { "no" };
    let commands = format!("{} running, {} waiting", health.commands_running, health.commands_waiting);
    let head = fields(&[
        ("name", health.name.clone()),
        ("version", health.version.clone()),
        ("board", health.board.clone()),
        ("uptime", period(health.uptime_seconds)),
        ("flagged", flagged.to_owned()),
        ("commands", commands),
    ]);
    let mut pools = pool::table();
    for one in &health.pools {
        pools.row(pool::row(&health.name, one));
    }
    let mut drives = Table::new(["DRIVE", "MODEL", "SERIAL", "SIZE", "STATE"]);
    for one in &health.drives {
        let (slot, model, serial) = (one.slot.clone(), one.model.clone(), one.serial.clone());
        drives.row([slot, model, serial, rough(one.size_bytes), one.state.clone()]);
    }
    let mut sensors = Table::new(["SENSOR", "VALUE", "UNIT"]);
    for one in &health.sensors {
        sensors.row([one.name.clone(), one.value.clone(), one.unit.clone()]);
    }
    let drives = if drives.is_empty() { String::new() } else { drives.to_string() };
    let sensors = if sensors.is_empty() { String::new() } else { sensors.to_string() };
    let warnings = health.warnings.iter().map(|warning| format!("warning: {}\n", visible(warning))).collect();
    paragraphs(&[head, pool::shown(&pools), drives, sensors, warnings])
}

/// `2d 3h 4m`, and seconds below an hour.
fn period(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m {}s", seconds % 60),
        (0, hours) => format!("{hours}h {minutes}m"),
        (days, hours) => format!("{days}d {hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::rds::volume::v1::{Drive, Sensor};

    #[test]
    fn everything_that_was_measured_is_shown() {
        let health = GetApplianceHealthResponse {
            name: "rds1".to_owned(),
            uptime_seconds: 93_784,
            flagged: true,
            drives: vec![Drive {
                slot: "nvme3".to_owned(),
                serial: "S1".to_owned(),
                size_bytes: 1 << 40,
                ..Drive::default()
            }],
            sensors: vec![Sensor {
                name: "cpu-temperature".to_owned(),
                value: "48".to_owned(),
                unit: "C".to_owned(),
            }],
            warnings: vec!["a fan stands still".to_owned()],
            ..GetApplianceHealthResponse::default()
        };
        let text = text(&health);
        for wanted in
            ["1d 2h 3m", "YES: RouterOS", "nvme3", "1.0 TiB", "cpu-temperature  48", "warning: a fan"]
        {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
        assert_eq!(period(59), "0m 59s");
        assert_eq!(period(7260), "2h 1m");
    }
}
