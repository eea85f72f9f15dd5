//! `rdsctl appliance status`: what the backend hears from each appliance, as a table or as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use chassis::channel::{Endpoint, Upstream};
use chassis::options::Mistakes;
use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::appliances_client::AppliancesClient;
use proto::rds::volume::v1::{ApplianceStatus, GetApplianceStatusRequest, Pool};
use proto::size::ByteSize;
use serde_json::{Value, json};
use tonic::{Request, Status};
use tracing::Instrument as _;

use crate::cli::{Output, StatusArguments};
use crate::outcome::{Failure, print};

/// Name of the backend, and of the role in its certificate.
const BACKEND: &str = "rds-backend";

/// Asks and prints. An appliance that cannot be reached is bad news.
pub(crate) async fn status(arguments: StatusArguments) -> Result<(), Failure> {
    let mut mistakes = Mistakes::new();
    let tls = match arguments.backend {
        Endpoint::Tcp(_) => arguments.tls.load(&mut mistakes),
        Endpoint::Unix(_) => None,
    };
    mistakes.finish().map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
    let upstream =
        Upstream::new(BACKEND, arguments.backend, tls).map_err(|error| Failure::Usage(error.to_string()))?;
    let mut request =
        Request::new(GetApplianceStatusRequest { appliance: arguments.name.unwrap_or_default() });
    request.set_timeout(Duration::from_secs(arguments.timeout));
    let span = tracing::info_span!("appliance status", otel.name = "rdsctl appliance status");
    let mut client = AppliancesClient::new(upstream.channel());
    let answer = client.get_appliance_status(request).instrument(span).await;
    let appliances = answer.map_err(failure)?.into_inner().appliances;
    match arguments.output {
        Output::Text => print(&text(&appliances)),
        Output::Json => print(&format!("{:#}\n", Value::from_iter(appliances.iter().map(json_of)))),
    }
    if appliances.iter().all(|appliance| appliance.reachable) { Ok(()) } else { Err(Failure::BadNews) }
}

/// A status without our details comes from the transport: nobody answered.
fn failure(status: Status) -> Failure {
    match Fault::from_status(&status, BACKEND).reason {
        Reason::ServiceUnreachable => Failure::Usage(status.message().to_owned()),
        Reason::InvalidArgument
        | Reason::VolumeNotFound
        | Reason::NodeNotFound
        | Reason::Incompatible
        | Reason::Busy
        | Reason::NoSpace
        | Reason::SizeOutOfRange
        | Reason::AttachedElsewhere
        | Reason::StillAttached
        | Reason::StaleEpoch
        | Reason::NotOurs
        | Reason::PoolUnhealthy
        | Reason::NotConfigured
        | Reason::ApplianceUnreachable
        | Reason::ApplianceRefused
        | Reason::FormatRefused
        | Reason::IdentityMismatch
        | Reason::PathDown
        | Reason::NodeOperationFailed
        | Reason::NotGrown
        | Reason::PathNotFound
        | Reason::PermissionDenied
        | Reason::Unsupported
        | Reason::DeadlineExceeded
        | Reason::Internal => Failure::Answer(status),
    }
}

/// For people: a table of appliances, a table of pools, and what there is to say about each.
fn text(appliances: &[ApplianceStatus]) -> String {
    let mut rows =
        vec![["NAME", "ADDRESS", "STATE", "VERSION", "BOARD", "UPTIME", "VOLUMES"].map(str::to_owned)];
    let mut pools =
        vec![["APPLIANCE", "FOLDER", "SLOT", "FS", "SIZE", "FREE", "RESERVE", "STATE"].map(str::to_owned)];
    let mut remarks = String::new();
    for one in appliances {
        let state = if one.reachable { "reachable" } else { "unreachable" };
        let volumes = if one.reachable { one.volumes.to_string() } else { String::new() };
        rows.push([
            one.name.clone(),
            one.address.clone(),
            state.to_owned(),
            one.version.clone(),
            one.board.clone(),
            one.uptime.clone(),
            volumes,
        ]);
        pools.extend(one.pools.iter().map(|pool| pool_row(&one.name, pool)));
        let problem = (!one.problem.is_empty()).then(|| format!("problem: {}", one.problem));
        let warnings = one.warnings.iter().map(|warning| format!("warning: {warning}"));
        for remark in problem.into_iter().chain(warnings) {
            // Writing to a String cannot fail.
            let _ = writeln!(remarks, "{}: {remark}", one.name);
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

fn pool_row(appliance: &str, pool: &Pool) -> [String; 8] {
    let state = match (pool.healthy, pool.state.as_str()) {
        (true, "") => "healthy".to_owned(),
        (true, state) => format!("healthy ({state})"),
        (false, "") => "UNHEALTHY".to_owned(),
        (false, state) => format!("UNHEALTHY ({state})"),
    };
    [
        appliance.to_owned(),
        pool.directory.clone(),
        pool.slot.clone(),
        pool.filesystem.clone(),
        rough(pool.size_bytes),
        rough(pool.free_bytes),
        rough(pool.reserve_bytes),
        state,
    ]
}

/// A size for people: three digits or so. Never used for anything but showing.
fn rough(bytes: u64) -> String {
    let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => ByteSize::from_bytes(bytes).to_string(),
    }
}

/// Columns as wide as their widest cell, two spaces apart.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn json_of(one: &ApplianceStatus) -> Value {
    let pool = |pool: &Pool| {
        json!({
            "directory": pool.directory, "slot": pool.slot, "filesystem": pool.filesystem,
            "size_bytes": pool.size_bytes, "free_bytes": pool.free_bytes, "reserve_bytes": pool.reserve_bytes,
            "healthy": pool.healthy, "state": pool.state,
        })
    };
    json!({
        "name": one.name, "address": one.address, "reachable": one.reachable, "problem": one.problem,
        "version": one.version, "board": one.board, "uptime": one.uptime, "volumes": one.volumes,
        "pools": one.pools.iter().map(pool).collect::<Vec<_>>(), "warnings": one.warnings,
    })
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
