//! The smallest appliance there can be: a storage portal over sparse files.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is exported under a name.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) nsid: u32,
}

type Exports = HashMap<String, Export>;

/// A running portal.
pub(crate) struct Portal {
    pub(crate) address: SocketAddr,
    exports: Arc<watch::Sender<Exports>>,
    sessions: Arc<Mutex<usize>>,
}

impl Portal {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let exports = Arc::new(watch::Sender::new(Exports::new()));
        let sessions = Arc::new(Mutex::new(0));
        let (shown, counted) = (Arc::clone(&exports), Arc::clone(&sessions));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (exports, counted) = (shown.subscribe(), Arc::clone(&counted));
                tokio::spawn(async move {
                    *counted.lock().expect("counted") += 1;
                    let _ = session(stream, exports).await;
                    *counted.lock().expect("counted") -= 1;
                });
            }
        });
        Self { address, exports, sessions }
    }

    /// Exports a file under a name, or with another size; open sessions are told.
    pub(crate) fn export(&self, nqn: &str, export: Export) {
        self.exports.send_modify(|all| drop(all.insert(nqn.to_owned(), export)));
    }

    /// Takes a name away; its sessions end.
    pub(crate) fn withdraw(&self, nqn: &str) {
        self.exports.send_modify(|all| drop(all.remove(nqn)));
    }

    /// Open connections.
    pub(crate) fn sessions(&self) -> usize {
        *self.sessions.lock().expect("counted")
    }
}

async fn session(stream: TcpStream, mut exports: watch::Receiver<Exports>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let hello: Value = serde_json::from_str(&lines.next_line().await?.unwrap_or_default())?;
    let nqn = hello["connect"]["nqn"].as_str().unwrap_or_default().to_owned();
    let find = |exports: &watch::Receiver<Exports>| exports.borrow().get(&nqn).cloned();
    let Some(mut export) = find(&exports) else {
        return say(&mut write, json!({"refused": "no such subsystem"})).await;
    };
    let connected = json!({"path": export.path, "size": export.size, "nsid": export.nsid});
    say(&mut write, json!({ "connected": connected })).await?;
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(_) => say(&mut write, json!({"size": export.size})).await?,
                None => return Ok(()),
            },
            _ = exports.changed() => match find(&exports) {
                Some(now) if now.size != export.size => {
                    export = now;
                    say(&mut write, json!({"size": export.size})).await?;
                }
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

async fn say(write: &mut (impl tokio::io::AsyncWrite + Unpin), what: Value) -> std::io::Result<()> {
    write.write_all(format!("{what}\n").as_bytes()).await
}
