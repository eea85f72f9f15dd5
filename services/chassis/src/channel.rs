//! The calling side of gRPC: a channel to one of our services that connects when it is needed, again and again.
//!
//! Path of a call: [`Channel`] opens the span, writes the trace and the limit into the headers → `replay` holds the
//! message → a connection, made by `connect` if there is none → `answer` puts what the transport says into words.
//! A refused connection is tried once more, and so is a call that a closing connection did not take: nothing can be
//! doubled by that. Beyond it nothing is retried here. Whatever else goes wrong on the way is UNAVAILABLE, or
//! DEADLINE_EXCEEDED: what became of the call is then not known.

mod answer;
mod connect;
mod replay;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};
use tracing::{Instrument as _, Span, field};

use self::answer::{Answer, explain, too_late};
use self::connect::{Connector, connect};
use crate::deadline::{TIMEOUT_HEADER, parse_timeout};
use crate::server::layer::{error_of, record};
use crate::telemetry;
use crate::tls::Tls;

/// Limit of a call that was given none; the two say the same.
const DEFAULT_LIMIT: Duration = Duration::from_secs(30);
const DEFAULT_LIMIT_TEXT: &str = "30S";
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a service is: `tcp://HOST:PORT` or `unix:///PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Host name or address, and port. Mutual TLS.
    Tcp(String),
    /// Path of a unix socket.
    Unix(PathBuf),
}

/// The text is no endpoint.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not tcp://HOST:PORT or unix:///PATH")]
pub struct EndpointError(String);

impl FromStr for Endpoint {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let error = || EndpointError(text.chars().take(200).collect());
        if let Some(address) = text.strip_prefix("tcp://") {
            let (host, port) = address.rsplit_once(':').ok_or_else(error)?;
            let valid =
                !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port != 0);
            return if valid { Ok(Self::Tcp(address.to_owned())) } else { Err(error()) };
        }
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
        if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(error()) }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Why a channel cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// TCP needs certificates.
    #[error("{0} needs certificates: set --tls-cert, --tls-key and --tls-ca")]
    TlsMissing(Endpoint),
    /// The name cannot stand in a certificate.
    #[error("{0:?} is not a DNS name that a certificate could carry")]
    Name(&'static str),
    /// The name cannot stand in a request.
    #[error("{0:?} cannot be used as an authority: {1}")]
    Authority(&'static str, #[source] tonic::transport::Error),
}

/// Another of our services. Must be made inside a runtime; connects when first called.
#[derive(Debug, Clone)]
pub struct Upstream {
    channel: Channel,
}

impl Upstream {
    /// `name` is the DNS name the other side's certificate must carry, whatever the address.
    ///
    /// # Errors
    /// See [`UpstreamError`]. An unreachable service is no error here.
    pub fn new(name: &'static str, endpoint: Endpoint, tls: Option<Tls>) -> Result<Self, UpstreamError> {
        let server_name = ServerName::try_from(name).map_err(|_| UpstreamError::Name(name))?;
        let connector = match (&endpoint, tls) {
            (Endpoint::Tcp(address), Some(tls)) => Connector::Tcp(address.clone(), tls, server_name),
            (Endpoint::Tcp(_), None) => return Err(UpstreamError::TlsMissing(endpoint)),
            (Endpoint::Unix(path), _) => Connector::Unix(path.clone()),
        };
        // The authority of a unix socket must be `localhost`: h2 refuses a path there.
        let authority = match endpoint {
            Endpoint::Tcp(_) => format!("http://{name}"),
            Endpoint::Unix(_) => "http://localhost".to_owned(),
        };
        let inner = tonic::transport::Endpoint::from_shared(authority)
            .map_err(|error| UpstreamError::Authority(name, error))?
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(tower::service_fn(move |_| connect(connector.clone())));
        Ok(Self { channel: Channel { inner, peer: Arc::from(format!("{name} at {endpoint}")) } })
    }

    /// The channel, for a generated client.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// A channel that carries the trace along, gives every call a limit, and answers in words: who could not be reached,
/// and where.
#[derive(Debug, Clone)]
pub struct Channel {
    inner: tonic::transport::Channel,
    peer: Arc<str>,
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    // Always: waiting for a connection is part of the call, so that its deadline holds there too.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let span = span_of(&request, &self.peer);
        let limit = limit_of(request.headers_mut());
        telemetry::inject(&span, request.headers_mut());
        let inner = self.inner.clone();
        let peer = Arc::clone(&self.peer);
        let recorded = span.clone();
        let told = async move {
            let response = match tokio::time::timeout(limit, send(inner, request)).await {
                Ok(Ok(response)) => response.map(|body| Body::new(Answer::new(body, Arc::clone(&peer)))),
                Ok(Err(error)) => explain(&error, &peer).into_http(),
                Err(_) => too_late(&peer).into_http(),
            };
            record(&recorded, error_of(&response).as_ref());
            Ok(response)
        };
        Box::pin(told.instrument(span))
    }
}

fn span_of(request: &http::Request<Body>, peer: &str) -> Span {
    let path = request.uri().path().trim_start_matches('/');
    let (service, method) = path.split_once('/').unwrap_or((path, ""));
    tracing::info_span!(
        "call",
        otel.name = format!("{}/{method}", service.rsplit('.').next().unwrap_or(service)),
        otel.kind = "client",
        otel.status_code = field::Empty,
        otel.status_description = field::Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
        peer.service = peer,
    )
}

/// The call's own limit; one is set where it has none.
fn limit_of(headers: &mut http::HeaderMap) -> Duration {
    let given = headers.get(TIMEOUT_HEADER).and_then(|text| parse_timeout(text.to_str().ok()?));
    given.unwrap_or_else(|| {
        headers.insert(TIMEOUT_HEADER, http::HeaderValue::from_static(DEFAULT_LIMIT_TEXT));
        DEFAULT_LIMIT
    })
}

/// Sends, and sends once more what a closing connection did not take.
async fn send(
    mut inner: tonic::transport::Channel,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, tonic::transport::Error> {
    let (request, again) = replay::hold(request).await;
    let first = inner.ready().await?.call(request).await;
    match (first, again) {
        (Err(error), Some(again)) if replay::never_reached(&error) => {
            tracing::debug!("the connection closed and did not take the call, sending it on a new one");
            inner.ready().await?.call(again.request()).await
        }
        (first, _) => first,
    }
}

#[cfg(test)]
mod tests;
