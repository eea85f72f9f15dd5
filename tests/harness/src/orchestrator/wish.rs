//! What a claim asks for.

use std::collections::BTreeMap;

use proto::csi::v1 as csi;
use proto::csi::v1::volume_capability::access_mode::Mode;
use proto::csi::v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};

/// How a volume is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Through a filesystem: `ext4`, `xfs`.
    Filesystem(&'static str),
    /// As a raw block device.
    Block,
}

/// What a claim asks for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Name of the PersistentVolumeClaim, in the namespace `demo`.
    pub claim: String,
    /// How it is used.
    pub access: Access,
    /// By whom.
    pub mode: Mode,
    /// Size in bytes.
    pub bytes: i64,
    /// Parameters of the StorageClass.
    pub parameters: BTreeMap<String, String>,
}

impl Wish {
    /// One writer, no parameters beyond what the provisioner adds.
    pub fn new(claim: &str, access: Access, bytes: i64) -> Self {
        Self {
            claim: claim.to_owned(),
            access,
            mode: Mode::SingleNodeWriter,
            bytes,
            parameters: BTreeMap::new(),
        }
    }

    /// The PersistentVolume's name: what CSI calls the volume.
    pub fn name(&self) -> String {
        format!("pvc-of-{}", self.claim)
    }

    /// The capability every call about it carries.
    pub fn capability(&self) -> csi::VolumeCapability {
        let access_type = match self.access {
            Access::Filesystem(fs_type) => {
                AccessType::Mount(MountVolume { fs_type: fs_type.to_owned(), ..MountVolume::default() })
            }
            Access::Block => AccessType::Block(BlockVolume {}),
        };
        csi::VolumeCapability {
            access_mode: Some(AccessMode { mode: self.mode.into() }),
            access_type: Some(access_type),
        }
    }

    /// CreateVolume, as external-provisioner with `--extra-create-metadata` sends it.
    pub fn create(&self) -> csi::CreateVolumeRequest {
        let mut parameters = self.parameters.clone();
        let metadata = [
            ("pvc/name", self.claim.clone()),
            ("pvc/namespace", "demo".to_owned()),
            ("pv/name", self.name()),
        ];
        for (key, value) in metadata {
            parameters.insert(format!("csi.storage.k8s.io/{key}"), value);
        }
        csi::CreateVolumeRequest {
            name: self.name(),
            capacity_range: Some(csi::CapacityRange { required_bytes: self.bytes, limit_bytes: 0 }),
            volume_capabilities: vec![self.capability()],
            parameters,
            ..csi::CreateVolumeRequest::default()
        }
    }
}
