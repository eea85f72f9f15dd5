//! Does what is needed so that a snapshot is as wanted.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::id::Slot;

use super::plan::{self, Ensured};
use crate::copies;
use crate::fault::{Failure, Refusal};
use crate::mark;
use crate::rounds::Scene;
use crate::routeros::script::content;
use crate::volume::plan as volumes;

/// Makes sure that the snapshot exists. Its time is that of this process: the appliance tells none for a disk.
pub(crate) async fn create(scene: Scene<'_>, slot: &Slot, source: &Slot) -> Result<Ensured, Failure> {
    let places = scene.places().await?;
    let code = mark::source_code(source).ok_or_else(|| {
        Refusal::CannotCopy("volumes of an earlier driver are in no subvolume of their own".to_owned())
    })?;
    copies::proven(scene, &places).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let new = content::NewSnapshot {
        slot,
        source,
        source_code: &code,
        created: now,
        reserve: scene.appliance.config().reserve,
    };
    let command = content::snapshot(&new, &places, &mark::head(scene.cluster));
    scene
        .decide(&command, |seen| {
            let snapshot = volumes::volume(seen.answer, scene.cluster, slot, &places)?;
            plan::created(seen, &code, snapshot)
        })
        .await
}
