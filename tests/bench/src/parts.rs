//! The parts of `make bench`.

use anyhow::{Result, ensure};
use routeros_sim::Costs;

use crate::{burst, driver, operations, rows, tracing};

/// Volumes per run.
const VOLUMES: usize = 100;
/// Volumes per run where each command takes as long as on a real appliance.
const SLOW_VOLUMES: usize = 20;
const PARTS: [&str; 5] = ["operations", "driver", "rows", "burst", "tracing"];

/// Runs one part, or all.
pub(crate) async fn run(only: Option<&str>) -> Result<()> {
    ensure!(only.is_none_or(|only| PARTS.contains(&only)), "{only:?} is none of {PARTS:?}");
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    if wanted("operations") {
        operations::measure(VOLUMES, Costs::default()).await?;
        operations::measure(SLOW_VOLUMES, burst::REAL).await?;
    }
    if wanted("driver") {
        driver::measure(VOLUMES).await?;
    }
    if wanted("rows") {
        rows::measure().await?;
    }
    if wanted("burst") {
        burst::measure().await?;
    }
    if wanted("tracing") {
        tracing::measure().await?;
    }
    Ok(())
}
