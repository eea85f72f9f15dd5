//! Sessions of ours that no entry of the journal has: of a journal that was lost, or of a connect that was asked for and
//! given up. One that carries nothing is ended; any other is kept and told.

use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::id::VolumeHandle;

use super::{Tables, is_of};
use crate::events::NodeHappening;
use crate::kernel::{Session, State, volume_of};
use crate::node::{Node, Operation};
use crate::request;
use crate::stage::session::end_session;

/// What ending one may take; what uses it is not waited for long.
const LIMIT: Duration = Duration::from_secs(5);

/// Sessions without an entry, of whatever epoch. Those that are still being made are their makers' affair.
pub(super) fn find(seen: &Tables) -> Vec<Session> {
    let has_entry = |session: &Session| {
        seen.entries.iter().any(|entry| is_of(session, entry) || is_past_of(session, &entry.nqn))
    };
    let orphan = |session: &&Session| session.state != State::Asked && !has_entry(session);
    seen.sessions.iter().filter(orphan).cloned().collect()
}

/// A session of another epoch of a volume that has an entry is dealt with by that volume's calls.
fn is_past_of(session: &Session, nqn: &str) -> bool {
    let volume = |nqn: &str| nqn.rsplit_once(".e").map(|(volume, _)| volume.to_owned());
    volume(session.nqn.as_str()).is_some_and(|of| volume(nqn) == Some(of))
}

/// Ends one that is proven idle, tells of any other.
pub(super) async fn deal_with(node: &Arc<Node>, handle: VolumeHandle, orphan: &Session) {
    let keep = |why: String| {
        let (nqn, addresses) = (orphan.nqn.to_string(), orphan.leads_to());
        node.reporter.report_node(NodeHappening::OrphanFound { nqn, addresses, why });
    };
    if orphan.state != State::Live {
        return keep(format!(
            "it is {} and is kept: what it may still have to write is not known",
            orphan.state
        ));
    }
    let op = Operation::new(node, handle, Deadline::after(LIMIT));
    match end_session(&op, orphan).await {
        Ok(()) => node.reporter.report_node(NodeHappening::OrphanCleaned(orphan.nqn.to_string())),
        Err(failure) => keep(format!("it is kept: {failure}")),
    }
}

/// Its volume, on whichever appliance: only for the log and the lane, the session itself is what is acted on.
pub(super) fn any_handle(node: &Node, orphan: &Session) -> Option<VolumeHandle> {
    let (slot, _) = volume_of(&node.config.nqn_prefixes, &orphan.nqn)?;
    request::existing(&format!("unknown/{slot}")).ok()
}
