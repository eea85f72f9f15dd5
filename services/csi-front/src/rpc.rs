//! The RPCs of CSI that this version serves. Advertised = served: see [`crate::capabilities`].

/// An RPC. The order is that of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rpc {
    GetPluginInfo,
    GetPluginCapabilities,
    Probe,
    CreateVolume,
    DeleteVolume,
    ControllerPublish,
    ControllerUnpublish,
    Validate,
    ControllerExpand,
    ControllerGetCapabilities,
    NodeStage,
    NodeUnstage,
    NodePublish,
    NodeUnpublish,
    NodeGetStats,
    NodeExpand,
    NodeGetCapabilities,
    NodeGetInfo,
}

impl Rpc {
    /// Every RPC that is served.
    pub(crate) const ALL: [Self; 18] = [
        Self::GetPluginInfo,
        Self::GetPluginCapabilities,
        Self::Probe,
        Self::CreateVolume,
        Self::DeleteVolume,
        Self::ControllerPublish,
        Self::ControllerUnpublish,
        Self::Validate,
        Self::ControllerExpand,
        Self::ControllerGetCapabilities,
        Self::NodeStage,
        Self::NodeUnstage,
        Self::NodePublish,
        Self::NodeUnpublish,
        Self::NodeGetStats,
        Self::NodeExpand,
        Self::NodeGetCapabilities,
        Self::NodeGetInfo,
    ];

    /// Its name in the specification.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::GetPluginInfo => "GetPluginInfo",
            Self::GetPluginCapabilities => "GetPluginCapabilities",
            Self::Probe => "Probe",
            Self::CreateVolume => "CreateVolume",
            Self::DeleteVolume => "DeleteVolume",
            Self::ControllerPublish => "ControllerPublishVolume",
            Self::ControllerUnpublish => "ControllerUnpublishVolume",
            Self::Validate => "ValidateVolumeCapabilities",
            Self::ControllerExpand => "ControllerExpandVolume",
            Self::ControllerGetCapabilities => "ControllerGetCapabilities",
            Self::NodeStage => "NodeStageVolume",
            Self::NodeUnstage => "NodeUnstageVolume",
            Self::NodePublish => "NodePublishVolume",
            Self::NodeUnpublish => "NodeUnpublishVolume",
            Self::NodeGetStats => "NodeGetVolumeStats",
            Self::NodeExpand => "NodeExpandVolume",
            Self::NodeGetCapabilities => "NodeGetCapabilities",
            Self::NodeGetInfo => "NodeGetInfo",
        }
    }

    /// True for calls that change something: they are logged when they succeed, too.
    pub(crate) const fn changes(self) -> bool {
        match self {
            Self::CreateVolume
            | Self::DeleteVolume
            | Self::ControllerPublish
            | Self::ControllerUnpublish
            | Self::ControllerExpand
            | Self::NodeStage
            | Self::NodeUnstage
            | Self::NodePublish
            | Self::NodeUnpublish
            | Self::NodeExpand => true,
            Self::GetPluginInfo
            | Self::GetPluginCapabilities
            | Self::Probe
            | Self::Validate
            | Self::ControllerGetCapabilities
            | Self::NodeGetStats
            | Self::NodeGetCapabilities
            | Self::NodeGetInfo => false,
        }
    }
}
