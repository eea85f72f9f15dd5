//! Runs the program, with sockets that answer.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use chassis::health::Health;
use chassis::server::{Listen, Listener, Server};
use chassis::shutdown::{Shutdown, ShutdownHandle};
use proto::csi::v1::identity_server::IdentityServer;
use proto::rds::volume::v1::appliances_server::AppliancesServer;
use proto::rds::volume::v1::snapshots_server::SnapshotsServer;
use proto::rds::volume::v1::volumes_server::VolumesServer;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::csi::Driver;
use crate::fake::{Fake, World};

/// A backend in a folder of its own. Gone when dropped.
pub(crate) struct Backend {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) fake: Fake,
    socket: String,
    _server: ShutdownHandle,
}

impl Backend {
    pub(crate) async fn start(world: World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fake = Fake::new(world);
        let path = folder.path().join("backend.sock");
        let server = serve(&path, fake.clone()).await;
        Self { folder, fake, socket: format!("unix://{}", path.display()), _server: server }
    }

    /// Runs a command against it.
    pub(crate) async fn rdsctl(&self, arguments: &[&str]) -> (i32, String, String) {
        rdsctl(&[arguments, &["--backend", &self.socket]].concat()).await
    }

    /// The same answer as JSON; as YAML it must say the same, and both go with the same exit code.
    pub(crate) async fn values(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.rdsctl(&[arguments, &["-o", "json"]].concat()).await;
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let (yaml_code, out, err) = self.rdsctl(&[arguments, &["--output=yaml"]].concat()).await;
        let yaml: Value = serde_saphyr::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        assert_eq!((yaml_code, &yaml), (code, &json));
        (code, json)
    }

    /// Runs a command, and interrupts it as a person does once it has said `word`. What it said is not kept.
    pub(crate) async fn interrupted(&self, arguments: &[&str], word: &str) -> i32 {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rdsctl"));
        command.args(arguments).args(["--backend", &self.socket]).env_clear().kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let ending = async {
            while !said.next_line().await.unwrap().expect("it says the word").contains(word) {}
            let process = child.id().unwrap().to_string();
            tokio::process::Command::new("sh").args(["-c", "kill -INT $0", &process]).status().await.unwrap();
            while said.next_line().await.unwrap().is_some() {}
            child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(Duration::from_secs(60), ending).await.expect("in time");
        status.code().expect("ended by itself")
    }

    /// Runs a command on a terminal where somebody types `answer`. What was shown has both streams.
    pub(crate) async fn on_a_terminal(&self, arguments: &str, answer: &str) -> (i32, String) {
        let command = format!("{} {arguments} --backend {}", env!("CARGO_BIN_EXE_rdsctl"), self.socket);
        let typed = self.folder.path().join("typed");
        std::fs::write(&typed, answer).unwrap();
        let mut script = tokio::process::Command::new("script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        script.stdin(std::fs::File::open(&typed).unwrap()).kill_on_drop(true);
        let Output { status, stdout, .. } = output(script).await;
        (status.code().expect("ended by itself"), String::from_utf8(stdout).expect("text"))
    }
}

/// Serves a driver and a backend on one socket.
pub(crate) async fn serve(socket: &Path, fake: Fake) -> ShutdownHandle {
    let listener = Listener::bind(&Listen::Unix(socket.to_owned()), None).await.expect("binds");
    let (handle, shutdown) = Shutdown::manual();
    let server = Server::new(listener)
        .add(IdentityServer::new(Driver))
        .add(AppliancesServer::new(fake.clone()))
        .add(VolumesServer::new(fake.clone()))
        .add(SnapshotsServer::new(fake));
    tokio::spawn(async move { server.grace(Duration::ZERO).serve(&Health::new(), shutdown).await });
    handle
}

/// Runs a command without a terminal.
pub(crate) async fn rdsctl(arguments: &[&str]) -> (i32, String, String) {
    rdsctl_with(&[], arguments).await
}

/// Runs a command without a terminal, with this environment and no other.
pub(crate) async fn rdsctl_with(environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rdsctl"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let Output { status, stdout, stderr } = output(command).await;
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("ended by itself"), text(stdout), text(stderr))
}

async fn output(mut command: tokio::process::Command) -> Output {
    let ended = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    ended.expect("in time").expect("runs")
}
