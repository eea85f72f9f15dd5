//! The SSH server: public-key login, one command per exec channel, exit status 0 whatever happens (M).
//!
//! Every command runs in a task of its own: handlers run inside russh's session loop and must not wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russh::keys::{HashAlg, PrivateKey, PublicKey};
use russh::server::{Auth, Handle, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::World;
use crate::faults::Effect;

/// Sessions a service accepts at once (C: `/ip/service max-sessions`).
const MAX_SESSIONS: usize = 20;

pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) keys: Vec<PublicKey>,
}

/// Accepts until the token is cancelled; the token also ends the sessions.
pub(crate) async fn serve(
    listener: TcpListener,
    world: Arc<World>,
    key: PrivateKey,
    login: Arc<Login>,
    stop: CancellationToken,
) {
    let config = Arc::new(russh::server::Config {
        keys: vec![key],
        nodelay: true,
        auth_rejection_time: Duration::from_millis(100),
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        ..Default::default()
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        if world.ssh_sessions.load(Ordering::SeqCst) >= MAX_SESSIONS {
            continue;
        }
        let connection =
            Connection { world: Arc::clone(&world), login: Arc::clone(&login), cut: stop.child_token() };
        tokio::spawn(session(stream, Arc::clone(&config), connection));
    }
}

async fn session(mut stream: TcpStream, config: Arc<russh::server::Config>, connection: Connection) {
    // Without it every small answer waits for the other side's acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (cut, world) = (connection.cut.clone(), Arc::clone(&connection.world));
    world.ssh_sessions.fetch_add(1, Ordering::SeqCst);
    // russh runs its session in a task that cannot be ended from here; the wire between can be cut.
    let (near, mut far) = tokio::io::duplex(64 << 10);
    tokio::spawn(async move {
        if let Ok(running) = russh::server::run_stream(config, near, connection).await {
            // How a session ends is the client's affair.
            drop(running.await);
        }
    });
    tokio::select! {
        ended = tokio::io::copy_bidirectional(&mut stream, &mut far) => drop(ended),
        () = cut.cancelled() => {}
    }
    world.ssh_sessions.fetch_sub(1, Ordering::SeqCst);
}

struct Connection {
    world: Arc<World>,
    login: Arc<Login>,
    cut: CancellationToken,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let print = key.public_key.fingerprint(HashAlg::Sha256);
        let known = self.login.keys.iter().any(|known| known.fingerprint(HashAlg::Sha256) == print);
        Ok(if user == self.login.user && known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: russh::server::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let command = String::from_utf8_lossy(data).into_owned();
        let (world, cut, handle) = (Arc::clone(&self.world), self.cut.clone(), session.handle());
        tokio::spawn(async move { exec(&world, &cut, &handle, channel, &command).await });
        Ok(())
    }
}

async fn exec(world: &World, cut: &CancellationToken, handle: &Handle, channel: ChannelId, command: &str) {
    let effect = world.script().command(command);
    let answer = match effect {
        None => world.run(command),
        Some(Effect::Error(text)) => format!("{text}\r\n").into_bytes(),
        Some(Effect::Hang) => return,
        Some(Effect::Drop) => return cut.cancel(),
        Some(Effect::PerformThenDrop) => {
            world.run(command);
            return cut.cancel();
        }
        Some(Effect::DelayMs(wait)) => {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            world.run(command)
        }
    };
    // The client may be gone; then there is nobody to tell.
    let _ = handle.data(channel, answer).await;
    let _ = handle.exit_status_request(channel, 0).await;
    let _ = handle.eof(channel).await;
    let _ = handle.close(channel).await;
}

/// Reads a host key, or makes an ed25519 one and keeps it.
pub(crate) fn host_key(path: &std::path::Path) -> io::Result<PrivateKey> {
    if path.exists() {
        return russh::keys::load_secret_key(path, None).map_err(io::Error::other);
    }
    let key =
        PrivateKey::random(&mut rand::rng(), russh::keys::Algorithm::Ed25519).map_err(io::Error::other)?;
    let text = key.to_openssh(russh::keys::ssh_key::LineEnding::LF).map_err(io::Error::other)?;
    std::fs::write(path, text.as_bytes())?;
    Ok(key)
}
