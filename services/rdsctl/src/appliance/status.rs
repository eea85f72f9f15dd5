//! `rdsctl appliance status`: what each appliance says of itself now.

use proto::rds::volume::v1::ApplianceStatus;

use super::pool;
use crate::backend::{Backend, SHORT};
use crate::cli::ApplianceArguments;
use crate::message;
use crate::outcome::Failure;
use crate::table::{Table, paragraphs, visible};

/// Asks and prints. An appliance that cannot be reached is bad news.
pub(super) async fn status(arguments: ApplianceArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend, SHORT)?;
    let appliances = backend.status(&arguments.name.unwrap_or_default()).await?;
    arguments.output.show(|| text(&appliances), || message::values(&appliances));
    if appliances.iter().all(|appliance| appliance.reachable) { Ok(()) } else { Err(Failure::BadNews) }
}

/// For people: a table of appliances, a table of pools, and what there is to say about each.
fn text(appliances: &[ApplianceStatus]) -> String {
    let mut rows = Table::new(["NAME", "ADDRESS", "STATE", "VERSION", "BOARD", "UPTIME", "VOLUMES"]);
    let mut pools = pool::table();
    let mut remarks = String::new();
    for one in appliances {
        let state = if one.reachable { "reachable" } else { "unreachable" };
        let volumes = if one.reachable { one.volumes.to_string() } else { String::new() };
        rows.row([
            one.name.clone(),
            one.address.clone(),
            state.to_owned(),
            one.version.clone(),
            one.board.clone(),
            one.uptime.clone(),
            volumes,
        ]);
        for pool in &one.pools {
            pools.row(pool::row(&one.name, pool));
        }
        let problem = (!one.problem.is_empty()).then_some(("problem", &one.problem));
        let warnings = one.warnings.iter().map(|warning| ("warning", warning));
        for (kind, remark) in problem.into_iter().chain(warnings) {
            remarks += &format!("{}: {kind}: {}\n", visible(&one.name), visible(remark));
        }
    }
    paragraphs(&[rows.to_string(), pool::shown(&pools), remarks])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::rds::volume::v1::Pool;

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
