//! Does what is needed so that a volume is as wanted.

use proto::fault::Fault;
use proto::id::Slot;
use proto::nqn::Epoch;
use proto::size::ByteSize;

use super::plan::{self, Deleted, Ensured, Expanded, Volume, Wanted};
use crate::fault::{Failure, Refusal};
use crate::mark::{self, AccessClass, Claim, Mark};
use crate::rounds::{Scene, Step};
use crate::routeros::script::{Place, volume as script};

/// A volume that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) slot: Slot,
    pub(crate) required: u64,
    pub(crate) limit: u64,
    pub(crate) minimum: u64,
    pub(crate) class: AccessClass,
    /// Where a new one is put.
    pub(crate) place: Place,
    /// True when that folder was asked for, so that one in another is not the same.
    pub(crate) place_matters: bool,
    pub(crate) claim: Option<Claim>,
}

/// Makes sure that the volume exists.
pub(crate) async fn create(scene: Scene<'_>, order: &Order) -> Result<Ensured, Failure> {
    let size = plan::size(order.required, order.limit, order.minimum)?;
    let comment = Mark::new(scene.cluster, order.class, order.claim.clone()).to_string();
    let nqn = scene
        .prefix
        .volume(order.slot.as_str(), Epoch::default())
        .map_err(|error| Failure::Unusable(format!("the NQN prefix: {error}")))?;
    let command = script::create(&script::NewDisk {
        slot: &order.slot,
        place: &order.place,
        size,
        reserve: scene.appliance.config().reserve,
        port: scene.appliance.config().port(),
        nqn: &nqn,
        comment: &comment,
    });
    let wanted = Wanted {
        required: order.required.max(order.minimum),
        limit: order.limit,
        class: order.class,
        directory: order.place_matters.then_some(order.place.directory.as_str()),
    };
    scene
        .decide(&command, |seen| {
            let volume = plan::volume(seen.answer, scene.cluster, &order.slot, scene.appliance.places())?;
            plan::created(seen, wanted, volume)
        })
        .await
}

/// Makes sure that the volume and its image are gone.
pub(crate) async fn delete(scene: Scene<'_>, slot: &Slot) -> Result<Deleted, Failure> {
    let command = script::delete(slot, scene.appliance.places(), &mark::head(scene.cluster));
    scene.decide(&command, plan::deleted).await
}

/// Makes sure that the volume has at least `wanted` bytes.
pub(crate) async fn expand(
    scene: Scene<'_>,
    slot: &Slot,
    wanted: ByteSize,
    limit: u64,
) -> Result<Expanded, Failure> {
    let command = script::expand(
        slot,
        scene.appliance.places(),
        &mark::head(scene.cluster),
        wanted,
        scene.appliance.config().reserve,
    );
    scene
        .decide(&command, |seen| {
            let volume = plan::volume(seen.answer, scene.cluster, slot, scene.appliance.places())?;
            plan::expanded(seen, wanted, limit, volume)
        })
        .await
}

/// Reads the volume as it is now.
pub(crate) async fn observe(scene: Scene<'_>, slot: &Slot) -> Result<Volume, Failure> {
    scene
        .decide(&script::observe(slot), |seen| {
            plan::volume(seen.answer, scene.cluster, slot, scene.appliance.places())?
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
