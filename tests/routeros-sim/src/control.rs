//! The control port: one JSON request a line, one JSON answer a line. For processes that cannot call the library.
//!
//! Requests: `{"fault": …}`, `"clear-faults"`, `"journal"`, `"clear-journal"`, `"disks"`, `"files"`, `"sessions"`.

use std::sync::Arc;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::World;
use crate::faults::Fault;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    Fault(Fault),
    ClearFaults,
    Journal,
    ClearJournal,
    Disks,
    Files,
    Sessions,
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
                result = talk(stream, &world) => drop(result),
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn talk(stream: TcpStream, world: &World) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str(&line) {
            Ok(request) => answer(world, request),
            Err(error) => serde_json::json!({ "error": error.to_string() }),
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}

fn answer(world: &World, request: Request) -> serde_json::Value {
    match request {
        Request::Fault(fault) => world.script().add(fault),
        Request::ClearFaults => world.script().clear_faults(),
        Request::ClearJournal => world.script().clear_journal(),
        Request::Journal => return serde_json::json!(world.script().journal()),
        Request::Disks => return serde_json::Value::Array(world.disks()),
        Request::Files => return serde_json::json!(world.appliance().files()),
        Request::Sessions => return serde_json::json!(world.sessions()),
    }
    serde_json::json!("done")
}
