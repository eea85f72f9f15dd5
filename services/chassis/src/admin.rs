//! The admin port: `/metrics` for Prometheus, `/healthz` (the process lives), `/readyz` (it can be of use).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::health::Health;
use crate::shutdown::Shutdown;

/// OpenMetrics 1.0, what Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A bound admin port.
#[derive(Debug)]
pub struct AdminListener(TcpListener);

impl AdminListener {
    /// Binds; port 0 = any.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let bound = TcpListener::bind(address).await;
        bound
            .map(Self)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
    }

    /// Where it listens, with the real port.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[derive(Debug, Clone)]
struct Shown {
    registry: Arc<Registry>,
    health: Health,
}

/// Serves until asked to stop, and then until the last [`crate::server::Server`] that shares `health` has finished
/// its calls: whoever looks meanwhile sees that the process is not ready.
///
/// # Errors
/// When the port fails for good.
pub async fn serve(
    listener: AdminListener,
    registry: Arc<Registry>,
    health: Health,
    shutdown: Shutdown,
) -> io::Result<()> {
    let router = axum::Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(Shown { registry, health: health.clone() });
    let serving = axum::serve(listener.0, router).into_future();
    tokio::select! {
        served = serving => served,
        // What is in flight here is a scrape: it can be cut.
        () = async {
            shutdown.requested().await;
            health.drained().await;
        } => Ok(()),
    }
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shown.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn readyz(State(shown): State<Shown>) -> Response {
    match shown.health.readiness() {
        Ok(()) => "ready\n".into_response(),
        Err(unmet) => (StatusCode::SERVICE_UNAVAILABLE, unmet.join("\n") + "\n").into_response(),
    }
}

#[cfg(test)]
mod tests;
