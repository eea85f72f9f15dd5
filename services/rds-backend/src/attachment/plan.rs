//! Judges what was seen of who holds a volume. Pure.
//!
//! ```text
//!              attach (epoch + 1, name .e<epoch>, export on)
//!   nobody ──────────────────────────────────────────────────▶ one node ──attach (shared classes)──▶ two nodes
//!      ▲                                                           │  ▲                                  │
//!      └──────────────── detach (export off) ──────────────────────┘  └──────────── detach ──────────────┘
//! ```

use proto::id::NodeId;
use proto::nqn::{Epoch, Nqn, NqnPrefix};

use crate::fault::{Failure, Refusal};
use crate::mark::{AccessClass, Holder, Mark, MarkedNode};
use crate::rounds::{Seen, Step};
use crate::routeros::disk::Fields;
use crate::volume::plan::Volume;

/// A volume that a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) volume: Volume,
    /// The name it is exported under in its epoch.
    pub(crate) nqn: Nqn,
    /// This operation attached it.
    pub(crate) attached: bool,
}

/// Judges the answer to an attach command.
pub(crate) fn attached(
    seen: Seen<'_>,
    wanted: &Holder,
    class: AccessClass,
    prefix: &NqnPrefix,
    volume: Option<Volume>,
) -> Result<Step<Attached>, Failure> {
    let volume = volume.ok_or(Refusal::NotFound)?;
    let mark = &volume.mark;
    if mark.class != class {
        let what = format!("it is for {}, asked for was {class}", mark.class);
        return Err(Refusal::Incompatible(what).of(mark));
    }
    match mark.holder(&wanted.node) {
        None if mark.holders().count() == 0 => return Ok(Step::Again("nobody holds it yet")),
        None => {
            let others = mark.holders().map(|holder| holder.node.clone()).collect();
            return Err(Refusal::AttachedElsewhere(others).of(mark));
        }
        Some(holder) if holder.read_only != wanted.read_only => {
            let mode = |read_only| if read_only { "read-only" } else { "for writing" };
            return Err(Refusal::Incompatible(format!(
                "{} holds it {}, asked for was {}",
                wanted.node,
                mode(holder.read_only),
                mode(wanted.read_only)
            ))
            .of(mark));
        }
        Some(_) => {}
    }
    let nqn = prefix
        .volume(&volume.row.slot, mark.epoch)
        .map_err(|error| Failure::Unusable(format!("the NQN prefix: {error}")))?;
    if !volume.row.exported || volume.row.nqn != nqn.as_str() {
        return Ok(Step::Again("it is not exported under the name of its epoch"));
    }
    let before = before(seen)?;
    let attached = seen.after_loss || before.is_none_or(|mark| mark.holder(&wanted.node).is_none());
    Ok(Step::Done(Attached { volume, nqn, attached }))
}

/// A volume that a node does not hold (any more).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Detached {
    /// The nodes this operation took it away from.
    pub(crate) from: Vec<MarkedNode>,
    /// Another node holds it: its name could not change.
    pub(crate) still_exported: bool,
    /// Its mark now; `None` when the volume is gone.
    pub(crate) mark: Option<Mark>,
}

/// Judges the answer to a detach command. `node`: `None` = all.
pub(crate) fn detached(
    seen: Seen<'_>,
    node: Option<&NodeId>,
    volume: Option<Volume>,
) -> Result<Step<Detached>, Failure> {
    let Some(volume) = volume else {
        return Ok(Step::Done(Detached { from: Vec::new(), still_exported: false, mark: None }));
    };
    let holds = match node {
        Some(node) => volume.mark.holder(node).is_some(),
        None => volume.mark.holders().count() > 0,
    };
    if holds {
        return Ok(Step::Again("the node is still recorded"));
    }
    let shared = volume.mark.holders().count() > 0;
    let before = before(seen)?;
    let held = before.as_ref().is_some_and(|mark| mark.holders().count() > 0);
    // An export that nobody is recorded for stays when a node that did not hold it leaves.
    if !shared && volume.row.exported && (held || node.is_none()) {
        return Ok(Step::Again("the export is still on"));
    }
    let mut from: Vec<MarkedNode> = before
        .iter()
        .flat_map(Mark::holders)
        .map(|holder| holder.node.clone())
        .filter(|held| volume.mark.holder(held).is_none())
        .collect();
    if from.is_empty() && seen.after_loss {
        // The round that was lost did it.
        from.extend(node.map(MarkedNode::from));
    }
    Ok(Step::Done(Detached { from, still_exported: shared, mark: Some(volume.mark) }))
}

/// The mark before the command acted; `None` when there was no row.
fn before(seen: Seen<'_>) -> Result<Option<Mark>, Failure> {
    Ok(Fields::of(seen.answer, "answer")?.text("before")?.parse().ok())
}

/// Judges the answer to a command that records "holds a filesystem".
pub(crate) fn marked(node: &NodeId, epoch: Epoch, volume: Option<Volume>) -> Result<Step<()>, Failure> {
    let volume = volume.ok_or(Refusal::NotFound)?;
    let mark = &volume.mark;
    if mark.epoch != epoch {
        let what = format!(
            "it is in epoch {}, the node speaks of {epoch}: it has had another owner since",
            mark.epoch
        );
        return Err(Refusal::StaleEpoch(what).of(mark));
    }
    if mark.holder(node).is_none() {
        return Err(Refusal::StaleEpoch(format!("it is not attached to {node}")).of(mark));
    }
    Ok(if mark.formatted { Step::Done(()) } else { Step::Again("the mark is not set") })
}

#[cfg(test)]
mod tests;
