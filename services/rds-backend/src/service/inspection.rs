//! Looks at every appliance now and then, for the metrics and the log. Removes nothing.

use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use chassis::shutdown::Shutdown;
use proto::rds::volume::v1::{GetApplianceHealthRequest, GetInventoryRequest};
use tokio::time::{Instant, interval_at};

use super::{Backend, Inner};
use crate::appliance::Appliance;

/// How often an appliance is asked for sensors, drives and uptime.
const HEALTH_EVERY: Duration = Duration::from_secs(300);
/// What one such look may take.
const HEALTH_LIMIT: Duration = Duration::from_secs(30);
/// What an inventory may take: it walks all files.
const INVENTORY_LIMIT: Duration = Duration::from_secs(600);
/// The first looks wait for the connection and for what was interrupted by the restart.
const SETTLE: Duration = Duration::from_secs(60);

impl Backend {
    /// Looks after each appliance by itself, so that a dead one keeps nobody from seeing the others. `inventories` is
    /// the time between two; `None` for never.
    pub(crate) fn inspect(&self, inventories: Option<Duration>, shutdown: &Shutdown) {
        for appliance in self.0.appliances.iter() {
            let (inner, appliance) = (Arc::clone(&self.0), Arc::clone(appliance));
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = inner.look_after(&appliance, inventories) => {}
                    () = shutdown.requested() => {}
                }
            });
        }
    }
}

impl Inner {
    async fn look_after(self: Arc<Self>, appliance: &Appliance, inventories: Option<Duration>) {
        let first = Instant::now() + SETTLE;
        let mut health = interval_at(first, HEALTH_EVERY);
        // One that never comes is asked for once in a century.
        let every = inventories.unwrap_or(Duration::from_secs(100 * 365 * 24 * 3600));
        let mut inventory = interval_at(if inventories.is_some() { first } else { first + every }, every);
        loop {
            tokio::select! {
                _ = health.tick() => Arc::clone(&self).look_at_health(appliance).await,
                _ = inventory.tick() => Arc::clone(&self).take_inventory(appliance).await,
            }
        }
    }

    async fn look_at_health(self: Arc<Self>, appliance: &Appliance) {
        let name = appliance.config().name.to_string();
        let request = GetApplianceHealthRequest { appliance: name.clone() };
        match self.get_appliance_health(request, Deadline::after(HEALTH_LIMIT)).await {
            Ok(_) => {}
            // The connection's own condition and Event say what is wrong.
            Err(fault) => tracing::debug!(appliance = name, %fault, "its health could not be read"),
        }
    }

    async fn take_inventory(self: Arc<Self>, appliance: &Appliance) {
        let name = appliance.config().name.to_string();
        let request = GetInventoryRequest { appliance: name.clone() };
        match self.get_inventory(request, Deadline::after(INVENTORY_LIMIT)).await {
            Ok(found) if found.mismatches.is_empty() => {}
            Ok(found) => tracing::warn!(
                appliance = name,
                mismatches = found.mismatches.len(),
                "things do not fit together, see rdsctl appliance orphans"
            ),
            Err(fault) => tracing::warn!(appliance = name, %fault, "no inventory"),
        }
    }
}
