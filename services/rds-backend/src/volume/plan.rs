//! Judges what was seen of a volume. Pure.

use proto::id::{ClusterId, Slot};
use proto::size::ByteSize;
use serde_json::Value;

use crate::fault::{Failure, Refusal};
use crate::mark::{AccessClass, Mark};
use crate::rounds::{Seen, Step};
use crate::routeros::disk::{DiskRow, Fields};
use crate::routeros::rejection::Rejection;
use crate::routeros::script::Place;

/// Size of a volume for which none was asked.
const DEFAULT_SIZE: ByteSize = ByteSize::GIB;

/// A volume of ours as it is on the appliance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) row: DiskRow,
    pub(crate) mark: Mark,
}

/// The size a new volume gets: what is required, at least the minimum, rounded up; never above the limit.
pub(crate) fn size(required: u64, limit: u64, minimum: u64) -> Result<ByteSize, Refusal> {
    let out_of_range = |what: String| Refusal::SizeOutOfRange(what);
    let mut wanted = required.max(minimum);
    if required == 0 {
        wanted = DEFAULT_SIZE.bytes().max(minimum);
        if limit != 0 && wanted > limit {
            // Nothing was required: the largest whole size the limit allows will do.
            wanted = (limit - limit % ByteSize::MIB.bytes()).max(minimum).max(1);
        }
    }
    let size = ByteSize::from_bytes(wanted)
        .round_up_to_mib()
        .ok_or_else(|| out_of_range(format!("{wanted} bytes are more than any volume can have")))?;
    if limit != 0 && size.bytes() > limit {
        return Err(out_of_range(format!(
            "it would have {size} (sizes are multiples of 1 MiB, its smallest is {}), the limit is {}",
            ByteSize::from_bytes(minimum),
            ByteSize::from_bytes(limit)
        )));
    }
    Ok(size)
}

/// The row of an answer; `None` when there is none.
pub(crate) fn row(answer: &Value) -> Result<Option<DiskRow>, Failure> {
    let rows = Fields::of(answer, "answer")?.rows("rows")?;
    match rows.as_slice() {
        [] => Ok(None),
        [row] => Ok(Some(DiskRow::read(*row)?)),
        _ => Err(Refusal::NotOurs("several rows have its slot".to_owned()).into()),
    }
}

/// Proves that a row is a volume of ours: a file disk, its image where we put it, our mark of this cluster.
pub(crate) fn own(
    row: DiskRow,
    cluster: &ClusterId,
    slot: &Slot,
    places: &[Place],
) -> Result<Volume, Refusal> {
    if row.kind != "file" {
        return Err(Refusal::NotOurs(format!("it is a disk of type {:?}, not an image", row.kind)));
    }
    let mark: Mark =
        row.comment.parse().map_err(|error: crate::mark::MarkError| Refusal::NotOurs(error.to_string()))?;
    if mark.cluster != cluster.mark() {
        return Err(Refusal::NotOurs(format!(
            "it belongs to another cluster (mark {}, ours is {})",
            mark.cluster,
            cluster.mark()
        )));
    }
    if row.slot != slot.as_str() || !places.iter().any(|place| place.images(slot).contains(&row.path)) {
        return Err(Refusal::NotOurs(format!(
            "its image is {:?}, which is in no configured folder",
            row.path
        )));
    }
    Ok(Volume { row, mark })
}

/// The volume of an answer, proven ours.
pub(crate) fn volume(
    answer: &Value,
    cluster: &ClusterId,
    slot: &Slot,
    places: &[Place],
) -> Result<Option<Volume>, Failure> {
    match row(answer)? {
        None => Ok(None),
        Some(row) => Ok(Some(own(row, cluster, slot, places)?)),
    }
}

/// What a volume that exists already must agree with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) required: u64,
    pub(crate) limit: u64,
    pub(crate) class: AccessClass,
    /// The folder, when one was asked for.
    pub(crate) directory: Option<&'a str>,
    /// What it starts with, as a mark names it.
    pub(crate) source: Option<&'a str>,
}

/// A volume that is there, and whether this operation made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ensured {
    pub(crate) volume: Volume,
    pub(crate) created: bool,
}

/// Judges the answer to a create command.
pub(crate) fn created(
    seen: Seen<'_>,
    wanted: Wanted<'_>,
    volume: Option<Volume>,
) -> Result<Step<Ensured>, Failure> {
    let Some(volume) = volume else {
        return Ok(Step::Again("the new disk is not in the list"));
    };
    // After a loss the row is taken as ours of this call: better an event too many than none.
    let made = Fields::of(seen.answer, "answer")?.flag("made")?;
    let created = made || seen.after_loss;
    compatible(&volume, wanted).map_err(|refusal| {
        let failure = refusal.of(&volume.mark);
        // It was made by this very command, over an image that was there: there is something to clear away.
        if made { failure.unsettled() } else { failure }
    })?;
    Ok(Step::Done(Ensured { volume, created }))
}

fn compatible(volume: &Volume, wanted: Wanted<'_>) -> Result<(), Refusal> {
    let (size, class) = (volume.row.size, volume.mark.class);
    if class != wanted.class {
        return Err(Refusal::Incompatible(format!("it is for {class}, asked for was {}", wanted.class)));
    }
    if size.bytes() < wanted.required {
        return Err(Refusal::Incompatible(format!(
            "it has {size}, required are {}",
            ByteSize::from_bytes(wanted.required)
        )));
    }
    if wanted.limit != 0 && size.bytes() > wanted.limit {
        return Err(Refusal::Incompatible(format!(
            "it has {size}, the limit is {}",
            ByteSize::from_bytes(wanted.limit)
        )));
    }
    if volume.mark.source.as_deref() != wanted.source {
        return Err(Refusal::Incompatible("it was made from something else".to_owned()));
    }
    match wanted.directory {
        Some(directory) if directory != volume.row.directory() => Err(Refusal::Incompatible(format!(
            "it lies in {}, asked for was {directory}",
            volume.row.directory()
        ))),
        Some(_) | None => Ok(()),
    }
}

/// What a delete command removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// Something was there.
    pub(crate) removed: bool,
    /// Its mark, when its row was there.
    pub(crate) mark: Option<Mark>,
}

/// Judges the answer to a delete command. Gone means: no row, and no image in any folder.
pub(crate) fn deleted(seen: Seen<'_>) -> Result<Step<Deleted>, Failure> {
    let answer = Fields::of(seen.answer, "answer")?;
    if row(seen.answer)?.is_some() {
        return Ok(Step::Again("the disk is still in the list"));
    }
    let before = answer.text("before")?;
    let mut removed = seen.after_loss || !before.is_empty();
    let files = answer.get("files").and_then(Value::as_object);
    for (path, outcome) in files.into_iter().flatten() {
        let outcome = Fields::of(outcome, "files")?;
        if outcome.get("left").is_some() {
            removed |= outcome.number("removed")? > 0;
            if outcome.number("left")? > 0 {
                return Err(Failure::ImageLeft {
                    path: path.clone(),
                    why: "its subvolume is still there".to_owned(),
                });
            }
            continue;
        }
        // The first removal said nothing: there was a file. The last one must say that there is none.
        removed |= outcome.text("first")?.is_empty();
        let last = outcome.text("last")?;
        if !matches!(Rejection::parse(&last), Rejection::NoSuchItem(_)) {
            let why = if last.is_empty() { "it comes back".to_owned() } else { last };
            return Err(Failure::ImageLeft { path: path.clone(), why });
        }
    }
    Ok(Step::Done(Deleted { removed, mark: before.parse().ok() }))
}

/// A volume that is large enough, and whether this operation grew it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) volume: Volume,
    /// Its size before.
    pub(crate) before: ByteSize,
    pub(crate) expanded: bool,
}

/// Judges the answer to an expand command.
pub(crate) fn expanded(
    seen: Seen<'_>,
    wanted: ByteSize,
    limit: u64,
    volume: Option<Volume>,
) -> Result<Step<Expanded>, Failure> {
    let volume = volume.ok_or(Refusal::NotFound)?;
    let before = ByteSize::from_bytes(Fields::of(seen.answer, "answer")?.number("before")?);
    let size = volume.row.size;
    if size < wanted {
        return Ok(Step::Again("the disk has not grown"));
    }
    if limit != 0 && size.bytes() > limit {
        return Err(Refusal::SizeOutOfRange(format!(
            "it has {size} and volumes never shrink, the limit is {}",
            ByteSize::from_bytes(limit)
        ))
        .of(&volume.mark));
    }
    Ok(Step::Done(Expanded { expanded: before < size || seen.after_loss, volume, before }))
}

#[cfg(test)]
mod tests;
