//! One SSH connection: pinned host key, ed25519 user key, commands over exec channels.
//!
//! Channels are opened one at a time (opening many at once hung on hardware) and closed explicitly, on time-outs too:
//! dropping one sends nothing. Output is drained to its end, since an undrained channel stalls all others. There is no
//! SSH keepalive, RouterOS does not answer it: TCP keepalive and a real question to an idle connection do its work.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, Handle, Msg};
use russh::keys::{Algorithm, HashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect, Preferred};
use serde_json::Value;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::clock::{self, Clock};
use super::user_key::{UserKey, UserKeyError};
use super::{HostKey, OWN_LIMIT};
use crate::config::{ApplianceConfig, Wear};
use crate::routeros::probe::{Hello, Version};
use crate::routeros::reply::Output;
use crate::routeros::script;

/// Connecting, key exchange and login together.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Opening one channel.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// Quiet time after which the kernel asks whether the other end is still there, between its questions, and how many.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);
/// Each channel that we had to close leaks a little on our side until the connection ends.
const MAX_CANCELLED: u32 = 200;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Our own key cannot be used.
    #[error(transparent)]
    Key(#[from] UserKeyError),
    /// The address does not answer.
    #[error("{0}")]
    Network(String),
    /// Nothing happened for too long.
    #[error("no SSH connection within {} s", CONNECT_LIMIT.as_secs())]
    TimedOut,
    /// Another host key than the pinned one. Never accepted, never learned.
    #[error(
        "the host key is {offered}, expected {expected}; if the appliance was replaced or reset, configure the new \
         fingerprint, otherwise somebody is in between"
    )]
    HostKey { expected: String, offered: String },
    /// The appliance does not let us in.
    #[error(
        "user {0:?} is refused; import the public key with /user/ssh-keys/import and check the group's policies"
    )]
    LoginRefused(String),
    /// It takes connections and closes them at once.
    #[error(
        "it closed the connection before SSH began; are all sessions in use? /ip/service max-sessions is 20 for everybody"
    )]
    ClosedAtOnce,
    /// Any other failure of the protocol.
    #[error("SSH: {0}")]
    Protocol(String),
    /// It is connected, but did not say its version.
    #[error("its version could not be read: {0}")]
    NoVersion(String),
    /// It is connected and too old.
    #[error("{0}")]
    TooOld(String),
}

impl ConnectError {
    /// True when waiting does not help: an operator has to do something.
    pub(crate) fn needs_operator(&self) -> bool {
        match self {
            Self::Key(_) | Self::HostKey { .. } | Self::LoginRefused(_) | Self::TooOld(_) => true,
            Self::Network(_)
            | Self::TimedOut
            | Self::ClosedAtOnce
            | Self::Protocol(_)
            | Self::NoVersion(_) => false,
        }
    }
}

/// Why a command has no output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    /// It never left.
    #[error("{0}")]
    NotSent(String),
    /// It left; what happened is not known.
    #[error("{0}")]
    Lost(String),
}

/// A command that ran to its end.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) output: Output,
    /// Zero proves nothing; anything else is a failure.
    pub(crate) status: u32,
}

/// A live connection.
pub(crate) struct Session {
    handle: Handle<Pin>,
    version: Version,
    wear: Wear,
    born: Instant,
    last_used: Mutex<Instant>,
    /// True once a command was answered: the connection is of use.
    useful: AtomicBool,
    /// Set when the connection must be replaced.
    broken: AtomicBool,
    cancelled: AtomicU32,
    opening: tokio::sync::Mutex<()>,
    /// None when its uptime cannot be compared.
    clock: Option<Clock>,
    alive: watch::Receiver<()>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// Connects, proves the host key, logs in, and reads the version.
    pub(crate) async fn connect(
        config: &ApplianceConfig,
        key: &UserKey,
        require_patched: bool,
    ) -> Result<Self, ConnectError> {
        let login = async {
            let key = key.read().await?;
            let stream = dial(&config.ssh).await?;
            let (alive_sender, alive) = watch::channel(());
            let pin = Pin { keys: config.host_keys.clone(), _alive: alive_sender };
            let mut handle = client::connect_stream(Arc::new(settings()), stream, pin).await?;
            let accepted = handle
                .authenticate_publickey(config.user.as_str(), key)
                .await
                .map_err(|error| ConnectError::Protocol(error.to_string()))?;
            if accepted.success() {
                Ok((handle, alive))
            } else {
                Err(ConnectError::LoginRefused(config.user.clone()))
            }
        };
        let (handle, alive) = timeout(CONNECT_LIMIT, login).await.map_err(|_| ConnectError::TimedOut)??;
        let now = Instant::now();
        let mut session = Self {
            handle,
            version: Version::parse(""),
            wear: config.wear,
            born: now,
            last_used: Mutex::new(now),
            useful: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            cancelled: AtomicU32::new(0),
            opening: tokio::sync::Mutex::new(()),
            clock: None,
            alive,
        };
        (session.version, session.clock) = session.hello(require_patched).await?;
        session.useful.store(false, Ordering::Relaxed);
        Ok(session)
    }

    async fn hello(&self, require_patched: bool) -> Result<(Version, Option<Clock>), ConnectError> {
        let deadline = chassis::deadline::Deadline::after(OWN_LIMIT);
        let asked = Instant::now();
        let answer = super::ask::<Value>(self, &script::status::hello(), None, deadline)
            .await
            .map_err(|error| ConnectError::NoVersion(error.to_string()))?;
        let hello = Hello::read(&answer).map_err(|error| ConnectError::NoVersion(error.to_string()))?;
        let version = hello.resource.version;
        if version.is_below_floor() || (require_patched && version.has_known_holes()) {
            return Err(ConnectError::TooOld(version.warnings().join("; ")));
        }
        let clock = hello
            .comparable
            .then(|| clock::seconds(&hello.resource.uptime))
            .flatten()
            .map(|uptime| Clock::read(uptime, asked));
        if clock.is_none() {
            tracing::warn!(
                uptime = hello.resource.uptime,
                "the uptime cannot be compared, so commands do not expire: one that hangs for long may act late"
            );
        }
        Ok((version, clock))
    }

    /// The appliance's clock, if its uptime can be compared.
    pub(crate) fn clock(&self) -> Option<Clock> {
        self.clock
    }

    /// The version it said after connecting.
    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// Executes one line.
    pub(crate) async fn exec(&self, line: &str, deadline: Instant) -> Result<Finished, ExecError> {
        let (reading, writing) = self.open(deadline).await?.split();
        let closing = Closing(Some(writing));
        let finished = timeout_at(deadline, converse(line, reading, closing)).await;
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        match finished {
            Ok(Ok(finished)) => {
                self.useful.store(true, Ordering::Relaxed);
                Ok(finished)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                if self.cancelled.fetch_add(1, Ordering::Relaxed) >= MAX_CANCELLED {
                    self.broken.store(true, Ordering::Relaxed);
                }
                Err(ExecError::Lost("no answer within the deadline".to_owned()))
            }
        }
    }

    async fn open(&self, deadline: Instant) -> Result<russh::Channel<Msg>, ExecError> {
        let limit = deadline.min(Instant::now() + OPEN_LIMIT);
        let opened = timeout_at(limit, async {
            let _turn = self.opening.lock().await;
            self.handle.channel_open_session().await
        });
        match opened.await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(ExecError::NotSent(format!("no channel: {error}"))),
            Err(_) => {
                // Whether the channel still comes is unknown: it would stay open for ever.
                self.broken.store(true, Ordering::Relaxed);
                Err(ExecError::NotSent("the appliance opens no channel".to_owned()))
            }
        }
    }

    /// Asks for a sign of life if the connection was quiet for long, at most until `deadline`. False: it must not be used.
    pub(crate) async fn is_live(&self, deadline: Instant) -> bool {
        if !self.is_usable() {
            return false;
        }
        let idle = self.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if idle < self.wear.idle {
            return true;
        }
        let (line, nonce) = script::probe();
        let answered = match self.exec(&line, deadline.min(Instant::now() + OPEN_LIMIT)).await {
            Ok(finished) => finished.output.contains(&nonce),
            Err(error) => {
                tracing::debug!(%error, "an idle connection gives no sign of life");
                false
            }
        };
        if !answered {
            self.broken.store(true, Ordering::Relaxed);
        }
        answered
    }

    /// True when the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed() || self.alive.has_changed().is_err()
    }

    /// True while commands may be sent over it.
    pub(crate) fn is_usable(&self) -> bool {
        !self.is_closed() && !self.broken.load(Ordering::Relaxed)
    }

    /// True once a command was answered.
    pub(crate) fn was_useful(&self) -> bool {
        self.useful.load(Ordering::Relaxed)
    }

    /// True when it should be replaced while it still works.
    pub(crate) fn is_old(&self) -> bool {
        self.born.elapsed() >= self.wear.age
    }

    /// Returns when the connection has ended.
    pub(crate) async fn closed(&self) {
        // The sender lives in the connection's own task and never sends: only its end is heard.
        while self.alive.clone().changed().await.is_ok() {}
    }

    /// Says good-bye. What runs is lost.
    pub(crate) async fn disconnect(&self) {
        // A connection that is gone needs no good-bye.
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
    }
}

/// Sends the line and collects the output until the appliance closes the channel.
async fn converse(
    line: &str,
    mut reading: ChannelReadHalf,
    mut closing: Closing,
) -> Result<Finished, ExecError> {
    if let Some(writing) = &closing.0 {
        writing.exec(true, line).await.map_err(|error| ExecError::NotSent(error.to_string()))?;
    }
    let (mut output, mut status) = (Output::default(), None);
    while let Some(message) = reading.wait().await {
        match message {
            ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => output.push(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            ChannelMsg::Failure => return Err(ExecError::NotSent("the appliance refuses exec".to_owned())),
            ChannelMsg::Close => {
                closing.0 = None;
                break;
            }
            _ => {}
        }
    }
    match status {
        Some(status) => Ok(Finished { output, status }),
        None => Err(ExecError::Lost("the connection ended before the answer was complete".to_owned())),
    }
}

/// Closes a channel that its other end has not closed.
struct Closing(Option<ChannelWriteHalf<Msg>>);

impl Drop for Closing {
    fn drop(&mut self) {
        if let (Some(writing), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                // A connection that is gone has no channel to close.
                let _ = writing.close().await;
            });
        }
    }
}

/// Decides about the host key.
struct Pin {
    keys: Vec<HostKey>,
    /// Dropped with the connection's task: that is how its end is heard.
    _alive: watch::Sender<()>,
}

impl From<russh::Error> for ConnectError {
    fn from(error: russh::Error) -> Self {
        match error {
            russh::Error::HUP | russh::Error::Disconnect => Self::ClosedAtOnce,
            russh::Error::IO(error)
                if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) =>
            {
                Self::ClosedAtOnce
            }
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl client::Handler for Pin {
    type Error = ConnectError;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, ConnectError> {
        let offered = match offered {
            PublicKeyOrCertificate::PublicKey { key, .. } => HostKey::of(key),
            PublicKeyOrCertificate::Certificate(certificate) => {
                HostKey::of(&certificate.public_key().clone().into())
            }
        };
        if self.keys.contains(&offered) {
            return Ok(true);
        }
        let expected: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        Err(ConnectError::HostKey { expected: expected.join(" or "), offered: offered.to_string() })
    }
}

fn settings() -> client::Config {
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    client::Config {
        preferred: Preferred {
            // Never ssh-rsa with SHA-1.
            key: vec![Algorithm::Ed25519, rsa(HashAlg::Sha512), rsa(HashAlg::Sha256)].into(),
            ..Preferred::default()
        },
        ..client::Config::default()
    }
}

async fn dial(address: &str) -> Result<TcpStream, ConnectError> {
    let network = |error: std::io::Error| {
        ConnectError::Network(match error.raw_os_error() {
            Some(_) => error.kind().to_string(),
            None => error.to_string(),
        })
    };
    let mut last = ConnectError::Network("the name has no address".to_owned());
    for address in tokio::net::lookup_host(address).await.map_err(network)? {
        match dial_one(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = network(error),
        }
    }
    Err(last)
}

async fn dial_one(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let (quiet, between, times) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(quiet).with_interval(between).with_retries(times);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    let stream = socket.connect(address).await?;
    // Without it a command takes 40 ms more.
    stream.set_nodelay(true)?;
    Ok(stream)
}
