//! The processes of the demo: which there are, how they are started, and how they end.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chassis::channel::{Channel, Endpoint, Upstream};

use super::narrator::Narrator;
use super::process::{self, Process};
use super::record::Record;
use crate::appliance::{Addresses, Appliance};
use crate::collector::Collector;
use crate::operator::{Operator, backend_channel};
use crate::orchestrator::{Controller, Node};
use crate::settings::{NodeSettings, Settings};
use crate::world::World;

/// Time a process gets to end when asked.
const GRACE: Duration = Duration::from_secs(8);
/// Time a process gets to be ready.
const READY: Duration = Duration::from_secs(20);

/// All processes of one demo.
pub(crate) struct Fleet {
    settings: Settings,
    processes: Vec<Process>,
    backend: Option<SocketAddr>,
    logs: PathBuf,
    root: PathBuf,
}

/// What the story plays on.
pub(crate) struct Stage {
    pub(crate) controller: Controller,
    pub(crate) a: Node,
    pub(crate) b: Node,
    pub(crate) appliance: Appliance,
    pub(crate) operator: Operator,
}

impl Fleet {
    /// Nothing runs yet.
    pub(crate) fn new(world: &World, collector: &Collector) -> Result<Self> {
        let settings = Settings::prepare(world, Some(collector.endpoint()))?;
        let logs = world.folder("logs")?;
        Ok(Self { settings, processes: Vec::new(), backend: None, logs, root: world.root().to_owned() })
    }

    /// The folder of this run.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the processes write what they have to say.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// The file of the relay's log sink.
    pub(crate) fn events(&self) -> &Path {
        &self.settings.events
    }

    /// Starts everything and waits until it is ready.
    pub(crate) async fn start(&mut self, narrator: &mut Narrator, record: &mut Record) -> Result<Stage> {
        let clock = Instant::now();
        let appliance = self.start_appliance(record).await?;
        let Addresses { ssh, portal, .. } = appliance.addresses();
        narrator
            .done(clock.elapsed(), format!("appliance rds1, simulated: SSH on {ssh}, storage on {portal}"));

        let clock = Instant::now();
        let nodes = [self.settings.node("node-a")?, self.settings.node("node-b")?];
        let controller = self.settings.sockets.join("controller.sock");
        for admin in self.start_services(&controller, &nodes, appliance.addresses(), record)? {
            self.wait(admin.0, async || crate::readiness::ready(admin.1).await).await?;
        }
        let text =
            "event-relay, rds-backend, csi-front; on node-a and node-b each nvme-agent, csi-front: ready";
        narrator.done(clock.elapsed(), text);
        let [a, b] = &nodes;
        let backend = self.backend.context("the backend has no address")?;
        let operator = backend_channel(backend, &self.settings.identity("rdsctl", "demo")?)?;
        Ok(Stage {
            operator: Operator::new(operator),
            controller: Controller::new(dial(&controller)?),
            a: Node::introduce(&a.name, a.kubelet.clone(), dial(&a.csi)?).await?,
            b: Node::introduce(&b.name, b.kubelet.clone(), dial(&b.csi)?).await?,
            appliance,
        })
    }

    async fn start_appliance(&mut self, record: &mut Record) -> Result<Appliance> {
        let ready = self.root.join("appliance.json");
        let arguments = self.settings.simulator(&ready)?;
        self.launch("routeros-sim", arguments, record)?;
        self.wait("the appliance", async || {
            ensure!(ready.exists(), "it has not said where it is");
            Ok(())
        })
        .await?;
        Appliance::elsewhere(&self.settings, &ready)
    }

    /// Starts them all at once: each serves although the others may not be there yet. Answers their admin ports.
    fn start_services(
        &mut self,
        controller: &Path,
        nodes: &[NodeSettings],
        appliance: &Addresses,
        record: &mut Record,
    ) -> Result<Vec<(&'static str, SocketAddr)>> {
        let [relay, backend, relay_admin, backend_admin, front_admin] = free_addresses()?;
        let mut admins =
            vec![("event-relay", relay_admin), ("rds-backend", backend_admin), ("csi-front", front_admin)];
        self.backend = Some(backend);
        let arguments = self.settings.relay(relay, relay_admin)?;
        self.launch("event-relay", arguments, record)?;
        let arguments = self.settings.backend(backend, backend_admin, relay, appliance)?;
        self.launch("rds-backend", arguments, record)?;
        let arguments = self.settings.controller(controller, front_admin, backend)?;
        self.launch("csi-front controller", arguments, record)?;
        for node in nodes {
            let [agent_admin, front_admin] = free_addresses()?;
            let arguments = self.settings.agent(node, agent_admin, backend, relay, appliance.portal)?;
            self.launch(&format!("nvme-agent {}", node.name), arguments, record)?;
            let arguments = self.settings.node_front(node, front_admin)?;
            self.launch(&format!("csi-front {}", node.name), arguments, record)?;
            admins.extend([("nvme-agent", agent_admin), ("csi-front", front_admin)]);
        }
        Ok(admins)
    }

    /// Starts a process. The first word of its name is that of its program, which lies beside this one.
    fn launch(&mut self, name: &str, arguments: Vec<String>, record: &mut Record) -> Result<()> {
        let log = self.logs.join(format!("{}.log", name.replace(' ', "-")));
        let here = std::env::current_exe().context("where is this program?")?;
        let binary = here.with_file_name(name.split(' ').next().unwrap_or(name));
        let process = Process::start(name, &binary, &arguments, &log)?;
        record.process(process.pid, process.started, name)?;
        self.processes.push(process);
        Ok(())
    }

    /// Waits until `look` is content; a process that ends meanwhile ends the waiting.
    async fn wait(&mut self, what: &str, mut look: impl AsyncFnMut() -> Result<()>) -> Result<()> {
        let processes = &mut self.processes;
        let mut ended = None;
        let waited = crate::within(READY, what, async || {
            ended = processes.iter_mut().find_map(Process::ended);
            if ended.is_some() { Ok(()) } else { look().await }
        })
        .await;
        match ended {
            Some(why) => bail!("{why}"),
            None => waited,
        }
    }

    /// Shows what the services said last: all of one that ended by itself, the complaints of the others.
    pub(crate) fn confess(&mut self, narrator: &Narrator) {
        for process in &mut self.processes {
            let lines = process.last_lines();
            if !lines.is_empty() {
                narrator.say(format!("\nlast lines of {}:", process.name));
                lines.iter().for_each(|line| narrator.aside(format!("  {line}")));
            }
        }
    }

    /// Stops everything, the callers first, so that whoever is called is still there for their last words.
    /// All are stopped, whatever happens; the first problem is the error.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let last_called = |name: &str| match name.split(' ').next() {
            Some("csi-front") => 0,
            Some("nvme-agent") => 1,
            Some("rds-backend") => 2,
            Some("event-relay") => 3,
            _ => 4,
        };
        self.processes.sort_by_key(|process| last_called(&process.name));
        let mut first = Ok(());
        for process in &mut self.processes {
            first = first.and(process.stop(GRACE).await);
        }
        first
    }

    /// True when none of the processes lives.
    pub(crate) fn all_gone(&self) -> bool {
        self.processes.iter().all(|process| process::started(process.pid) != Some(process.started))
    }

    /// What to try while everything keeps running.
    pub(crate) fn invite(&self, narrator: &Narrator) -> Result<()> {
        narrator.heading("Everything keeps running. In another terminal:");
        let here = std::env::current_exe().context("where is this program?")?;
        let programs = here.parent().unwrap_or(Path::new(""));
        let backend = self.backend.context("the backend has no address")?;
        for line in self.settings.invitations(programs, backend, &self.settings.node("node-a")?)? {
            narrator.say(format!("  {line}"));
        }
        let (logs, events) = (self.logs.display(), self.settings.events.display());
        narrator.aside(format!("  logs: {logs}   events: {events}"));
        narrator.aside(format!("  to end it: Ctrl-C here, or kill {}", std::process::id()));
        Ok(())
    }
}

/// A channel to a CSI socket.
fn dial(socket: &Path) -> Result<Channel> {
    Ok(Upstream::new("csi-front", Endpoint::Unix(socket.to_owned()), None)?.channel())
}

/// Addresses on loopback that were free a moment ago.
fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    let mut held = Vec::new();
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).context("no free port")?;
        *address = listener.local_addr().context("no free port")?;
        // Held until all are known, so that no two are the same.
        held.push(listener);
    }
    Ok(addresses)
}
