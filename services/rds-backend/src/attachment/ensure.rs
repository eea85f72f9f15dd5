//! Does what is needed so that a node holds a volume, or does not.

use proto::id::{NodeId, Slot};
use proto::nqn::Epoch;

use super::plan::{self, Attached, Detached};
use crate::fault::Failure;
use crate::mark::{self, AccessClass, Holder};
use crate::rounds::Scene;
use crate::routeros::script::attachment::{self as script, Rules};
use crate::routeros::script::volume;
use crate::volume::plan as volumes;

/// Makes sure that the node holds the volume and that it is exported in its epoch.
pub(crate) async fn attach(
    scene: Scene<'_>,
    slot: &Slot,
    holder: &Holder,
    class: AccessClass,
    rules: Rules<'_>,
) -> Result<Attached, Failure> {
    let places = scene.appliance.places();
    let command = script::attach(slot, &places, &mark::head(scene.cluster), holder, class, rules);
    scene
        .decide(&command, |seen| {
            let volume = volumes::volume(seen.answer, scene.cluster, slot, &places)?;
            plan::attached(seen, holder, class, scene.prefix, volume)
        })
        .await
}

/// Makes sure that the node (`None`: any node) does not hold the volume; nobody left means not exported.
pub(crate) async fn detach(
    scene: Scene<'_>,
    slot: &Slot,
    node: Option<&NodeId>,
) -> Result<Detached, Failure> {
    let places = scene.appliance.places();
    let command = script::detach(slot, &places, &mark::head(scene.cluster), node);
    scene
        .decide(&command, |seen| {
            let volume = volumes::volume(seen.answer, scene.cluster, slot, &places)?;
            plan::detached(seen, node, volume)
        })
        .await
}

/// Records that the volume holds a filesystem, if the node holds it in that epoch.
pub(crate) async fn mark_formatted(
    scene: Scene<'_>,
    slot: &Slot,
    node: &NodeId,
    epoch: Epoch,
) -> Result<(), Failure> {
    let places = scene.appliance.places();
    let command = volume::mark_formatted(
        slot,
        &places,
        &mark::head(scene.cluster),
        epoch.number(),
        &mark::node_field(node),
    );
    scene
        .decide(&command, |seen| {
            let volume = volumes::volume(seen.answer, scene.cluster, slot, &places)?;
            plan::marked(node, epoch, volume)
        })
        .await
}
