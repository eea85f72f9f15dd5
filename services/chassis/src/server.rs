//! The serving side of gRPC: TCP with mutual TLS, or a unix socket.
//!
//! Path of a call: [`Listener`] accepts and shakes hands → the peer's identity is attached → [`layer`] opens the span,
//! sets the deadline and catches panics → the service. Health and reflection are served beside it.
//! There is no plain-text TCP on purpose.

pub(crate) mod layer;
mod listener;
mod peer;

use std::time::Duration;

use tonic::service::RoutesBuilder;

pub use listener::{BindError, Listen, ListenError, Listener};
pub use peer::Peer;

use crate::health::Health;
use crate::shutdown::Shutdown;

/// Connections end after this long, so that those made with old certificates go.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(1800);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport failed.
    #[error("serving on {endpoint} failed: {source}")]
    Transport {
        /// Where.
        endpoint: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The descriptors of the services cannot be read.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A gRPC server that is about to serve.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    routes: RoutesBuilder,
    descriptors: Option<&'static [u8]>,
    grace: Duration,
}

impl Server {
    /// Serves on `listener`; calls in flight get 25 s to finish at the end.
    pub fn new(listener: Listener) -> Self {
        Self {
            listener,
            routes: RoutesBuilder::default(),
            descriptors: None,
            grace: Duration::from_secs(25),
        }
    }

    /// Encoded `FileDescriptorSet` of the services, for reflection.
    #[must_use]
    pub fn descriptors(mut self, set: &'static [u8]) -> Self {
        self.descriptors = Some(set);
        self
    }

    /// How long calls in flight get to finish once asked to stop.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Adds a generated service.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "nothing is summed here; the word is the usual one"
    )]
    pub fn add<S>(mut self, service: S) -> Self
    where
        S: tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
            + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self
    }

    /// Serves until asked to stop, then finishes what is in flight, up to the grace.
    ///
    /// # Errors
    /// When the transport fails for good; single connections never end the server.
    pub async fn serve(mut self, health: &Health, shutdown: Shutdown) -> Result<(), ServeError> {
        let (reporter, health_service) = tonic_health::server::health_reporter();
        self.routes.add_service(health_service);
        if let Some(set) = self.descriptors {
            let reflection = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(set)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .build_v1()?;
            self.routes.add_service(reflection);
        }
        let endpoint = self.listener.endpoint();
        tracing::info!(endpoint, "serving");
        let incoming = self.listener.incoming(shutdown.clone());
        let serving = tonic::transport::Server::builder()
            .layer(layer::stack())
            .max_connection_age(MAX_CONNECTION_AGE)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_routes(self.routes.routes())
            .serve_with_incoming_shutdown(incoming, {
                let shutdown = shutdown.clone();
                async move { shutdown.requested().await }
            });
        let overtime = async {
            shutdown.requested().await;
            tokio::time::sleep(self.grace).await;
        };
        tokio::select! {
            served = serving => served.map_err(|source| ServeError::Transport { endpoint, source }),
            () = report(reporter, health) => Ok(()),
            () = overtime => {
                tracing::warn!(endpoint, grace_seconds = self.grace.as_secs(), "calls were still in flight at the end of the grace");
                Ok(())
            }
        }
    }
}

/// Keeps the gRPC health service in step with readiness. Never returns.
async fn report(reporter: tonic_health::server::HealthReporter, health: &Health) {
    use tonic_health::ServingStatus::{NotServing, Serving};
    let mut changes = health.changes();
    loop {
        changes.borrow_and_update();
        let status = if health.readiness().is_ok() {
            Serving
        } else {
            NotServing
        };
        reporter.set_service_status("", status).await;
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests;
