//! The calling side of gRPC: a channel to one of our services that connects when it is needed, again and again.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::body::Body;
use tonic::{Status, TimeoutExpired};
use tower::{Service, ServiceExt as _};
use tracing::{Instrument as _, field};

use crate::deadline::{TIMEOUT_HEADER, parse_timeout};
use crate::server::layer::{deadline_exceeded, record_status};
use crate::telemetry;
use crate::tls::Tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A service that is just being replaced is back within this time.
const CONNECT_RETRY: Duration = Duration::from_millis(200);
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
            return if valid {
                Ok(Self::Tcp(address.to_owned()))
            } else {
                Err(error())
            };
        }
        let path = text
            .strip_prefix("unix://")
            .or_else(|| text.strip_prefix("unix:"))
            .unwrap_or(text);
        if path.starts_with('/') {
            Ok(Self::Unix(path.into()))
        } else {
            Err(error())
        }
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
        Ok(Self {
            channel: Channel {
                inner,
                peer: Arc::from(format!("{name} at {endpoint}")),
            },
        })
    }

    /// The channel, for a generated client.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

#[derive(Clone)]
enum Connector {
    Tcp(String, Tls, ServerName<'static>),
    Unix(PathBuf),
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

/// Connects. Refused once, it tries once more: nothing of any call has been sent yet, so nothing can be doubled.
async fn connect(connector: Connector) -> io::Result<TokioIo<Box<dyn Stream>>> {
    let once = || async {
        let attempt = tokio::time::timeout(CONNECT_TIMEOUT, dial(&connector)).await;
        attempt.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 3 s")))
    };
    match once().await {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            ) =>
        {
            tokio::time::sleep(CONNECT_RETRY).await;
            once().await
        }
        first => first,
    }
    .map(TokioIo::new)
}

async fn dial(connector: &Connector) -> io::Result<Box<dyn Stream>> {
    match connector {
        Connector::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Connector::Tcp(address, tls, name) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(
                TlsConnector::from(tls.client())
                    .connect(name.clone(), stream)
                    .await?,
            ))
        }
    }
}

/// A channel that carries the trace along and answers in words: who could not be reached, and where.
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
        let path = request.uri().path().trim_start_matches('/');
        let (service, method) = path.split_once('/').unwrap_or((path, ""));
        let span = tracing::info_span!(
            "call",
            otel.name = format!("{}/{method}", service.rsplit('.').next().unwrap_or(service)),
            otel.kind = "client",
            otel.status_code = field::Empty,
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            rpc.grpc.status_code = field::Empty,
            peer.service = &*self.peer,
        );
        telemetry::inject(&span, request.headers_mut());
        let limit = request
            .headers()
            .get(TIMEOUT_HEADER)
            .and_then(|text| parse_timeout(text.to_str().ok()?));
        let mut inner = self.inner.clone();
        let answer = async move { inner.ready().await?.call(request).await };
        let peer = Arc::clone(&self.peer);
        let recorded = span.clone();
        let told = async move {
            let answered = match limit {
                Some(limit) => tokio::time::timeout(limit, answer).await,
                None => Ok(answer.await),
            };
            let response = match answered {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => explain(&error, &peer),
                Err(_) => too_late(&peer),
            };
            record_status(&recorded, response.headers());
            Ok(response)
        };
        Box::pin(told.instrument(span))
    }
}

fn too_late(peer: &str) -> http::Response<Body> {
    deadline_exceeded(&format!("{peer} did not answer before the deadline"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the transport's own answer; no service was heard"
)]
fn explain(error: &tonic::transport::Error, peer: &str) -> http::Response<Body> {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<TimeoutExpired>() {
            return too_late(peer);
        }
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes.dedup();
    let why = if causes.is_empty() {
        error.to_string()
    } else {
        causes.join(": ")
    };
    Status::unavailable(format!("{peer} cannot be reached: {why}")).into_http()
}

#[cfg(test)]
mod tests;
