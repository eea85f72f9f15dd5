//! A real API server for tests: etcd and kube-apiserver with TLS and RBAC, in a folder of their own, ended on drop.
//!
//! Path: certificates are made, two free ports are found, etcd and kube-apiserver start, `/readyz` answers. Failure: a
//! start that takes longer than two minutes, or a server that ends early, is an error with the end of its log. On
//! purpose absent: controllers, scheduler and kubelet. Objects are checked, stored and refused as everywhere, but
//! nothing acts on them; a namespace has no ServiceAccount `default` until somebody makes one.
//!
//! The servers stay in the process group of the test, so that an interrupt from the keyboard ends them too.

mod pki;
mod server;
pub mod tools;

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::pki::Pki;
use crate::server::Server;

/// What a cluster is made of.
pub const TOOLS: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];
const START: Duration = Duration::from_secs(120);

/// A running API server. It ends, and all its data with it, when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    // In the order of their end: the API server before what it stores in, both before the folder.
    _api: Server,
    _etcd: Server,
    kubectl: PathBuf,
    address: String,
    folder: TempDir,
}

impl Cluster {
    /// Starts one and waits until it is ready. The error names the tools that are missing, or shows the end of the log.
    pub fn start() -> Result<Self> {
        let [etcd, api, kubectl] = TOOLS.map(tools::find);
        let (etcd, api, kubectl) = (etcd?, api?, kubectl?);
        let folder = tempfile::tempdir().context("no folder for the cluster")?;
        let pki = Pki::write(folder.path())?;
        let [client, peer, secure] = free_ports()?;
        let deadline = Instant::now() + START;
        let store = format!("http://127.0.0.1:{client}");
        let mut etcd = Server::start(folder.path(), &etcd, &etcd_arguments(folder.path(), &store, peer))?;
        let mut api = Server::start(folder.path(), &api, &api_arguments(folder.path(), &store, secure))?;
        let address = format!("https://127.0.0.1:{secure}");
        write_kubeconfig(folder.path(), &address, &pki)?;
        let readyz = ["get", "--raw", "/readyz"];
        // Each look is a process of its own, which is pause enough between two of them.
        while let Err(error) = run(&kubectl, folder.path(), &readyz, None) {
            etcd.check()?;
            api.check()?;
            if Instant::now() > deadline {
                bail!("kube-apiserver is not ready after {START:?}: {error}\n{}", api.log_tail());
            }
        }
        Ok(Self { _api: api, _etcd: etcd, kubectl, address, folder })
    }

    /// A kubeconfig of somebody who may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        kubeconfig(self.folder.path())
    }

    /// `https://127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What `kubectl` with these arguments prints, as somebody who may do everything. The error is what it complains of.
    pub fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> Result<String> {
        run(&self.kubectl, self.folder.path(), arguments, stdin)
    }
}

fn kubeconfig(folder: &Path) -> PathBuf {
    folder.join("kubeconfig")
}

/// Three ports that were free a moment ago, all different.
fn free_ports() -> Result<[u16; 3]> {
    let listen = || TcpListener::bind("127.0.0.1:0").context("no free port");
    let held = [listen()?, listen()?, listen()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr().context("a listener has no address")?.port();
    }
    Ok(ports)
}

fn etcd_arguments(folder: &Path, store: &str, peer: u16) -> Vec<String> {
    let peer = format!("http://127.0.0.1:{peer}");
    vec![
        "--name=test".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        // Nothing here outlives the process, so nothing has to reach the disk.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--listen-client-urls={store}"),
        format!("--advertise-client-urls={store}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=test={peer}"),
    ]
}

fn api_arguments(folder: &Path, store: &str, port: u16) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--etcd-servers={store}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={port}"),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        // Pods that mount and load kernel drivers are what a driver is about.
        "--allow-privileged=true".to_owned(),
    ]
}

fn write_kubeconfig(folder: &Path, address: &str, pki: &Pki) -> Result<()> {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: '{address}', certificate-authority: '{}'}}}}]\n\
         users: [{{name: admin, user: {{client-certificate: '{}', client-key: '{}'}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]\n",
        pki.authority.display(),
        pki.admin_certificate.display(),
        pki.admin_key.display(),
    );
    std::fs::write(kubeconfig(folder), text).context("cannot write the kubeconfig")
}

fn run(kubectl: &Path, folder: &Path, arguments: &[&str], stdin: Option<&str>) -> Result<String> {
    let mut child = Command::new(kubectl)
        .env("KUBECONFIG", kubeconfig(folder))
        // Caches of other clusters on the same port would lie.
        .args(["--cache-dir", &folder.join("cache").display().to_string()])
        .args(arguments)
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", kubectl.display()))?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), stdin) {
        // It may answer before it has read everything; its answer says then why.
        let _ = pipe.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().context("kubectl was lost")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        bail!("kubectl {}: {}{}", arguments.join(" "), text(&output.stdout), text(&output.stderr));
    }
    Ok(text(&output.stdout))
}
