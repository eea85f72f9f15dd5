//! The demo: a simulated appliance and the real services as separate processes, two nodes, one volume's life, told
//! line by line, and nothing left behind.
//!
//! Path: [`record`] clears what an earlier run was killed over → a folder of its own → [`fleet`] starts the processes →
//! [`play`] tells the story → the processes stop (and send their last spans and Events) → Events, trace, farewell.
//! A failure or Ctrl-C at any point takes the same way out; then the logs stay and the end of them is shown.
//!
//! The demo needs root: it mounts. It touches nothing outside its own folder and `/run/rds-demo.record`.

mod fleet;
mod machine;
mod narrator;
mod play;
mod process;
mod record;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chassis::options::{LogFormat, ProcessOptions};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::collector::Collector;
use crate::leftovers::Leftovers;
use crate::trace::Trace;
use crate::world::World;
use fleet::Fleet;
use narrator::{Narrator, brief};
use play::Play;
use record::Record;

/// Exit code after Ctrl-C, as a shell would have it.
const EXIT_INTERRUPTED: u8 = 130;
/// How long the last spans and Events may take to arrive while everything keeps running.
const LAST_SPANS: Duration = Duration::from_secs(8);

#[derive(Parser)]
#[command(name = "demo", about = "See it work: two nodes, one volume, from create to delete")]
struct Options {
    /// Leave everything running at the end, print what to try next, and clean up on Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Send the traces to this OTLP endpoint as well, e.g. http://localhost:4317
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
}

/// How long the kernel may take to let go of what a stopped service held.
const LAST_HOLDS: Duration = Duration::from_secs(10);

/// How the story ended.
enum Ending {
    /// Told to its end; the trace worth showing.
    Told(String),
    /// Somebody wanted it to stop.
    Interrupted,
    /// It failed, and has said why.
    Failed,
}

/// Runs the demo.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let mut narrator = Narrator::new();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            narrator.failed(format!("no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // On this thread to the end: the services die with the thread that started them.
    match runtime.block_on(show(&options, &mut narrator)) {
        Ok(Ending::Told(_)) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => ExitCode::from(EXIT_INTERRUPTED),
        Ok(Ending::Failed) => ExitCode::FAILURE,
        Err(error) => {
            narrator.failed(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn show(options: &Options, narrator: &mut Narrator) -> Result<Ending> {
    if let Some(lack) = crate::what_mounting_lacks() {
        bail!("the demo mounts filesystems, and cannot here: {lack}");
    }
    let mut record = Record::open()?;
    for found in record.clear_previous()? {
        narrator.aside(format!("cleared away what an earlier demo left: {found}"));
    }
    let mut world = World::new("rds-demo-")?;
    record.world(world.root())?;
    let collector = Collector::start(options.otlp.as_deref()).await?;
    let telemetry = chassis::telemetry::init("demo", &own_telemetry(&collector)).context("no telemetry")?;
    let mut fleet = Fleet::new(&world, &collector)?;

    let ending = tokio::select! {
        ending = story(narrator, &mut fleet, &mut record) => ending,
        interrupted = interrupted() => interrupted.map(|()| Ending::Interrupted),
    };
    let ending = match ending {
        Ok(Ending::Told(trace)) if options.keep => {
            keep(narrator, &fleet, &collector, &trace).await.map(|()| Ending::Told(trace))
        }
        other => other,
    };
    let ending = ending.unwrap_or_else(|error| {
        narrator.failed(format!("{error:#}"));
        fleet.confess(narrator);
        Ending::Failed
    });
    let stopped = fleet.stop().await;
    telemetry.shutdown().await;
    let shown = match &ending {
        Ending::Told(trace) if !options.keep => epilogue(narrator, fleet.events(), &collector, trace),
        Ending::Told(_) | Ending::Interrupted | Ending::Failed => Ok(()),
    };
    let kept = match ending {
        Ending::Failed => keep_logs(fleet.logs()),
        Ending::Told(_) | Ending::Interrupted => None,
    };
    // What a service was doing when it was stopped may hold a mount for a moment.
    crate::within(LAST_HOLDS, "the folder of this run is cleared", async || world.dissolve()).await?;
    record.close()?;
    shown?;
    match &ending {
        Ending::Told(_) => {
            stopped?;
            farewell(narrator, world.root(), &fleet)?;
        }
        Ending::Interrupted => narrator.say("\ninterrupted; everything is cleaned up"),
        Ending::Failed => {
            let kept = kept.unwrap_or_default();
            narrator.say(format!("\neverything is cleaned up; the logs are in {}", kept.display()));
        }
    }
    Ok(ending)
}

/// Our own spans go to the same collector; our own log lines would disturb the story.
fn own_telemetry(collector: &Collector) -> ProcessOptions {
    ProcessOptions {
        log: "off".to_owned(),
        log_format: LogFormat::Text,
        otlp_endpoint: Some(collector.endpoint()),
        trace_sample_ratio: 1.0,
        admin_listen: String::new(),
        shutdown_grace: 5,
    }
}

async fn story(narrator: &mut Narrator, fleet: &mut Fleet, record: &mut Record) -> Result<Ending> {
    narrator.heading(
        "A simulated appliance and the real services, each a process of its own, mutual TLS between them",
    );
    let stage = fleet.start(narrator, record).await?;
    let mut play = Play {
        narrator,
        controller: stage.controller,
        a: stage.a,
        b: stage.b,
        appliance: &stage.appliance,
        operator: stage.operator,
        root: fleet.root(),
    };
    play.run().await.map(Ending::Told)
}

/// Shows Events and trace while everything keeps running, and waits until somebody wants it to end.
async fn keep(narrator: &Narrator, fleet: &Fleet, collector: &Collector, trace: &str) -> Result<()> {
    let whole = async || {
        let known = Trace::pick(collector.spans(), trace);
        ensure!(known.spans().iter().any(|span| span.parent.is_empty()), "the root is still open");
        Ok(())
    };
    // A late span is no reason to end: the tree says what it has.
    let _ = crate::within(LAST_SPANS, "the last spans", whole).await;
    epilogue(narrator, fleet.events(), collector, trace)?;
    fleet.invite(narrator)?;
    interrupted().await
}

fn epilogue(narrator: &Narrator, events: &Path, collector: &Collector, trace: &str) -> Result<()> {
    narrator.heading("Events of this run, as kubectl would show them");
    let row = |cells: [&str; 6]| {
        let [namespace, count, kind, reason, regarding, note] = cells;
        format!("  {namespace:<9} {count:>5}  {kind:<7} {reason:<18} {regarding:<36} {note}")
    };
    narrator.aside(row(["NAMESPACE", "COUNT", "TYPE", "REASON", "REGARDING", "NOTE"]));
    for event in crate::events::read(events)? {
        let regarding = brief(&format!("{}/{}", event.regarding.kind, event.regarding.name));
        let (count, note) = (event.count.to_string(), brief(&event.note));
        narrator.say(row([&event.namespace, &count, &event.kind, &event.reason, &regarding, &note]));
    }
    narrator.heading(
        "One trace: from the claim to the mount on node-a, down to the SSH command, mkfs, mount and Event",
    );
    narrator.tree(&Trace::pick(collector.spans(), trace).tree());
    Ok(())
}

fn farewell(narrator: &Narrator, root: &Path, fleet: &Fleet) -> Result<()> {
    let left = Leftovers::below(root)?;
    ensure!(left.is_empty() && !root.exists(), "left behind: {}: {left}", root.display());
    ensure!(fleet.all_gone(), "a service is still running");
    let seconds = narrator.elapsed().as_secs_f64();
    narrator
        .say(format!("\nDone in {seconds:.1} s. No process, no mount, no loop device and no file is left."));
    Ok(())
}

/// Ctrl-C, `kill`, or the terminal going away.
async fn interrupted() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("no signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("no signals")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// Moves the logs out of the folder that is about to go. `None` if there is no saving them.
fn keep_logs(logs: &Path) -> Option<PathBuf> {
    let kept = tempfile::Builder::new().prefix("rds-demo-logs-").tempdir().ok()?.keep();
    std::fs::rename(logs, &kept).ok()?;
    Some(kept)
}
