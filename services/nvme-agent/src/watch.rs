//! Looks after what is staged: whether paths live, whether mounts stand on devices that are there, whether sessions belong
//! to anything. Told by the kernel's uevents, and looking every few seconds all the same.
//!
//! It reports, and it mends one thing by itself: a stale mount that nobody uses is replaced, with the same steps as a stage
//! and the volume's reservation in hand, a few times with growing pauses. What a pod uses is left to kubelet's next call;
//! a path that is lost is left to the kernel, which holds what is still to be written.

mod orphans;
mod table;
mod uevents;

use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use chassis::reservation::Reservations;
use chassis::shutdown::Shutdown;
use nix::errno::Errno;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use self::table::{Known, Table};
use self::table::{Recovery, Told};
use crate::condition::{Condition, assess};
use crate::events::Happening;
use crate::failure::Failure;
use crate::journal::{Entry, Recorded};
use crate::kernel::{KernelError, Session};
use crate::mounts::Mounts;
use crate::node::{Node, Operation};
use crate::request;
use crate::stage::ensure::ensure_staged;

/// Between two looks, if no uevent comes.
const PERIOD: Duration = Duration::from_secs(3);
/// How long uevents are let gather.
const GATHER: Duration = Duration::from_millis(100);
/// What one look may take.
const LOOK: Duration = Duration::from_secs(10);
/// What one attempt to recover may take.
const ATTEMPT: Duration = Duration::from_secs(60);
/// Lane of the tables that are looked at for all volumes at once.
const LANE: &str = "watch";

/// Everything the watch works with.
#[derive(Clone)]
pub(crate) struct Watch {
    node: Arc<Node>,
    busy: Reservations<String>,
    table: Table,
}

impl Watch {
    pub(crate) fn new(node: Arc<Node>, busy: Reservations<String>, table: Table) -> Self {
        Self { node, busy, table }
    }

    /// Looks until shutdown.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let changed = Arc::new(Notify::new());
        let mut listening = JoinSet::new();
        listening.spawn(uevents::listen(Arc::clone(&changed)));
        let mut first = true;
        loop {
            if let Err(failure) = self.look(first).await {
                tracing::warn!(%failure, "looking after the volumes");
            }
            first = false;
            let wait = async {
                let _ = tokio::time::timeout(PERIOD, changed.notified()).await;
                tokio::time::sleep(GATHER).await;
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = wait => {}
            }
        }
    }

    async fn look(&self, first: bool) -> Result<(), Failure> {
        let deadline = Deadline::after(LOOK);
        let seen = Tables::read(&self.node, deadline).await?;
        self.table.torn(seen.torn);
        if first {
            tracing::info!(
                volumes = seen.entries.len(),
                sessions = seen.sessions.len(),
                torn = seen.torn,
                "found"
            );
        }
        let orphans = orphans::find(&seen);
        for orphan in self.table.orphans(&orphans) {
            // A call that is under way may be ending it.
            let Some(handle) = orphans::any_handle(&self.node, &orphan) else { continue };
            let Some(_reservation) = self.busy.take(handle.slot.to_string()) else { continue };
            // One may just have adopted it.
            let now = Tables::read(&self.node, Deadline::after(LOOK)).await?;
            if !orphans::find(&now).contains(&orphan) {
                continue;
            }
            orphans::deal_with(&self.node, handle, &orphan).await;
            self.table.dealt_with(&orphan);
        }
        self.table.retain(&seen.entries);
        let mut looking = JoinSet::new();
        let seen = Arc::new(seen);
        for at in 0..seen.entries.len() {
            let (watch, seen) = (self.clone(), Arc::clone(&seen));
            looking.spawn(async move { watch.look_at(&seen.entries[at], &seen).await });
        }
        // One that hangs has a deadline of its own, and is told as stuck.
        while looking.join_next().await.is_some() {}
        self.table.show();
        Ok(())
    }

    async fn look_at(&self, entry: &Entry, seen: &Tables) {
        let Ok(handle) = request::existing(&entry.handle) else { return };
        // A call that is under way changes things on purpose. Taken and let go: nobody is to wait for a look.
        if self.busy.take(handle.slot.to_string()).is_none() {
            return;
        }
        let op = Operation::new(&self.node, handle, Deadline::after(LOOK));
        let condition = self.condition(&op, entry, seen).await;
        if let Some(told) = self.table.saw(&entry.handle, &condition, Instant::now()) {
            self.tell(&op, entry, told);
        }
        let idle = entry.published(&seen.mounts).next().is_none();
        if idle && self.table.may_try(&entry.handle, Instant::now()) {
            self.recover(entry).await;
        }
    }

    async fn condition(&self, op: &Operation, entry: &Entry, seen: &Tables) -> Condition {
        let hanging = self.node.lanes.hanging(&entry.handle);
        if !hanging.is_empty() {
            return Condition::Stuck(hanging.join(", "));
        }
        let condition = assess(entry, seen.session(entry), &seen.mounts);
        if condition == Condition::Healthy && is_shut_down(op, entry).await {
            Condition::ShutDown
        } else {
            condition
        }
    }

    fn tell(&self, op: &Operation, entry: &Entry, told: Told) {
        let Told { before, after, lost_for, attempts } = told;
        let happening = match (&before, &after) {
            (_, Condition::PathLost(_)) => {
                Happening::NoConnection { addresses: entry.addresses.clone(), why: after.message() }
            }
            (_, Condition::StaleMount(at)) => Happening::StaleMount(at.clone()),
            (_, Condition::ReadOnly | Condition::ShutDown) => Happening::FilesystemReadOnly(after.message()),
            (_, Condition::Stuck(_)) => Happening::NotMounted(after.message()),
            (Condition::PathLost(_), Condition::Healthy) => Happening::ConnectionBack {
                addresses: entry.addresses.clone(),
                attempts,
                seconds: lost_for.as_secs(),
            },
            (Condition::StaleMount(at), Condition::Healthy) => Happening::StaleMountRecovered(at.clone()),
            (_, Condition::Healthy | Condition::Unfinished | Condition::NotMounted) => return,
        };
        op.node.reporter.report(&op.handle, &entry.claim, happening);
    }

    /// Stages it once more, as kubelet would.
    async fn recover(&self, entry: &Entry) {
        let wanted = entry.request().map(|wanted| request::stage(&self.node.config, wanted));
        let Some(Ok(want)) = wanted else { return };
        let Some(_reservation) = self.busy.take(want.handle.slot.to_string()) else { return };
        let op = Operation::new(&self.node, want.handle.clone(), Deadline::after(ATTEMPT));
        let outcome = match ensure_staged(&op, &want).await {
            Ok(_) => Recovery::Done,
            Err(fault) => Recovery::Failed(fault.message),
        };
        if let Some((attempts, why)) = self.table.tried(&entry.handle, outcome, Instant::now()) {
            let failed = Happening::RecoveryFailed { attempts, why };
            op.node.reporter.report(&op.handle, &entry.claim, failed);
        }
    }
}

/// A filesystem that was shut down answers even a stat of its root with EIO. A stat asks nobody on a dead path.
async fn is_shut_down(op: &Operation, entry: &Entry) -> bool {
    if entry.access == Recorded::Block {
        return false;
    }
    let Ok(staging) = op.node.config.kubelet.check("staging_path", &entry.staging_path) else { return false };
    match op.host.look(&staging).await {
        Err(KernelError::System { source, .. }) => source.raw_os_error() == Some(Errno::EIO as i32),
        Ok(_) | Err(_) => false,
    }
}

/// How one volume is, looked at now.
pub(crate) async fn condition_of(op: &Operation) -> Result<Condition, Failure> {
    let entry = op.entry().await?.ok_or(Failure::NotHere)?;
    let hanging = op.node.lanes.hanging(&entry.handle);
    if !hanging.is_empty() {
        return Ok(Condition::Stuck(hanging.join(", ")));
    }
    let sessions = op.sessions(Some(&entry), &[]).await?;
    let mounts = op.host.mounts().await.map_err(Failure::kernel("looking at the mounts"))?;
    let session = sessions.iter().find(|session| session.nqn.as_str() == entry.nqn);
    let condition = assess(&entry, session, &mounts);
    let shut_down = condition == Condition::Healthy && is_shut_down(op, &entry).await;
    Ok(if shut_down { Condition::ShutDown } else { condition })
}

/// What is read once for all volumes.
pub(crate) struct Tables {
    pub(crate) entries: Vec<Entry>,
    /// Entries that were set aside.
    pub(crate) torn: usize,
    pub(crate) sessions: Vec<Session>,
    pub(crate) mounts: Mounts,
}

impl Tables {
    pub(crate) async fn read(node: &Arc<Node>, deadline: Deadline) -> Result<Self, Failure> {
        let host = node.machine.host(LANE.to_owned(), deadline);
        // The sessions first: an entry is written before its session is made.
        let sessions =
            node.kernel.sessions(deadline).await.map_err(Failure::kernel("looking at the sessions"))?;
        let journal = node.journal.clone();
        let read = node.lanes.run(LANE, "reading the journal", deadline, move || journal.all()).await;
        let (entries, torn) =
            read.map_err(KernelError::Stuck).map_err(Failure::kernel("reading the journal"))??;
        let mounts = host.mounts().await.map_err(Failure::kernel("looking at the mounts"))?;
        Ok(Self { entries, torn, sessions, mounts })
    }

    /// The session of an entry.
    pub(crate) fn session(&self, entry: &Entry) -> Option<&Session> {
        self.sessions.iter().find(|session| is_of(session, entry))
    }
}

/// True for the session an entry was written for.
fn is_of(session: &Session, entry: &Entry) -> bool {
    let known = |path: &crate::kernel::Path| entry.addresses.contains(&path.address);
    session.nqn.as_str() == entry.nqn && (entry.addresses.is_empty() || session.paths.iter().any(known))
}
