//! What every operation of this node works with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::id::VolumeHandle;

use crate::config::Config;
use crate::events::Reporter;
use crate::facts::Backend;
use crate::failure::Failure;
use crate::journal::{Entry, Journal, JournalError, Recall};
use crate::kernel::host::{Host, Machine};
use crate::kernel::{Kernel, KernelError, Session, volume_of};
use crate::lanes::Lanes;
use crate::metrics::Metrics;
use crate::request::Connection;

fn known(entry: Option<&Entry>, wanted: &[SocketAddr]) -> Vec<SocketAddr> {
    let recorded = entry.into_iter().flat_map(|entry| &entry.addresses);
    wanted.iter().chain(recorded).copied().collect()
}

/// True when every path of a session leads to one of these addresses, false when none does.
fn belongs(session: &Session, known: &[SocketAddr]) -> Result<bool, Failure> {
    let here = session.paths.iter().filter(|path| known.contains(&path.address)).count();
    if here != 0 && here != session.paths.len() {
        return Err(Failure::Mixed(session.leads_to()));
    }
    Ok(here != 0)
}

/// The node.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) lanes: Lanes,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) journal: Journal,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) reporter: Reporter,
    pub(crate) metrics: Metrics,
}

/// One operation on one volume: the node, the volume, and until when.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) node: Arc<Node>,
    pub(crate) handle: VolumeHandle,
    pub(crate) deadline: Deadline,
    pub(crate) host: Arc<dyn Host>,
}

impl Operation {
    /// Begins one.
    pub(crate) fn new(node: &Arc<Node>, handle: VolumeHandle, deadline: Deadline) -> Self {
        let host = node.machine.host(handle.to_string(), deadline);
        Self { node: Arc::clone(node), handle, deadline, host }
    }

    /// Every session of the volume, of any epoch; `wanted` are the addresses of the call, `entry` knows those of earlier
    /// ones.
    ///
    /// The name of a subsystem tells slot and epoch but not the appliance: a volume of another appliance may have the
    /// same one. So a session is this volume's only if it leads to an address of this volume; where none is known,
    /// because the journal has no entry, if no other volume's entry claims it.
    ///
    /// # Errors
    /// Also when a session leads to an address of the volume and to another one: then it is not known what it is.
    pub(crate) async fn sessions(
        &self,
        entry: Option<&Entry>,
        wanted: &[SocketAddr],
    ) -> Result<Vec<Session>, Failure> {
        let all = self.node.kernel.sessions(self.deadline).await;
        let all = all.map_err(Failure::kernel("looking at the sessions"))?;
        let prefixes = &self.node.config.nqn_prefixes;
        let of_slot = |session: &Session| {
            volume_of(prefixes, &session.nqn).is_some_and(|(slot, _)| slot == self.handle.slot.as_str())
        };
        let known = known(entry, wanted);
        let mut ours = Vec::new();
        for session in all.into_iter().filter(of_slot) {
            let is_ours = match known.is_empty() {
                false => belongs(&session, &known)?,
                true => !self.claimed_by_another(&session).await?,
            };
            if is_ours {
                ours.push(session);
            }
        }
        Ok(ours)
    }

    async fn claimed_by_another(&self, session: &Session) -> Result<bool, Failure> {
        let addresses = self.journal(|journal, handle| journal.addresses_of_namesakes(handle)).await?;
        Ok(session.paths.iter().any(|path| addresses.contains(&path.address)))
    }

    /// Where a session of the wanted name leads to that is not this volume's. The kernel would take a second session of
    /// the same name for another path to the same data.
    pub(crate) async fn namesake(
        &self,
        entry: Option<&Entry>,
        wanted: &Connection,
    ) -> Result<Option<String>, Failure> {
        let all = self.node.kernel.sessions(self.deadline).await;
        let all = all.map_err(Failure::kernel("looking at the sessions"))?;
        let known = known(entry, &wanted.addresses);
        let other = all
            .iter()
            .find(|session| session.nqn == wanted.nqn && belongs(session, &known).is_ok_and(|ours| !ours));
        Ok(other.map(Session::leads_to))
    }

    async fn journal<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Journal, &VolumeHandle) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Failure> {
        let (journal, handle) = (self.node.journal.clone(), self.handle.clone());
        let lanes = &self.node.lanes;
        // The journal lies on the host's own disk: it has a lane apart from those of the volume.
        let lane = format!("journal of {handle}");
        let done =
            lanes.run(&lane, "writing the journal", self.deadline, move || work(&journal, &handle)).await;
        Ok(done.map_err(KernelError::Stuck).map_err(Failure::kernel("writing the journal"))??)
    }

    /// What the journal holds, and whether an entry of the volume was ever set aside.
    pub(crate) async fn recall(&self) -> Result<(Recall, bool), Failure> {
        self.journal(|journal, handle| Ok((journal.recall(handle)?, journal.is_torn(handle)?))).await
    }

    /// The entry, where only an entry is of use.
    pub(crate) async fn entry(&self) -> Result<Option<Entry>, Failure> {
        match self.recall().await?.0 {
            Recall::Entry(entry) => Ok(Some(*entry)),
            Recall::Nothing | Recall::Torn => Ok(None),
        }
    }

    /// Writes an entry.
    pub(crate) async fn record(&self, entry: Entry) -> Result<(), Failure> {
        self.journal(move |journal, handle| journal.record(handle, &entry)).await
    }

    /// Changes the entry, if there is one.
    pub(crate) async fn amend(&self, change: impl FnOnce(&mut Entry)) -> Result<(), Failure> {
        match self.entry().await? {
            Some(mut entry) => {
                change(&mut entry);
                self.record(entry).await
            }
            None => Ok(()),
        }
    }

    /// Removes the entry.
    pub(crate) async fn forget(&self) -> Result<(), Failure> {
        self.journal(|journal, handle| journal.forget(handle)).await
    }

    /// Until when something may be waited for, so that time is left to say what it was.
    pub(crate) fn patience(&self, limit: Duration) -> Deadline {
        Deadline::after(limit.min(self.deadline.remaining() / 10 * 9))
    }

    /// Errs once the caller no longer waits.
    pub(crate) fn in_time(&self, doing: impl std::fmt::Debug) -> Result<(), Failure> {
        if self.deadline.has_passed() { Err(Failure::OutOfTime(format!("{doing:?}"))) } else { Ok(()) }
    }
}
