use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::sync::Notify;

use super::*;
use crate::admin::{self, AdminListener};

/// A service whose calls wait until they are let go.
#[derive(Clone, Default)]
struct Gate {
    arrived: Arc<Notify>,
    open: Arc<Notify>,
}

#[tonic::async_trait]
#[expect(clippy::disallowed_methods, reason = "a test service")]
impl HealthService for Gate {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.arrived.notify_one();
        self.open.notified().await;
        Ok(Response::new(HealthCheckResponse::default()))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;
    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

type Serving = tokio::task::JoinHandle<Result<(), ServeError>>;

async fn serve_gate(
    gate: &Gate,
    health: &Health,
    grace: Duration,
) -> (tempfile::TempDir, String, ShutdownHandle, Shutdown, Serving) {
    let folder = tempfile::tempdir().unwrap();
    let listener = unix(&folder).await;
    let endpoint = listener.endpoint();
    let (handle, shutdown) = Shutdown::manual();
    let server = Server::new(listener).grace(grace).add(HealthServer::new(gate.clone()));
    let (health, stop) = (health.clone(), shutdown.clone());
    let serving = tokio::spawn(async move { server.serve(&health, stop).await });
    (folder, endpoint, handle, shutdown, serving)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("in time")
}

#[tokio::test]
async fn a_call_in_flight_is_finished_and_meanwhile_the_process_is_not_ready_and_takes_nobody() {
    let (gate, health) = (Gate::default(), Health::new());
    let (_folder, endpoint, handle, shutdown, serving) =
        serve_gate(&gate, &health, Duration::from_secs(20)).await;
    let admin = AdminListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let admin = tokio::spawn(admin::serve(admin, Arc::new(Registry::default()), health.clone(), shutdown));
    let mut caller = client("probe", &endpoint, None);
    let call = tokio::spawn(async move { ask(&mut caller, "").await });
    within(gate.arrived.notified()).await;

    handle.request();
    within(async {
        while health.readiness().is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let refused = within(ask(&mut client("probe", &endpoint, None), "")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(!serving.is_finished() && !admin.is_finished(), "both stay for the call in flight");

    gate.open.notify_one();
    within(call).await.unwrap().expect("the call in flight is answered");
    within(serving).await.unwrap().unwrap();
    within(admin).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_does_not_end_costs_the_grace_and_no_more() {
    let (gate, health) = (Gate::default(), Health::new());
    let (_folder, endpoint, handle, _, serving) = serve_gate(&gate, &health, Duration::from_millis(50)).await;
    let mut caller = client("probe", &endpoint, None);
    let call = tokio::spawn(async move { ask(&mut caller, "").await });
    within(gate.arrived.notified()).await;
    handle.request();
    within(serving).await.unwrap().unwrap();
    call.abort();
}
