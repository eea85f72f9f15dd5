//! Who talks to the simulated appliance: an SSH client, a host at its storage, somebody at its control port.

use std::sync::Arc;
use std::time::Duration;

use routeros_sim::{Config, Growth, Simulator};
use russh::ChannelMsg;
use russh::client::{self, Handle};
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

pub(crate) struct Client(String);

impl client::Handler for Client {
    type Error = russh::Error;
    async fn check_server_key(
        &mut self,
        key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let russh::keys::PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        Ok(key.fingerprint(HashAlg::Sha256).to_string() == self.0)
    }
}

pub(crate) fn key() -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap()
}

pub(crate) async fn start(growth: Growth) -> (tempfile::TempDir, Simulator, PrivateKey) {
    start_with(|config| config.growth = growth).await
}

/// One that `set` has prepared.
pub(crate) async fn start_with(set: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Simulator, PrivateKey) {
    let folder = tempfile::tempdir().unwrap();
    let user = key();
    let mut config =
        Config::new(folder.path().to_owned(), "csi", vec![user.public_key().to_openssh().unwrap()]);
    set(&mut config);
    (folder, Simulator::start(config).await.unwrap(), user)
}

pub(crate) async fn login(simulator: &Simulator, key: &PrivateKey) -> Option<Handle<Client>> {
    let config = Arc::new(client::Config { nodelay: true, ..Default::default() });
    let handler = Client(simulator.host_key_fingerprint());
    let mut session = client::connect(config, simulator.ssh_addr(), handler).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key.clone()), None);
    session.authenticate_publickey("csi", key).await.unwrap().success().then_some(session)
}

/// Output and exit status; `None` when the connection was cut before the end.
pub(crate) async fn exec(session: &Handle<Client>, command: &str) -> Option<(String, u32)> {
    let mut channel = session.channel_open_session().await.ok()?;
    channel.exec(true, command).await.ok()?;
    let (mut output, mut status) = (Vec::new(), None);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => output.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => {}
        }
    }
    Some((String::from_utf8(output).unwrap(), status?))
}

pub(crate) struct Host(pub(crate) BufReader<TcpStream>);

impl Host {
    pub(crate) async fn connect(simulator: &Simulator, nqn: &str) -> (Self, Value) {
        let mut host = Self(BufReader::new(TcpStream::connect(simulator.portal_addr()).await.unwrap()));
        host.say(&json!({ "connect": { "nqn": nqn, "hostnqn": "nqn.host", "hostid": "id" } })).await;
        let answer = host.hear().await.unwrap();
        (host, answer)
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.0.get_mut().write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    /// `None` when the appliance has closed the session.
    pub(crate) async fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(10), self.0.read_line(&mut line))
            .await
            .expect("in time");
        (read.unwrap_or(0) > 0).then(|| serde_json::from_str(&line).unwrap())
    }
}

/// Asks the control port and gives its answer.
pub(crate) async fn control(simulator: &Simulator, request: &Value) -> Value {
    let mut control = Host(BufReader::new(TcpStream::connect(simulator.control_addr()).await.unwrap()));
    control.say(request).await;
    control.hear().await.unwrap()
}

/// Looks again and again until it is so.
pub(crate) async fn eventually(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time");
}
