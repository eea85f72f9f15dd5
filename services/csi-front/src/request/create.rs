//! CreateVolume.

use proto::csi::v1 as csi;
use proto::fault::{Fault, Reason};
use proto::rds::volume::v1 as volume;

use super::capability::{Capabilities, FsType};
use super::size::{self, Capacity};
use super::{Problems, shown};
use crate::context::VolumeContext;
use crate::parameters::Parameters;

/// Longest name, in bytes (CSI: 128).
const MAX_NAME_BYTES: usize = 128;

/// A volume that is to exist.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CreateVolume {
    pub(crate) name: String,
    capacity: Capacity,
    capabilities: Capabilities,
    parameters: Parameters,
    /// `None` for raw block.
    fs_type: Option<FsType>,
}

/// Reads the request; all its problems are told at once.
pub(crate) fn parse(message: &csi::CreateVolumeRequest) -> Result<CreateVolume, Fault> {
    let mut problems = Problems::default();
    let name = problems.check("name", check_name(&message.name));
    let capacity = size::parse(message.capacity_range.as_ref(), &mut problems);
    let capabilities = Capabilities::parse(&message.volume_capabilities, &mut problems);
    let parameters = Parameters::parse(&message.parameters, &mut problems);
    let fs_type =
        capabilities.as_ref().and_then(|capabilities| fs_type(capabilities, &parameters, &mut problems));
    if message.volume_content_source.is_some() {
        problems.note(
            "volume_content_source",
            "is set, but volumes cannot be made from snapshots or volumes in this version (CLONE_VOLUME and \
             CREATE_DELETE_SNAPSHOT are not advertised)",
        );
    }
    if !message.mutable_parameters.is_empty() {
        problems.note(
            "mutable_parameters",
            "is set, but MODIFY_VOLUME is not advertised; no parameter can be changed later",
        );
    }
    match (name, capabilities) {
        (Some(name), Some(capabilities)) if problems.is_empty() => {
            Ok(CreateVolume { name, capacity, capabilities, parameters, fs_type })
        }
        _ => Err(problems.into_fault()),
    }
}

fn check_name(name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err(format!("must not be empty; 1 to {MAX_NAME_BYTES} bytes are allowed"));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("{} is too long; 1 to {MAX_NAME_BYTES} bytes are allowed", shown(name)));
    }
    if name.contains(char::is_control) {
        return Err(format!("{} contains a control character, which is not allowed", shown(name)));
    }
    Ok(name.to_owned())
}

fn fs_type(capabilities: &Capabilities, parameters: &Parameters, problems: &mut Problems) -> Option<FsType> {
    match (capabilities.filesystem, capabilities.fs_type, parameters.fs_type) {
        (true, Some(asked), Some(class)) if asked != class => {
            problems.note(
                "volume_capabilities.mount.fs_type",
                format_args!(
                    "{} differs from the parameter csi.storage.k8s.io/fstype {}",
                    asked.as_str(),
                    class.as_str()
                ),
            );
            None
        }
        (true, asked, class) => Some(asked.or(class).unwrap_or(FsType::DEFAULT)),
        (false, _, _) => {
            if !parameters.mkfs_options.is_empty() {
                problems.note("parameters[mkfsOptions]", "goes with a filesystem, but the volume is block");
            }
            None
        }
    }
}

impl CreateVolume {
    /// As the backend wants it.
    pub(crate) fn ensure(&self) -> volume::EnsureVolumeRequest {
        let parameters = &self.parameters;
        volume::EnsureVolumeRequest {
            content_source: String::new(),
            name: self.name.clone(),
            required_bytes: self.capacity.required,
            limit_bytes: self.capacity.limit,
            access_class: self.capabilities.class.into(),
            appliance: parameters.appliance.as_ref().map(ToString::to_string).unwrap_or_default(),
            directory: parameters.directory.clone().unwrap_or_default(),
            claim: Some(parameters.claim.clone().into()),
            minimum_bytes: self.fs_type.map_or(0, FsType::minimum_bytes),
        }
    }

    /// As CSI wants the answer.
    pub(crate) fn answer(
        &self,
        answer: volume::EnsureVolumeResponse,
    ) -> Result<csi::CreateVolumeResponse, Fault> {
        let strange = |what: &str| {
            Fault::unsettled(
                Reason::Internal,
                format!(
                    "rds-backend's answer about volume {} {what}; its versions may not fit together",
                    self.name
                ),
            )
        };
        let volume = answer.volume.ok_or_else(|| strange("holds no volume"))?;
        let appliance = volume.appliance.parse().map_err(|_| strange("names no appliance"))?;
        let context = VolumeContext {
            appliance: Some(appliance),
            directory: Some(volume.directory).filter(|directory| !directory.is_empty()),
            claim: self.parameters.claim.clone(),
            tuning: self.parameters.tuning,
            mkfs_options: self.parameters.mkfs_options.clone(),
            fs_type: self.fs_type,
        };
        let capacity =
            i64::try_from(volume.size_bytes).map_err(|_| strange("holds a size beyond 2^63 bytes"))?;
        Ok(csi::CreateVolumeResponse {
            volume: Some(csi::Volume {
                capacity_bytes: capacity,
                volume_id: volume.handle,
                volume_context: context.encode(),
                ..csi::Volume::default()
            }),
        })
    }
}

#[cfg(test)]
mod tests;
