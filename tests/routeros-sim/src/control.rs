//! The control port: one JSON request a line, one JSON answer a line; or HTTP with the same JSON. For processes that
//! cannot call the library, and for people with curl.

mod http;

use std::sync::Arc;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::appliance::PoolChange;
use crate::config::{Costs, Growth};
use crate::device::Device;
use crate::faults::{Fault, Flaky};

/// What can be asked.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    Fault(Fault),
    ClearFaults,
    Journal,
    ClearJournal,
    Disks,
    Subvolumes,
    Files,
    Sessions,
    Addresses,
    /// Seconds it stays down.
    Reboot(u64),
    Down,
    Up,
    Costs(Costs),
    Pool(PoolChange),
    FillPools(bool),
    Flag(bool),
    Growth(Growth),
    NewHostKey,
    Policies(String),
    MaxSessions(usize),
    Flaky(Flaky),
    /// A command, as at the console.
    Console(String),
}

pub(crate) async fn serve(listener: TcpListener, device: Arc<Device>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (device, stop) = (Arc::clone(&device), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                result = talk(stream, &device) => drop(result),
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn talk(stream: TcpStream, device: &Arc<Device>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = String::new();
    while read.read_line(&mut line).await? > 0 {
        if http::begins(&line) {
            return http::talk(&line, read, write, device).await;
        }
        let answer = answer_text(device, &line).await;
        write.write_all(format!("{answer}\n").as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

async fn answer_text(device: &Arc<Device>, request: &str) -> serde_json::Value {
    let answered = match serde_json::from_str(request) {
        Ok(request) => answer(device, request).await,
        Err(error) => Err(error.to_string()),
    };
    answered.unwrap_or_else(|error| serde_json::json!({ "error": error }))
}

async fn answer(device: &Arc<Device>, request: Request) -> Result<serde_json::Value, String> {
    let world = &device.world;
    let done = || Ok(serde_json::json!("done"));
    match request {
        Request::Fault(fault) => world.faults().add(fault),
        Request::ClearFaults => world.faults().clear(),
        Request::ClearJournal => world.journal().clear(),
        Request::Journal => return Ok(serde_json::json!(world.journal().entries())),
        Request::Disks => return Ok(serde_json::Value::Array(world.disks())),
        Request::Subvolumes => return Ok(serde_json::Value::Array(world.subvolumes())),
        Request::Files => return Ok(serde_json::json!(world.appliance().files())),
        Request::Sessions => return Ok(serde_json::json!(world.sessions())),
        Request::Addresses => {
            let (ssh, portal) = device.addresses();
            return Ok(serde_json::json!({ "ssh": ssh, "portal": portal, "host_key": device.fingerprint() }));
        }
        Request::Reboot(seconds) => device.reboot(seconds).await,
        Request::Down => device.down().await,
        Request::Up => device.up().await.map_err(|error| error.to_string())?,
        Request::Costs(costs) => world.settings().costs = costs,
        Request::Pool(change) => {
            if !world.appliance().change_pool(&change) {
                return Err(format!("there is no pool {}", change.slot));
            }
        }
        Request::FillPools(full) => world.appliance().pool_full = full,
        Request::Flag(flagged) => world.appliance().flagged = flagged,
        Request::Growth(growth) => world.appliance().growth = growth,
        Request::NewHostKey => {
            let fingerprint = device.new_key().map_err(|error| error.to_string())?;
            return Ok(serde_json::json!({ "host_key": fingerprint }));
        }
        Request::Policies(policies) => world.settings().policies = policies,
        Request::MaxSessions(sessions) => world.settings().max_sessions = sessions,
        Request::Flaky(flaky) => world.settings().flaky = flaky,
        Request::Console(command) => {
            let said = String::from_utf8_lossy(&world.run(&command)).into_owned();
            return Ok(serde_json::json!({ "output": said }));
        }
    }
    done()
}
