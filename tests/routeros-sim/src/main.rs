//! `routeros-sim`: the simulated appliance as a process.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser as _;
use routeros_sim::Simulator;
use tokio::signal::unix::{SignalKind, signal};

mod options;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = options::Options::parse();
    let ready: Option<PathBuf> = options.ready_file.clone();
    let mut simulator =
        Simulator::start(options.config()?).await.context("cannot start the simulated appliance")?;
    let addresses = serde_json::json!({
        "ssh": simulator.ssh_addr(),
        "portal": simulator.portal_addr(),
        "control": simulator.control_addr(),
        "host_key": simulator.host_key_fingerprint(),
    });
    println!("{addresses}");
    if let Some(path) = ready {
        let unfinished = path.with_extension("new");
        std::fs::write(&unfinished, addresses.to_string())?;
        std::fs::rename(&unfinished, &path)?;
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop();
    Ok(())
}
