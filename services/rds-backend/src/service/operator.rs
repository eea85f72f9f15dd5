//! What an operator decides, and what only an operator asks: adoption, repair, health, inventory.

use std::sync::Arc;

use chassis::deadline::Deadline;
use proto::fault::{Fault, Reason};
use proto::id::Slot;
use proto::nqn::{Epoch, MAX_EPOCH};
use proto::rds::volume::v1 as wire;
use proto::rds::volume::v1::{
    AdoptClusterRequest, AdoptClusterResponse, AdoptVolumeRequest, AdoptVolumeResponse,
    GetApplianceHealthRequest, GetApplianceHealthResponse, GetInventoryRequest, GetInventoryResponse,
    RepairCommentRequest, RepairCommentResponse,
};
use serde_json::Value;

use super::lists::unread;
use super::volumes::{access_class, claim};
use super::{Inner, Target};
use crate::adoption::{self, Told};
use crate::appliance::link::Patience;
use crate::appliance::{Appliance, RunError};
use crate::health;
use crate::inventory::{self, Files};
use crate::mark::Mark;
use crate::routeros::script::status;
use crate::volume::plan::Volume;

impl Inner {
    pub(super) async fn adopt_volume(
        self: Arc<Self>,
        request: AdoptVolumeRequest,
        deadline: Deadline,
    ) -> Result<AdoptVolumeResponse, Fault> {
        let target = self.existing(&request.handle, deadline).await?;
        if !target.slot.is_legacy() {
            return Err(Fault::invalid(
                "handle",
                "only a volume of an earlier driver (pvc-<uuid>) is adopted",
            ));
        }
        let told = told(request.access_class, request.claim.as_ref(), request.formatted, 0)?;
        let cluster = self.cluster.id()?;
        let _reserved = self.reserve(&target.handle)?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        let rewritten = adoption::adopt(scene, &target.slot, &told, request.dry_run)
            .await
            .map_err(|failure| self.tell_failed(&target, "adopt", failure))?;
        let mark: Mark = rewritten
            .row
            .comment
            .parse()
            .map_err(|_| Fault::unsettled(Reason::Internal, "what was written is no mark"))?;
        let volume = target.describe(&Volume { row: rewritten.row, mark });
        Ok(AdoptVolumeResponse { volume: Some(volume), adopted: rewritten.changed })
    }

    pub(super) async fn repair_comment(
        self: Arc<Self>,
        request: RepairCommentRequest,
        deadline: Deadline,
    ) -> Result<RepairCommentResponse, Fault> {
        let target = self.existing(&request.handle, deadline).await?;
        let told = told(request.access_class, request.claim.as_ref(), request.formatted, request.epoch)?;
        let cluster = self.cluster.id()?;
        let _reserved = self.reserve(&target.handle)?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        let rewritten = adoption::repair(scene, &target.slot, &told, request.dry_run)
            .await
            .map_err(|failure| target.fault("repair the comment of", failure))?;
        Ok(RepairCommentResponse {
            before: rewritten.before,
            after: rewritten.row.comment,
            repaired: rewritten.changed,
        })
    }

    pub(super) async fn adopt_cluster(
        self: Arc<Self>,
        request: AdoptClusterRequest,
        deadline: Deadline,
    ) -> Result<AdoptClusterResponse, Fault> {
        let appliance = self.one(&request.appliance)?;
        let cluster = self.cluster.id()?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if request.from.len() != 8 || !request.from.bytes().all(is_hex) || request.from == cluster.mark() {
            return Err(Fault::invalid(
                "from",
                format!(
                    "{:.20?} are not the eight hex digits of another cluster; GetInventory names them",
                    request.from
                ),
            ));
        }
        let census = appliance.census(deadline).await.map_err(|error| unread(&appliance, error))?;
        let theirs = census
            .disks
            .iter()
            .filter(|disk| disk.comment.parse::<Mark>().is_ok_and(|mark| mark.cluster == request.from));
        let theirs: Vec<Slot> = theirs.filter_map(|disk| disk.slot.parse().ok()).collect();
        let mut slots = Vec::new();
        for slot in theirs {
            let handle = appliance.handle(&slot);
            let target = Target { appliance: Arc::clone(&appliance), slot, handle };
            if !request.dry_run {
                let _reserved = self.reserve(&target.handle)?;
                let scene = self.scene(&target.appliance, cluster, deadline);
                adoption::move_cluster(scene, &target.slot, &request.from).await.map_err(|failure| {
                    let mut fault = target.fault("take over", failure);
                    fault.message = format!("{} were taken over, then: {}", slots.len(), fault.message);
                    fault
                })?;
            }
            slots.push(target.slot.to_string());
        }
        if !request.dry_run
            && let Ok(census) = appliance.census(deadline).await
        {
            appliance.known().census(&census);
        }
        Ok(AdoptClusterResponse { slots })
    }

    pub(super) async fn get_appliance_health(
        self: Arc<Self>,
        request: GetApplianceHealthRequest,
        deadline: Deadline,
    ) -> Result<GetApplianceHealthResponse, Fault> {
        let appliance = self.one(&request.appliance)?;
        let command = status::health(&appliance.places());
        let answer: Value = appliance
            .run(&command, deadline, Patience::None)
            .await
            .map_err(|error| unread(&appliance, error))?;
        let health = health::describe_health(&appliance, &answer)
            .map_err(|error| unread(&appliance, RunError::Lost(error.to_string())))?;
        self.metrics.hardware.seen(&health);
        Ok(health)
    }

    pub(super) async fn get_inventory(
        self: Arc<Self>,
        request: GetInventoryRequest,
        deadline: Deadline,
    ) -> Result<GetInventoryResponse, Fault> {
        let appliance = self.one(&request.appliance)?;
        let cluster = self.cluster.id()?;
        // Files first: what is made in between has its row in the later list.
        let places = appliance.known_places(deadline).await.map_err(|error| unread(&appliance, error))?;
        let answer: Value = appliance
            .run(&status::files(&places), deadline, Patience::None)
            .await
            .map_err(|error| unread(&appliance, error))?;
        let files =
            Files::read(&answer).map_err(|error| unread(&appliance, RunError::Lost(error.to_string())))?;
        let census = appliance.census(deadline).await.map_err(|error| unread(&appliance, error))?;
        let found = inventory::compare(&census.disks, Some(&files), cluster, &places);
        self.metrics.inventory(&appliance.config().name, &found);
        Ok(GetInventoryResponse {
            volumes: found.volumes,
            snapshots: found.snapshots,
            mismatches: found.mismatches,
        })
    }

    /// The appliance of that name, which must be given.
    pub(super) fn one(&self, name: &str) -> Result<Arc<Appliance>, Fault> {
        if name.is_empty() {
            return Err(Fault::invalid("appliance", "must be named"));
        }
        Ok(self.wanted(name)?.swap_remove(0))
    }
}

fn told(class: i32, of: Option<&wire::Claim>, formatted: bool, epoch: u64) -> Result<Told, Fault> {
    let epoch =
        Epoch::new(epoch).ok_or_else(|| Fault::invalid("epoch", format!("{epoch} is above {MAX_EPOCH}")))?;
    Ok(Told { class: access_class(class)?, claim: claim(of)?, formatted, epoch })
}
