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
use tonic_health::server::HealthReporter;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

pub use listener::{BindError, Listen, ListenError, Listener};
pub use peer::Peer;

use crate::health::Health;
use crate::metrics::Calls;
use crate::shutdown::Shutdown;

/// TCP connections end after this long, so that those made with old certificates go. Calls in flight are finished
/// first. Connections over unix sockets stay: they have no certificates, and the CSI sidecars end themselves when
/// theirs does.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(1800);
const HEALTH: &str = tonic_health::pb::health_server::SERVICE_NAME;
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
    names: Vec<&'static str>,
    descriptors: Option<&'static [u8]>,
    calls: Option<Calls>,
    grace: Duration,
    connection_age: Duration,
}

impl Server {
    /// Serves on `listener`; calls in flight get 25 s to finish at the end.
    pub fn new(listener: Listener) -> Self {
        Self {
            listener,
            routes: RoutesBuilder::default(),
            names: Vec::new(),
            descriptors: None,
            calls: None,
            grace: Duration::from_secs(25),
            connection_age: MAX_CONNECTION_AGE,
        }
    }

    /// Encoded `FileDescriptorSet` of the services, for reflection.
    #[must_use]
    pub fn descriptors(mut self, set: &'static [u8]) -> Self {
        self.descriptors = Some(set);
        self
    }

    /// Where answers are counted.
    #[must_use]
    pub fn calls(mut self, calls: Calls) -> Self {
        self.calls = Some(calls);
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
    #[expect(clippy::should_implement_trait, reason = "nothing is summed here; the word is the usual one")]
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
        self.names.push(S::NAME);
        self
    }

    /// Serves until asked to stop; then is not ready, accepts nothing more, and finishes what is in flight, up to the
    /// grace.
    ///
    /// # Errors
    /// When the transport fails for good; single connections never end the server.
    pub async fn serve(mut self, health: &Health, shutdown: Shutdown) -> Result<(), ServeError> {
        let (reporter, health_service) = tonic_health::server::health_reporter();
        // Unless a service brings its own.
        if !self.names.contains(&HEALTH) {
            self.routes.add_service(health_service);
        }
        if let Some(set) = self.descriptors {
            self.routes.add_service(reflection(set, &self.names)?);
        }
        let endpoint = self.listener.endpoint();
        let ages = self.listener.has_certificates();
        let _serving = health.serving();
        tracing::info!(endpoint, "serving");
        let incoming = self.listener.incoming(shutdown.clone());
        let mut builder = tonic::transport::Server::builder();
        if ages {
            builder = builder.max_connection_age(self.connection_age);
        }
        let serving = builder
            .layer(layer::stack(self.calls))
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_routes(self.routes.routes())
            .serve_with_incoming_shutdown(incoming, {
                let shutdown = shutdown.clone();
                async move { shutdown.requested().await }
            });
        let overtime = async {
            shutdown.requested().await;
            health.stop();
            tokio::time::sleep(self.grace).await;
        };
        tokio::select! {
            // In this order, so that readiness is off before the first connection is turned away.
            biased;
            () = overtime => {
                tracing::warn!(endpoint, grace_seconds = self.grace.as_secs(), "calls were still in flight at the end of the grace");
                Ok(())
            }
            () = report(reporter, health, &self.names) => Ok(()),
            served = serving => served.map_err(|source| ServeError::Transport { endpoint, source }),
        }
    }
}

/// Reflection of the services that are served here, out of a set that may describe more.
fn reflection(
    set: &'static [u8],
    names: &[&'static str],
) -> Result<ServerReflectionServer<impl ServerReflection>, tonic_reflection::server::Error> {
    let mut builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(set)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    for name in names.iter().copied().chain([HEALTH]) {
        builder = builder.with_service_name(name);
    }
    builder.build_v1()
}

/// Keeps the gRPC health service in step with readiness, for the server and each of its services. Never returns.
async fn report(reporter: HealthReporter, health: &Health, names: &[&'static str]) {
    use tonic_health::ServingStatus::{NotServing, Serving};
    let mut changes = health.changes();
    loop {
        changes.borrow_and_update();
        let status = if health.readiness().is_ok() { Serving } else { NotServing };
        for name in names.iter().copied().chain([""]) {
            reporter.set_service_status(name, status).await;
        }
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests;
