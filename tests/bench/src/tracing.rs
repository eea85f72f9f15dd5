//! What traces cost: a burst of volumes with and without an OTLP endpoint, in alternating processes of their own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chassis::options::{LogFormat, ProcessOptions};
use harness::Stack;
use harness::collector::Collector;
use harness::orchestrator::{Access, Wish};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::table::median;

/// Volumes of one burst, all asked for at once.
const BURST: usize = 200;
/// How long the appliance takes for each command, as a real one does.
const COMMAND_MS: u64 = 150;
/// Bursts of each kind.
const ROUNDS: usize = 5;
const MIB: i64 = 1 << 20;
/// First argument of a process that runs one burst; an OTLP endpoint may follow.
pub(crate) const BURST_ARGUMENT: &str = "--burst";

/// One burst: the time it took, and the processor time of all services and the simulated appliance together.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

/// Runs one burst in this process and prints its cost in microseconds.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) async fn burst(endpoint: Option<String>) -> Result<()> {
    let options = ProcessOptions {
        log: "warn".to_owned(),
        log_format: LogFormat::Text,
        otlp_endpoint: endpoint,
        trace_sample_ratio: 1.0,
        admin_listen: String::new(),
        shutdown_grace: 25,
    };
    // Before the stack: the first one to set up telemetry in a process decides.
    let telemetry = chassis::telemetry::init("bench", &options)?;
    let stack = Stack::start().await?;
    stack.appliance().slow(COMMAND_MS).await?;
    let (began, cpu) = (Instant::now(), processor_time()?);
    let mut creating = JoinSet::new();
    for number in 0..BURST {
        let mut controller = stack.controller();
        let wish = Wish::new(&format!("burst-{number}"), Access::Block, 16 * MIB);
        creating.spawn(async move { controller.create(&wish).await });
    }
    while let Some(created) = creating.join_next().await {
        created??;
    }
    let cost = Cost { wall: began.elapsed(), cpu: processor_time()?.saturating_sub(cpu) };
    telemetry.shutdown().await;
    println!("{} {}", cost.wall.as_micros(), cost.cpu.as_micros());
    Ok(())
}

/// Alternates bursts without and with traces, and prints the medians.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(crate) async fn measure() -> Result<()> {
    let collector = Collector::start(None).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(run(None).await?);
        with.push(run(Some(collector.endpoint())).await?);
    }
    ensure!(collector.spans().len() > ROUNDS * BURST, "traces did not arrive");
    println!(
        "\na burst of {BURST} volumes, {COMMAND_MS} ms per command of the appliance, median of {ROUNDS}"
    );
    println!("| | wall clock | processor |\n|---|---|---|");
    let (without, with) = (medians(&without), medians(&with));
    for (name, cost) in [("without traces", without), ("with traces", with)] {
        println!("| {name} | {:.2?} | {:.2?} |", cost.wall, cost.cpu);
    }
    let more = |with: Duration, without: Duration| (with.as_secs_f64() / without.as_secs_f64() - 1.0) * 100.0;
    println!("| cost | {:+.1} % | {:+.1} % |", more(with.wall, without.wall), more(with.cpu, without.cpu));
    Ok(())
}

async fn run(endpoint: Option<String>) -> Result<Cost> {
    let output = Command::new(std::env::current_exe()?).arg(BURST_ARGUMENT).args(endpoint).output().await?;
    ensure!(output.status.success(), "a burst failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let (wall, cpu) = text.trim().split_once(' ').context("no cost")?;
    Ok(Cost { wall: Duration::from_micros(wall.parse()?), cpu: Duration::from_micros(cpu.parse()?) })
}

fn medians(costs: &[Cost]) -> Cost {
    let of = |part: fn(&Cost) -> Duration| median(&costs.iter().map(part).collect::<Vec<_>>());
    Cost { wall: of(|cost| cost.wall), cpu: of(|cost| cost.cpu) }
}

/// Of this process so far: its threads' run time, in nanoseconds in the first field of their schedstat.
fn processor_time() -> Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        total += Duration::from_nanos(text.split(' ').next().context("no schedstat")?.parse()?);
    }
    Ok(total)
}
