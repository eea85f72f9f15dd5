//! `make bench`: what each operation of the driver costs, next to the floor measured in the same run.
//!
//! The floor is the very commands that the driver sent, on a warm plain SSH connection to another appliance in the same
//! state. First with an appliance that answers at once: what remains is ours. Then with one that takes as long as a real
//! one. After it: bursts, 10,000 volumes, and what traces cost.
//!
//! `make bench ONLY=operations` runs one part: operations, burst, rows, driver or tracing.

mod burst;
mod driver;
mod operations;
mod plain_ssh;
mod rig;
mod rows;
mod table;
mod tracing;

use routeros_sim::Costs;

/// Volumes per run.
const VOLUMES: usize = 100;
/// Volumes per run where each command takes as long as on a real appliance.
const SLOW_VOLUMES: usize = 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some(tracing::BURST_ARGUMENT) {
        return tracing::burst(arguments.next()).await;
    }
    let wanted = |part: &str| first.as_deref().is_none_or(|only| only == part);
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
