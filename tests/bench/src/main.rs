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
mod parts;
mod plain_ssh;
mod rig;
mod rows;
mod table;
mod tracing;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some(tracing::BURST_ARGUMENT) {
        return tracing::burst(arguments.next()).await;
    }
    parts::run(first.as_deref()).await
}
