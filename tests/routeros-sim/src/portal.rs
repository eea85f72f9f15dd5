//! The storage portal: one TCP connection per session, newline-delimited JSON. It stands in for NVMe/TCP.
//!
//! A session ends when the export goes off, its name changes or the disk is removed, as a controller's does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::World;
use crate::appliance::Export;
use crate::config::Growth;

/// Longest request, in bytes.
const MAX_LINE: u64 = 4096;

/// A connected host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortalSession {
    /// The name it connected to.
    pub nqn: String,
    /// Who it says it is.
    pub hostnqn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Request {
    Connect(Connect),
    Rescan(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Connect {
    nqn: String,
    hostnqn: String,
    #[serde(rename = "hostid")]
    _hostid: String,
}

pub(crate) async fn serve(listener: TcpListener, world: Arc<World>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (world, stop) = (Arc::clone(&world), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                // A host that goes away in mid-sentence ends its own session only.
                result = session(stream, &world) => drop(result),
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn session(stream: TcpStream, world: &World) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let Some(line) = lines.next_line().await? else {
        return Ok(());
    };
    let Ok(Request::Connect(connect)) = parse(&line) else {
        return say(&mut write, &serde_json::json!({ "refused": "not a connect request" })).await;
    };
    let mut changes = world.appliance().subscribe();
    let export = match find(world, &connect) {
        Ok(export) => export,
        Err(why) => return say(&mut write, &serde_json::json!({ "refused": why })).await,
    };
    let _entry = world.enter(PortalSession { nqn: connect.nqn.clone(), hostnqn: connect.hostnqn.clone() });
    let connected =
        serde_json::json!({ "connected": { "path": export.file, "size": export.size, "nsid": 1 } });
    say(&mut write, &connected).await?;
    let mut size = export.size;
    loop {
        tokio::select! {
            line = lines.next_line() => match line?.as_deref().map(parse) {
                Some(Ok(Request::Rescan(_))) => say(&mut write, &serde_json::json!({ "size": size })).await?,
                Some(Ok(Request::Connect(_)) | Err(())) | None => return Ok(()),
            },
            changed = changes.changed() => {
                let current = find(world, &connect).ok().filter(|current| current.id == export.id);
                let (Ok(()), Some(current)) = (changed, current) else { return Ok(()) };
                if current.size != size && world.appliance().growth == Growth::Live {
                    size = current.size;
                    say(&mut write, &serde_json::json!({ "size": size })).await?;
                }
            }
        }
    }
}

fn parse(line: &str) -> Result<Request, ()> {
    if line.len() as u64 > MAX_LINE {
        return Err(());
    }
    serde_json::from_str(line).map_err(drop)
}

fn find(world: &World, connect: &Connect) -> Result<Export, &'static str> {
    let export = world.appliance().export(&connect.nqn).ok_or("no such subsystem")?;
    let allowed = export.allowed_host.is_empty() || export.allowed_host == connect.hostnqn;
    if allowed { Ok(export) } else { Err("host not allowed") }
}

async fn say(
    write: &mut tokio::net::tcp::OwnedWriteHalf,
    message: &serde_json::Value,
) -> std::io::Result<()> {
    write.write_all(format!("{message}\n").as_bytes()).await
}
