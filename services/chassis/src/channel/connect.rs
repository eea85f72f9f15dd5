//! Connections: TCP with mutual TLS, or a unix socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls::Tls;

/// For the connection and the handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A service that is just being replaced is back within this time.
const CONNECT_RETRY: Duration = Duration::from_millis(200);

/// What it takes to connect.
#[derive(Clone)]
pub(super) enum Connector {
    Tcp(String, Tls, ServerName<'static>),
    Unix(PathBuf),
}

pub(super) trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

/// Connects. Refused once, it tries once more: nothing of any call has been sent yet, so nothing can be doubled.
pub(super) async fn connect(connector: Connector) -> io::Result<TokioIo<Box<dyn Stream>>> {
    let once = || async {
        let attempt = tokio::time::timeout(CONNECT_TIMEOUT, dial(&connector)).await;
        attempt.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 3 s")))
    };
    match once().await {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
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
            Ok(Box::new(TlsConnector::from(tls.client()).connect(name.clone(), stream).await?))
        }
    }
}
