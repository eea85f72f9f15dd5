//! Bound sockets and the connections that come in on them.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::Peer;
use crate::shutdown::Shutdown;
use crate::tls::Tls;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HANDSHAKES: usize = 64;
/// Longest path of a unix socket, in bytes: 107 without the final NUL (unix(7)), less one for the name it is bound
/// under before it is private.
const MAX_UNIX_PATH: usize = 106;

/// Where to listen: `tcp://ADDRESS:PORT`, `unix:///PATH` or an absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// TCP with mutual TLS. Port 0 = any.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// The text is no place to listen on.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not tcp://ADDRESS:PORT, unix:///PATH or an absolute path of at most 106 bytes")]
pub struct ListenError(String);

impl FromStr for Listen {
    type Err = ListenError;
    fn from_str(text: &str) -> Result<Self, ListenError> {
        let error = || ListenError(text.chars().take(200).collect());
        if let Some(address) = text.strip_prefix("tcp://") {
            return address.parse().map(Self::Tcp).map_err(|_| error());
        }
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
        if path.starts_with('/') && path.len() <= MAX_UNIX_PATH {
            Ok(Self::Unix(path.into()))
        } else {
            Err(error())
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused.
    #[error("cannot listen on {listen}: {source}")]
    Socket {
        /// Where.
        listen: String,
        /// Why.
        source: io::Error,
    },
    /// Another process serves there.
    #[error("cannot listen on unix://{}: another process serves there; stop it first", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket lies there.
    #[error("cannot listen on unix://{}: what lies there is not a socket; remove it first", .0.display())]
    NotASocket(PathBuf),
    /// TCP needs certificates.
    #[error("cannot listen on tcp://{0} without certificates: set --tls-cert, --tls-key and --tls-ca")]
    TlsMissing(SocketAddr),
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener, Tls),
    Unix(UnixListener),
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    bound: Listen,
}

impl Listener {
    /// Binds. A unix socket gets mode 0600; a stale one (nobody answers) is replaced, a live one is not.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(listen: &Listen, tls: Option<Tls>) -> Result<Self, BindError> {
        let failed = |source| BindError::Socket { listen: listen.to_string(), source };
        match listen {
            Listen::Tcp(address) => {
                let tls = tls.ok_or(BindError::TlsMissing(*address))?;
                let socket = TcpListener::bind(address).await.map_err(failed)?;
                let bound = Listen::Tcp(socket.local_addr().map_err(failed)?);
                Ok(Self { socket: Socket::Tcp(socket, tls), bound })
            }
            Listen::Unix(path) => {
                make_way(path).await?;
                let socket = bind_private(path).map_err(failed)?;
                Ok(Self { socket: Socket::Unix(socket), bound: listen.clone() })
            }
        }
    }

    /// Where it listens, with the real port: what a client connects to.
    pub fn endpoint(&self) -> String {
        self.bound.to_string()
    }

    /// True for TCP.
    pub(super) fn has_certificates(&self) -> bool {
        matches!(self.socket, Socket::Tcp(..))
    }

    /// The connections that come in, with their handshakes done, until asked to stop.
    pub(super) fn incoming(self, shutdown: Shutdown) -> ReceiverStream<io::Result<Connection>> {
        let (ready, connections) = mpsc::channel(MAX_HANDSHAKES);
        tokio::spawn(async move {
            tokio::select! {
                () = accept_all(&self.socket, &ready) => {}
                () = shutdown.requested() => {}
            }
            if let Listen::Unix(path) = &self.bound {
                // Gone already is fine; the next start replaces a stale one.
                let _ = std::fs::remove_file(path);
            }
        });
        ReceiverStream::new(connections)
    }
}

/// The socket must never be open to others, not even between bind and chmod: it is made under another name. That name
/// begins with a dot, which kubelet passes over where it looks for sockets of plugins.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    let private = path.with_file_name(hidden);
    match std::fs::remove_file(&private) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = UnixListener::bind(&private)?;
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&private, path)?;
    Ok(socket)
}

async fn make_way(path: &Path) -> Result<(), BindError> {
    match std::fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(found) if !found.file_type().is_socket() => Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            // Whoever is too busy to accept lives too.
            Ok(_) | Err(_) => Err(BindError::InUse(path.to_owned())),
        },
    }
}

async fn accept_all(socket: &Socket, ready: &mpsc::Sender<io::Result<Connection>>) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let accepted = match socket {
            Socket::Unix(listener) => match listener.accept().await {
                Ok((stream, _)) => {
                    if ready.send(Ok(Connection::Unix(stream))).await.is_err() {
                        return;
                    }
                    continue;
                }
                Err(error) => Err(error),
            },
            Socket::Tcp(listener, tls) => {
                listener.accept().await.map(|(stream, from)| (stream, from, tls.clone()))
            }
        };
        let (stream, from, tls) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a connection that died in the queue: neither ends the server.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let ready = ready.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(stream, &tls)).await {
                // The receiver is gone when the server stops.
                Ok(Ok(connection)) => drop(ready.send(Ok(connection)).await),
                Ok(Err(error)) => tracing::warn!(peer.address = %from, %error, "refused a connection"),
                Err(_) => tracing::warn!(peer.address = %from, "a connection did not finish its handshake"),
            }
            drop(permit);
        });
    }
}

async fn handshake(stream: TcpStream, tls: &Tls) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let stream = TlsAcceptor::from(tls.server()).accept(stream).await?;
    let peer = match stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
        Some(certificate) => Peer::from_certificate(certificate),
        None => return Err(io::Error::other("the peer sent no certificate")),
    };
    Ok(Connection::Tls(Box::new(stream), peer))
}

/// An accepted connection.
pub(super) enum Connection {
    Unix(UnixStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>, Peer),
}

impl Connected for Connection {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        match self {
            Self::Unix(_) => Peer::Local,
            Self::Tls(_, peer) => peer.clone(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
