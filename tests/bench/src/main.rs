//! `make bench`: what each operation of the driver costs, next to the floor measured in the same run.
//!
//! The driver's figures go from the CSI socket through csi-front, mutual TLS and rds-backend to SSH and back; the
//! floor is one command on a warm SSH connection. The simulated appliance answers at once: what remains is ours.
//! After it: what traces cost.

mod driver;
mod plain_ssh;
mod table;
mod tracing;

/// Volumes per run.
const VOLUMES: usize = 100;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(tracing::BURST_ARGUMENT) {
        return tracing::burst(arguments.next()).await;
    }
    let mut measured = vec![("plain SSH command", plain_ssh::measure(VOLUMES).await?)];
    measured.extend(driver::measure(VOLUMES).await?);
    table::print(VOLUMES, &measured);
    tracing::measure().await
}
