//! Judges what was seen of a snapshot. Pure.

use crate::fault::{Failure, Refusal};
use crate::rounds::{Seen, Step};
use crate::routeros::disk::Fields;
use crate::volume::plan::Volume;

/// A snapshot that is there, and whether this operation made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ensured {
    pub(crate) snapshot: Volume,
    pub(crate) created: bool,
}

/// Judges the answer to a snapshot command.
pub(crate) fn created(
    seen: Seen<'_>,
    source: &str,
    snapshot: Option<Volume>,
) -> Result<Step<Ensured>, Failure> {
    let Some(snapshot) = snapshot else {
        return Ok(Step::Again("the new snapshot is not in the list"));
    };
    let made = Fields::of(seen.answer, "answer")?.flag("made")?;
    if snapshot.mark.source.as_deref() != Some(source) {
        let refusal = Refusal::Incompatible("it is a snapshot of another volume".to_owned());
        return Err(refusal.of(&snapshot.mark));
    }
    if snapshot.row.size.bytes() == 0 {
        return Ok(Step::Again("the new snapshot has no size"));
    }
    Ok(Step::Done(Ensured { snapshot, created: made || seen.after_loss }))
}
