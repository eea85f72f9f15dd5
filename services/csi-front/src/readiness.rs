//! Readiness follows the services behind the front. They are asked every few seconds; calls do not wait for that.

use std::time::Duration;

use chassis::channel::Channel;
use chassis::deadline::Deadline;
use chassis::health::Condition;
use chassis::shutdown::Shutdown;
use tokio::sync::oneshot;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::upstream::{Agent, BACKEND};

/// Between two questions while the answer is good.
const CALM: Duration = Duration::from_secs(5);
/// Between two questions while it is not: recovery should be seen soon.
const EAGER: Duration = Duration::from_secs(1);
/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps `condition` in step with the backend until asked to stop.
pub(crate) async fn watch_backend(channel: Channel, condition: Condition, shutdown: Shutdown) {
    loop {
        let pause = match ask_backend(channel.clone()).await {
            Ok(()) => {
                condition.ready();
                CALM
            }
            Err(why) => {
                condition.not_ready(why);
                EAGER
            }
        };
        if !wait(pause, &shutdown).await {
            return;
        }
    }
}

async fn ask_backend(channel: Channel) -> Result<(), String> {
    let request = Deadline::after(PATIENCE).request(HealthCheckRequest::default());
    match HealthClient::new(channel).check(request).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
        Ok(_) => Err(format!("{BACKEND} is not ready; its own /readyz says why")),
        Err(status) => Err(status.message().to_owned()),
    }
}

/// Keeps `condition` in step with the agent until asked to stop, and tells `first` when it has answered once.
pub(crate) async fn watch_agent(
    agent: Agent,
    condition: Condition,
    first: oneshot::Sender<()>,
    shutdown: Shutdown,
) {
    let mut first = Some(first);
    loop {
        let pause = match agent.node(Deadline::after(PATIENCE)).await {
            Ok(node) => {
                condition.ready();
                if let Some(first) = first.take() {
                    tracing::info!(node.name = node.node_name, node.id = node.node_id, "the agent is ready");
                    // Nobody waits when a sidecar registers us.
                    let _ = first.send(());
                }
                CALM
            }
            Err(fault) => {
                condition.not_ready(fault.message);
                EAGER
            }
        };
        if !wait(pause, &shutdown).await {
            return;
        }
    }
}

/// True when the time is over, false when asked to stop.
pub(crate) async fn wait(time: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = shutdown.requested() => false,
    }
}
