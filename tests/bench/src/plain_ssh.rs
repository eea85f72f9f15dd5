//! The floor: a command on a warm SSH connection to the same simulated appliance, without any driver.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use routeros_sim::{Config, Simulator};
use russh::client::{self, Handle};
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};

struct Pinned(String);

impl client::Handler for Pinned {
    type Error = russh::Error;
    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        Ok(key.fingerprint(HashAlg::Sha256).to_string() == self.0)
    }
}

/// How long each of `count` commands takes, one after the other.
pub(crate) async fn measure(count: usize) -> Result<Vec<Duration>> {
    let folder = tempfile::tempdir()?;
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)?;
    let login = key.public_key().to_openssh()?;
    let appliance = Simulator::start(Config::new(folder.path().to_owned(), "csi", vec![login])).await?;

    let config = Arc::new(client::Config { nodelay: true, ..client::Config::default() });
    let pinned = Pinned(appliance.host_key_fingerprint());
    let mut session = client::connect(config, appliance.ssh_addr(), pinned).await?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    ensure!(session.authenticate_publickey("csi", key).await?.success(), "the appliance refused the key");

    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        exec(&session).await.context("a plain command")?;
        taken.push(begin.elapsed());
    }
    Ok(taken)
}

async fn exec(session: &Handle<Pinned>) -> Result<()> {
    let mut channel = session.channel_open_session().await?;
    channel.exec(true, "/disk/print as-value where slot=raid1").await?;
    while channel.wait().await.is_some() {}
    Ok(())
}
