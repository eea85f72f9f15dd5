//! The SSH server: public-key login, one command per exec channel, exit status 0 whatever happens (M).
//!
//! Every command runs in a task of its own: handlers run inside russh's session loop and must not wait. The script
//! itself runs in a thread that may block.

mod editor;
mod shell;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russh::keys::{HashAlg, PrivateKey, PublicKey};
use russh::server::{Auth, Handle, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Pty};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle as Runtime;
use tokio_util::sync::CancellationToken;

use crate::World;
use crate::device::Device;
use crate::execution::{End, Execution};
use crate::faults::Effect;
use crate::journal::Answered;
use shell::Shell;

pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) keys: Vec<PublicKey>,
}

/// Accepts until the token is cancelled; the token also ends the sessions.
pub(crate) async fn serve(
    listener: TcpListener,
    device: Arc<Device>,
    login: Arc<Login>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let world = &device.world;
        // One too many is closed before a word is said (I).
        if world.ssh_sessions.load(Ordering::SeqCst) >= world.settings().max_sessions {
            continue;
        }
        let config = Arc::new(russh::server::Config {
            keys: vec![device.key()],
            nodelay: true,
            auth_rejection_time: Duration::from_millis(100),
            auth_rejection_time_initial: Some(Duration::ZERO),
            inactivity_timeout: None,
            ..Default::default()
        });
        let connection = Connection {
            world: Arc::clone(world),
            login: Arc::clone(&login),
            cut: stop.child_token(),
            number: world.connections.fetch_add(1, Ordering::SeqCst) + 1,
            commands: 0,
            widths: HashMap::new(),
            shells: HashMap::new(),
        };
        world.ssh_sessions.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(session(stream, config, connection));
    }
}

async fn session(mut stream: TcpStream, config: Arc<russh::server::Config>, connection: Connection) {
    let (cut, world) = (connection.cut.clone(), Arc::clone(&connection.world));
    // Without it every small answer waits for the other side's acknowledgement.
    if stream.set_nodelay(true).is_ok() {
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
    }
    world.ssh_sessions.fetch_sub(1, Ordering::SeqCst);
}

struct Connection {
    world: Arc<World>,
    login: Arc<Login>,
    cut: CancellationToken,
    number: u64,
    commands: u64,
    /// Columns of the terminals that were asked for.
    widths: HashMap<ChannelId, usize>,
    shells: HashMap<ChannelId, Shell>,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let print = key.public_key.fingerprint(HashAlg::Sha256);
        let known = self.login.keys.iter().any(|known| known.fingerprint(HashAlg::Sha256) == print);
        let may = self.world.settings().policies.split(',').any(|policy| policy.trim() == "ssh");
        Ok(if user == self.login.user && known && may { Auth::Accept } else { Auth::reject() })
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

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.widths.insert(channel, usize::try_from(columns).unwrap_or(80).max(40));
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let width = self.widths.get(&channel).copied().unwrap_or(80);
        let shell =
            Shell::start(&self.world, &self.cut, session.handle(), channel, self.login.user.clone(), width);
        self.shells.insert(channel, shell);
        Ok(())
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(shell) = self.shells.get(&channel) {
            shell.resize(usize::try_from(columns).unwrap_or(80).max(40));
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(shell) = self.shells.get(&channel) {
            shell.typed(data);
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        self.commands += 1;
        let asked = Asked {
            world: Arc::clone(&self.world),
            cut: self.cut.clone(),
            handle: session.handle(),
            channel,
            connection: self.number,
            number: self.commands,
        };
        let command = String::from_utf8_lossy(data).into_owned();
        tokio::spawn(async move { asked.answer(command).await });
        Ok(())
    }
}

/// A command that came by an exec channel.
struct Asked {
    world: Arc<World>,
    cut: CancellationToken,
    handle: Handle,
    channel: ChannelId,
    connection: u64,
    number: u64,
}

impl Asked {
    async fn answer(self, command: String) {
        let world = &self.world;
        let entry = world.journal().begin(&command, self.connection, self.number);
        let (flaky, max_line) = {
            let settings = world.settings();
            (settings.flaky, settings.max_line)
        };
        let weak =
            flaky.every > 0 && self.connection.is_multiple_of(flaky.every) && self.number > flaky.after;
        let running = world.running.read().await;
        let done = if weak || self.cut.is_cancelled() {
            Performed::lost(true)
        } else if command.len() > max_line {
            Performed::answer(b"failure: command is too long\r\n".to_vec(), Answered::Error)
        } else {
            let effect = world.faults().with(&command);
            self.perform(command, effect).await
        };
        let output = done.output.filter(|_| !done.cut && !self.cut.is_cancelled());
        let outcome = if output.is_none() { Answered::Lost } else { done.outcome };
        // Whoever sees the connection go finds the end in the journal.
        world.journal().finish(entry, done.changes, outcome);
        drop(running);
        if done.cut {
            self.cut.cancel();
        }
        if let Some(output) = output {
            self.say(output).await;
        }
    }

    async fn perform(&self, command: String, effect: Option<Effect>) -> Performed {
        let power = self.world.power();
        let mut wait = Duration::from_millis(self.world.settings().costs.exec_ms);
        match &effect {
            Some(Effect::Error(text)) => {
                return Performed::answer(format!("{text}\r\n").into_bytes(), Answered::Error);
            }
            Some(Effect::Hang) => return Performed::lost(false),
            Some(Effect::Drop) => return Performed::lost(true),
            Some(Effect::DelayMs(more)) => wait += Duration::from_millis(*more),
            _ => {}
        }
        if !wait.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = power.cancelled() => return Performed::lost(false),
            }
        }
        let (drops, stops) =
            (effect == Some(Effect::PerformThenDrop), matches!(effect, Some(Effect::StopAfter(_))));
        let (world, cut) = (Arc::clone(&self.world), self.cut.clone());
        let ran = tokio::task::spawn_blocking(move || {
            Execution::for_user(&world, Runtime::current(), cut).with_fault(effect).run(&command)
        });
        // It ends early only when the runtime does.
        let Ok(ran) = ran.await else { return Performed::lost(false) };
        let (output, outcome) = match ran.end {
            End::Finished => (Some(ran.output), Answered::Ok),
            End::Failed => (Some(ran.output), Answered::Error),
            End::Stopped => (None, Answered::Lost),
        };
        let cut = drops || stops && output.is_none();
        Performed { output, changes: ran.changes, outcome, cut }
    }

    async fn say(&self, answer: Vec<u8>) {
        // The client may be gone; then there is nobody to tell.
        let _ = self.handle.data(self.channel, answer).await;
        let _ = self.handle.exit_status_request(self.channel, 0).await;
        let _ = self.handle.eof(self.channel).await;
        let _ = self.handle.close(self.channel).await;
    }
}

/// What came of a command.
struct Performed {
    /// `None`: nothing is answered.
    output: Option<Vec<u8>>,
    changes: u32,
    outcome: Answered,
    /// The connection is to be cut.
    cut: bool,
}

impl Performed {
    fn answer(output: Vec<u8>, outcome: Answered) -> Self {
        Self { output: Some(output), changes: 0, outcome, cut: false }
    }

    fn lost(cut: bool) -> Self {
        Self { output: None, changes: 0, outcome: Answered::Lost, cut }
    }
}

/// Reads a host key, or makes an ed25519 one and keeps it.
pub(crate) fn host_key(path: &Path) -> io::Result<PrivateKey> {
    if path.exists() {
        return russh::keys::load_secret_key(path, None).map_err(io::Error::other);
    }
    new_key(path)
}

/// Makes a host key and keeps it instead of the one there was.
pub(crate) fn new_key(path: &Path) -> io::Result<PrivateKey> {
    let key =
        PrivateKey::random(&mut rand::rng(), russh::keys::Algorithm::Ed25519).map_err(io::Error::other)?;
    let text = key.to_openssh(russh::keys::ssh_key::LineEnding::LF).map_err(io::Error::other)?;
    let unfinished = path.with_extension("new");
    std::fs::write(&unfinished, text.as_bytes())?;
    std::fs::rename(unfinished, path)?;
    Ok(key)
}
