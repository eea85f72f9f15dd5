//! What every operation of this node works with.

use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::id::VolumeHandle;

use crate::config::Config;
use crate::events::Reporter;
use crate::facts::Backend;
use crate::failure::Failure;
use crate::journal::{Entry, Journal, JournalError, Recall};
use crate::kernel::host::Host;
use crate::kernel::{Kernel, KernelError, Session, volume_of};
use crate::lanes::Lanes;
use crate::metrics::Metrics;

/// The node.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) lanes: Lanes,
    pub(crate) journal: Journal,
    pub(crate) backend: Backend,
    pub(crate) reporter: Reporter,
    pub(crate) metrics: Metrics,
}

/// One operation on one volume: the node, the volume, and until when.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) node: Arc<Node>,
    pub(crate) handle: VolumeHandle,
    pub(crate) deadline: Deadline,
    pub(crate) host: Host,
}

impl Operation {
    /// Begins one.
    pub(crate) fn new(node: &Arc<Node>, handle: VolumeHandle, deadline: Deadline) -> Self {
        let host = Host::new(&node.lanes, handle.to_string(), deadline);
        Self { node: Arc::clone(node), handle, deadline, host }
    }

    /// Every session of the volume, of any epoch.
    pub(crate) async fn sessions(&self) -> Result<Vec<Session>, KernelError> {
        let all = self.node.kernel.sessions(self.deadline).await?;
        let prefixes = &self.node.config.nqn_prefixes;
        let ours = |session: &Session| {
            volume_of(prefixes, &session.nqn).is_some_and(|(slot, _)| slot == self.handle.slot.as_str())
        };
        Ok(all.into_iter().filter(ours).collect())
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
