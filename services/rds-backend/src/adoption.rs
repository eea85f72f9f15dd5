//! What an operator decides about marks: taking over a volume of an earlier driver, the volumes of a cluster that was made
//! anew, or a comment that somebody edited. Each is a compare-and-set on the comment that was seen.

use proto::id::Slot;
use proto::nqn::{Epoch, MAX_EPOCH};

use crate::fault::{Failure, Refusal};
use crate::mark::{AccessClass, Claim, Holder, MAX_BYTES, Mark, MarkError};
use crate::rounds::{Scene, Step};
use crate::routeros::disk::DiskRow;
use crate::routeros::script::volume as script;
use crate::volume::plan;

/// A comment before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// The row, as it is now, or would be.
    pub(crate) row: DiskRow,
    pub(crate) before: String,
    /// False when nothing had to be done.
    pub(crate) changed: bool,
}

/// What an operator knows of a volume.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) class: AccessClass,
    pub(crate) claim: Option<Claim>,
    pub(crate) formatted: bool,
    pub(crate) epoch: Epoch,
}

/// The row of a slot, whosever.
pub(crate) async fn row(scene: Scene<'_>, slot: &Slot) -> Result<DiskRow, Failure> {
    scene
        .decide(&script::observe(slot), |seen| {
            plan::row(seen.answer)?.map(Step::Done).ok_or_else(|| Refusal::NotFound.into())
        })
        .await
}

/// Gives a volume of an earlier driver our mark. Only a comment that is no mark is replaced.
pub(crate) async fn adopt(
    scene: Scene<'_>,
    slot: &Slot,
    told: &Told,
    dry: bool,
) -> Result<Rewritten, Failure> {
    let row = row(scene, slot).await?;
    match row.comment.parse::<Mark>() {
        Ok(mark) if mark.cluster == scene.cluster.mark() => Ok(unchanged(row)),
        Ok(mark) => Err(Refusal::NotOurs(format!("it belongs to cluster {}", mark.cluster)).into()),
        Err(MarkError::Damaged(what)) => Err(Refusal::NotOurs(format!(
            "its comment is a mark of which {what} cannot be read; use rdsctl appliance repair-comment"
        ))
        .into()),
        Err(MarkError::Foreign) => rewrite(scene, slot, row, &mark_of(scene, told), dry).await,
    }
}

/// Writes a damaged mark anew. What of it can be read is kept: nodes, source, and the epoch of the exported name.
pub(crate) async fn repair(
    scene: Scene<'_>,
    slot: &Slot,
    told: &Told,
    dry: bool,
) -> Result<Rewritten, Failure> {
    let row = row(scene, slot).await?;
    if let Ok(mark) = row.comment.parse::<Mark>() {
        if mark.cluster == scene.cluster.mark() {
            return Ok(unchanged(row));
        }
        return Err(Refusal::NotOurs(format!("it belongs to cluster {}", mark.cluster)).into());
    }
    let mut mark = mark_of(scene, told);
    let exported = epoch_of(&row.nqn);
    mark.epoch = match (told.epoch.number(), exported) {
        (0, exported) => exported.unwrap_or_default(),
        (_, Some(exported)) if told.epoch < exported => {
            return Err(Refusal::StaleEpoch(format!(
                "epoch {} is below {exported}, that of its exported name: a former owner could come back",
                told.epoch
            ))
            .into());
        }
        (_, _) => told.epoch,
    };
    mark.holders = [crate::mark::FIRST_NODE, crate::mark::SECOND_NODE]
        .map(|place| row.comment.get(place).and_then(Holder::parse).filter(Holder::is_issued));
    let source = row.comment.get(crate::mark::SOURCE).unwrap_or_default();
    mark.source = crate::mark::source_slot(source).and_then(|slot| crate::mark::source_code(&slot));
    // What says that it holds data is kept, whatever else was damaged.
    let flag = row.comment.get(crate::mark::FORMATTED);
    mark.formatted |= mark.source.is_some() || flag == Some("F");
    rewrite(scene, slot, row, &mark, dry).await
}

/// Replaces the cluster in the mark of a volume.
pub(crate) async fn move_cluster(scene: Scene<'_>, slot: &Slot, from: &str) -> Result<Rewritten, Failure> {
    let row = row(scene, slot).await?;
    let mut mark: Mark =
        row.comment.parse().map_err(|error: MarkError| Refusal::NotOurs(error.to_string()))?;
    if mark.cluster == scene.cluster.mark() {
        return Ok(unchanged(row));
    }
    if mark.cluster != from {
        return Err(Refusal::NotOurs(format!("it belongs to cluster {}", mark.cluster)).into());
    }
    mark.cluster = scene.cluster.mark();
    rewrite(scene, slot, row, &mark, false).await
}

fn unchanged(row: DiskRow) -> Rewritten {
    Rewritten { before: row.comment.clone(), row, changed: false }
}

fn mark_of(scene: Scene<'_>, told: &Told) -> Mark {
    let mut mark = Mark::new(scene.cluster, told.class, told.claim.clone());
    (mark.formatted, mark.epoch) = (told.formatted, told.epoch);
    mark
}

async fn rewrite(
    scene: Scene<'_>,
    slot: &Slot,
    mut row: DiskRow,
    mark: &Mark,
    dry: bool,
) -> Result<Rewritten, Failure> {
    let (before, after) = (row.comment.clone(), mark.to_string());
    debug_assert!(after.len() <= MAX_BYTES, "a mark fits");
    row.comment.clone_from(&after);
    let places = scene.appliance.places();
    plan::own(row.clone(), scene.cluster, slot, &places)?;
    if dry {
        return Ok(Rewritten { row, before, changed: true });
    }
    let command = script::set_comment(slot, &places, &before, &after);
    let row = scene
        .decide(&command, |seen| {
            let row = plan::row(seen.answer)?.ok_or(Refusal::NotFound)?;
            match row.comment == after {
                true => Ok(Step::Done(row)),
                false if row.comment == before => Ok(Step::Again("the comment is as it was")),
                false => {
                    Err(Refusal::Incompatible("its comment was changed meanwhile; look again".to_owned())
                        .into())
                }
            }
        })
        .await?;
    Ok(Rewritten { row, before, changed: true })
}

/// The epoch at the end of an exported name.
fn epoch_of(nqn: &str) -> Option<Epoch> {
    let (_, digits) = nqn.rsplit_once(".e")?;
    digits.parse().ok().filter(|number| *number <= MAX_EPOCH).and_then(Epoch::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_of_a_name_is_read_and_nothing_is_made_of_other_names() {
        assert_eq!(epoch_of("nqn.2026-09.io.srvlab:rds:csi-0.e17"), Epoch::new(17));
        for name in ["", "nqn.2000-02.com.mikrotik:pvc-1", "x.e", "x.e9999999999", "x.e-1"] {
            assert_eq!(epoch_of(name), None, "{name}");
        }
    }
}
