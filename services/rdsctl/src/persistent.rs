//! The cluster's PersistentVolumes of one driver, as far as rdsctl needs them. Only read, never changed.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{Api, ListParams};
use proto::rds::volume::v1::{AccessClass, Claim};
use proto::size::ByteSize;

use crate::kubernetes::{self, ApiFailure};

/// Volumes per request.
const PAGE: u32 = 500;

/// A PersistentVolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Persistent {
    pub(crate) name: String,
    /// Handle the driver gave it.
    pub(crate) handle: String,
    /// `Bound`, `Released`, …; empty when it has none yet.
    pub(crate) phase: String,
    /// `Delete` or `Retain`.
    pub(crate) reclaim: String,
    /// In bytes; 0 when Kubernetes wrote it in a way that we do not read.
    pub(crate) size_bytes: u64,
    /// Namespace and name of its claim.
    pub(crate) claim: Option<(String, String)>,
    /// How it may be shared between nodes, or why that cannot be said.
    pub(crate) class: Result<AccessClass, String>,
}

impl Persistent {
    /// The claim as the contract has it.
    pub(crate) fn wire_claim(&self) -> Claim {
        let (namespace, name) = self.claim.clone().unwrap_or_default();
        Claim { namespace, name, volume_name: self.name.clone() }
    }

    fn of(volume: PersistentVolume, driver: &str) -> Option<Self> {
        let spec = volume.spec?;
        let csi = spec.csi.filter(|csi| csi.driver == driver)?;
        let class = class(spec.volume_mode.as_deref(), spec.access_modes.as_deref().unwrap_or_default());
        let size = spec.capacity.and_then(|capacity| capacity.get("storage")?.0.parse::<ByteSize>().ok());
        Some(Self {
            name: volume.metadata.name.unwrap_or_default(),
            handle: csi.volume_handle,
            phase: volume.status.and_then(|status| status.phase).unwrap_or_default(),
            reclaim: spec.persistent_volume_reclaim_policy.unwrap_or_default(),
            size_bytes: size.map_or(0, ByteSize::bytes),
            claim: spec.claim_ref.and_then(|claim| Some((claim.namespace?, claim.name?))),
            class,
        })
    }
}

/// The class csi-front gives a volume with these modes.
fn class(mode: Option<&str>, modes: &[String]) -> Result<AccessClass, String> {
    let single = modes.iter().all(|mode| ["ReadWriteOnce", "ReadWriteOncePod"].contains(&mode.as_str()));
    let readers = modes.iter().all(|mode| mode == "ReadOnlyMany");
    match (modes, single, readers, mode == Some("Block")) {
        ([], ..) => Err("its PersistentVolume has no access modes".to_owned()),
        (_, true, _, false) => Ok(AccessClass::SingleNodeFilesystem),
        (_, true, _, true) => Ok(AccessClass::SingleNodeBlock),
        (_, false, true, _) => Ok(AccessClass::MultiNodeReader),
        (_, false, false, true) => Ok(AccessClass::MultiNodeBlock),
        (modes, false, false, false) => Err(format!(
            "a filesystem cannot be shared as its PersistentVolume says ({}); name the class with --access-class",
            modes.join(", ")
        )),
    }
}

/// All of `driver`.
pub(crate) async fn volumes(client: kube::Client, driver: &str) -> Result<Vec<Persistent>, ApiFailure> {
    let api: Api<PersistentVolume> = Api::all(client);
    let mut parameters = ListParams::default().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = kubernetes::ask("PersistentVolumes", api.list(&parameters)).await?;
        found.extend(page.items.into_iter().filter_map(|volume| Persistent::of(volume, driver)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_follows_from_the_modes_as_in_csi_front() {
        let class = |mode, modes: &[&str]| {
            class(mode, &modes.iter().map(|mode| (*mode).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(class(None, &["ReadWriteOnce"]), Ok(AccessClass::SingleNodeFilesystem));
        assert_eq!(class(Some("Filesystem"), &["ReadWriteOncePod"]), Ok(AccessClass::SingleNodeFilesystem));
        assert_eq!(class(Some("Block"), &["ReadWriteOnce"]), Ok(AccessClass::SingleNodeBlock));
        assert_eq!(
            class(Some("Block"), &["ReadWriteOnce", "ReadWriteMany"]),
            Ok(AccessClass::MultiNodeBlock)
        );
        assert_eq!(class(None, &["ReadOnlyMany"]), Ok(AccessClass::MultiNodeReader));
        for modes in [&["ReadWriteMany"][..], &["ReadWriteOnce", "ReadOnlyMany"]] {
            assert!(class(None, modes).unwrap_err().contains("--access-class"));
        }
        assert!(class(None, &[]).is_err());
    }
}
