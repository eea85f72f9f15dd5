//! Does what is needed so that a volume is as wanted.

use proto::fault::Fault;
use proto::id::Slot;
use proto::nqn::Epoch;
use proto::size::ByteSize;

use super::plan::{self, Deleted, Ensured, Expanded, Volume, Wanted};
use crate::copies;
use crate::fault::{Failure, Refusal};
use crate::mark::{self, AccessClass, Claim, Mark};
use crate::rounds::{Scene, Step};
use crate::routeros::script::{content, volume as script};

/// A volume that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) slot: Slot,
    pub(crate) required: u64,
    pub(crate) limit: u64,
    pub(crate) minimum: u64,
    pub(crate) class: AccessClass,
    /// Where a new one is put, by its place among the configured folders.
    pub(crate) place: usize,
    /// True when that folder was asked for, so that one in another is not the same.
    pub(crate) place_matters: bool,
    /// Volume or snapshot whose content it starts with.
    pub(crate) source: Option<Slot>,
    pub(crate) claim: Option<Claim>,
}

/// Makes sure that the volume exists.
pub(crate) async fn create(scene: Scene<'_>, order: &Order) -> Result<Ensured, Failure> {
    let size = match (&order.source, order.required) {
        // As large as its source; the script knows how large that is.
        (Some(_), 0) => plan::size(ByteSize::MIB.bytes(), order.limit, order.minimum)?,
        (_, required) => plan::size(required, order.limit, order.minimum)?,
    };
    let places = scene.places().await?;
    known_here(scene).await?;
    let place = places
        .get(order.place)
        .ok_or_else(|| Failure::Unusable("its folder is not configured".to_owned()))?;
    let code = match &order.source {
        None => None,
        Some(source) => Some(mark::source_code(source).ok_or_else(|| {
            Refusal::CannotCopy("volumes of an earlier driver are in no subvolume of their own".to_owned())
        })?),
    };
    let mut mark = Mark::new(scene.cluster, order.class, order.claim.clone());
    mark.source.clone_from(&code);
    let comment = mark.to_string();
    let nqn = scene
        .prefix
        .volume(order.slot.as_str(), Epoch::default())
        .map_err(|error| Failure::Unusable(format!("the NQN prefix: {error}")))?;
    let new = script::NewDisk {
        slot: &order.slot,
        place,
        size,
        reserve: scene.appliance.config().reserve,
        port: scene.appliance.config().port(),
        nqn: &nqn,
        comment: &comment,
    };
    let command = match &order.source {
        None => script::create(&new),
        Some(source) => {
            copies::proven(scene, &places).await?;
            let asked = order.place_matters.then_some(place);
            content::volume_from(&new, source, order.limit, asked, &places, &mark::head(scene.cluster))
        }
    };
    let required = order.required.max(order.minimum);
    let wanted = Wanted {
        // A copy that was interrupted before it had its size is finished below.
        required: if order.source.is_some() { 0 } else { required },
        limit: order.limit,
        class: order.class,
        directory: order.place_matters.then_some(place.directory.as_str()),
        source: code.as_deref(),
    };
    let ensured = scene
        .decide(&command, |seen| {
            let volume = plan::volume(seen.answer, scene.cluster, &order.slot, &places)?;
            plan::created(seen, wanted, volume)
        })
        .await?;
    let have = &ensured.volume;
    if have.row.size.bytes() >= required {
        return Ok(ensured);
    }
    if have.mark.epoch > Epoch::default() {
        let refusal = Refusal::Incompatible(format!("it has {}, required are {size}", have.row.size));
        return Err(refusal.of(&have.mark));
    }
    let grown = expand(scene, &order.slot, size, order.limit).await.map_err(Failure::unsettled)?;
    Ok(Ensured { volume: grown.volume, created: ensured.created })
}

/// A cluster that was made anew has another identity, and would make its volumes a second time beside the old ones. So
/// where only other clusters have volumes nothing is made, unless that is said to be so on purpose.
async fn known_here(scene: Scene<'_>) -> Result<(), Failure> {
    let known = scene.appliance.known();
    if scene.appliance.config().shared || known.only_others(scene.cluster).is_none() {
        return Ok(());
    }
    // It may have changed since.
    let census = scene.appliance.census(scene.deadline).await.map_err(Failure::from)?;
    known.census(&census);
    known.only_others(scene.cluster).map_or(Ok(()), |marks| Err(Refusal::OtherClusters(marks).into()))
}

/// Makes sure that the volume and its image are gone.
pub(crate) async fn delete(scene: Scene<'_>, slot: &Slot) -> Result<Deleted, Failure> {
    let command = script::delete(slot, &scene.places().await?, &mark::head(scene.cluster));
    scene.decide(&command, plan::deleted).await
}

/// Makes sure that the volume has at least `wanted` bytes.
pub(crate) async fn expand(
    scene: Scene<'_>,
    slot: &Slot,
    wanted: ByteSize,
    limit: u64,
) -> Result<Expanded, Failure> {
    let places = scene.appliance.places();
    let command =
        script::expand(slot, &places, &mark::head(scene.cluster), wanted, scene.appliance.config().reserve);
    scene
        .decide(&command, |seen| {
            let volume = plan::volume(seen.answer, scene.cluster, slot, &places)?;
            plan::expanded(seen, wanted, limit, volume)
        })
        .await
}

/// Reads the volume as it is now.
pub(crate) async fn observe(scene: Scene<'_>, slot: &Slot) -> Result<Volume, Failure> {
    scene
        .decide(&script::observe(slot), |seen| {
            plan::volume(seen.answer, scene.cluster, slot, &scene.appliance.places())?
                .map(Step::Done)
                .ok_or_else(|| Refusal::NotFound.into())
        })
        .await
}

/// The size an expansion leads to.
pub(crate) fn target(required: u64, limit: u64) -> Result<ByteSize, Fault> {
    if required == 0 {
        return Err(Fault::invalid("required_bytes", "is 0; say how large the volume should be"));
    }
    plan::size(required, limit, 0).map_err(|refusal| {
        let Refusal::SizeOutOfRange(what) = refusal else {
            return Fault::invalid("required_bytes", "cannot be a size");
        };
        Fault::settled(proto::fault::Reason::SizeOutOfRange, what)
    })
}
