//! The floor: the same commands on a warm SSH connection to such an appliance, without any driver.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::settings::{SSH_USER, Settings};
use harness::world::World;
use routeros_sim::{Costs, Simulator};
use russh::ChannelMsg;
use russh::client::{self, Handle};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use tokio::task::JoinSet;

use crate::rig;

struct Pinned(String);

impl client::Handler for Pinned {
    type Error = russh::Error;
    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        Ok(key.fingerprint(HashAlg::Sha256).to_string() == self.0)
    }
}

/// A warm connection to an appliance of its own.
///
/// Commands of the driver say until when they may begin, on the appliance's clock. This appliance has just booted, so
/// what was recorded on an older one is still in time.
pub(crate) struct PlainSsh {
    session: Arc<Handle<Pinned>>,
    appliance: Simulator,
    _world: World,
}

impl PlainSsh {
    /// Connects to a new appliance with such costs.
    pub(crate) async fn connect(costs: Costs) -> Result<Self> {
        let world = World::new("rds-plain-")?;
        let settings = Settings::prepare(&world, None)?;
        let appliance = rig::appliance(&settings, costs).await?;
        let config = Arc::new(client::Config { nodelay: true, ..client::Config::default() });
        let pinned = Pinned(appliance.host_key_fingerprint());
        let mut session = client::connect(config, appliance.ssh_addr(), pinned).await?;
        let key =
            PrivateKeyWithHashAlg::new(Arc::new(load_secret_key(&settings.user_key.private, None)?), None);
        let login = session.authenticate_publickey(SSH_USER, key).await?;
        ensure!(login.success(), "the appliance refused the key");
        Ok(Self { session: Arc::new(session), appliance, _world: world })
    }

    /// How long each command takes, one after the other. Each must go well.
    pub(crate) async fn each(&self, commands: &[String]) -> Result<Vec<Duration>> {
        let mut taken = Vec::with_capacity(commands.len());
        for command in commands {
            let begin = Instant::now();
            let said = exec(&self.session, command).await.context("a plain command")?;
            taken.push(begin.elapsed());
            check(&said)?;
        }
        Ok(taken)
    }

    /// How long all of them take together over so many channels.
    pub(crate) async fn together(&self, commands: &[String], channels: u32) -> Result<Duration> {
        let waiting = Arc::new(Mutex::new(VecDeque::from(commands.to_vec())));
        let begin = Instant::now();
        let mut workers: JoinSet<Result<()>> = JoinSet::new();
        for _ in 0..channels {
            let (waiting, session) = (Arc::clone(&waiting), Arc::clone(&self.session));
            workers.spawn(async move {
                loop {
                    let next = waiting.lock().ok().and_then(|mut waiting| waiting.pop_front());
                    let Some(command) = next else { return Ok(()) };
                    check(&exec(&session, &command).await?)?;
                }
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended??;
        }
        Ok(begin.elapsed())
    }

    /// Changes that all commands have made.
    pub(crate) fn changes(&self) -> u32 {
        self.appliance.journal().iter().map(|entry| entry.changes).sum()
    }
}

fn check(said: &str) -> Result<()> {
    // The first command on a connection of the driver only asks for the version and the clock.
    ensure!(!said.contains("-ERR ") && !said.is_empty(), "a plain command failed: {said}");
    Ok(())
}

async fn exec(session: &Handle<Pinned>, command: &str) -> Result<String> {
    let mut channel = session.channel_open_session().await?;
    channel.exec(true, command).await?;
    let mut said = Vec::new();
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::Data { data } = message {
            said.extend_from_slice(&data);
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}
