//! ValidateVolumeCapabilities: what is asked is compared with what the appliance has.

use proto::csi::v1 as csi;
use proto::fault::Fault;
use proto::id::VolumeHandle;
use proto::rds::volume::v1::{AccessClass, Volume};

use super::capability::Capabilities;
use super::{Problems, volume_id};
use crate::context::VolumeContext;
use crate::parameters::Parameters;

/// Reads the id and sees that capabilities were given; whether they can be kept is [`answer`]'s to say.
pub(crate) fn parse(message: &csi::ValidateVolumeCapabilitiesRequest) -> Result<VolumeHandle, Fault> {
    let mut problems = Problems::default();
    let volume = volume_id::parse("volume_id", &message.volume_id, &mut problems);
    if message.volume_capabilities.is_empty() {
        problems.note("volume_capabilities", "is empty; at least one capability must be given");
    }
    let (Some(volume), true) = (volume, problems.is_empty()) else {
        return Err(problems.into_fault());
    };
    volume_id::existing(volume, &message.volume_id)
}

/// Confirms everything, or says why not.
pub(crate) fn answer(
    message: csi::ValidateVolumeCapabilitiesRequest,
    volume: &Volume,
) -> csi::ValidateVolumeCapabilitiesResponse {
    let mut doubts = Problems::default();
    let capabilities = Capabilities::parse(&message.volume_capabilities, &mut doubts);
    let context = VolumeContext::decode(&message.volume_context, &mut doubts);
    let parameters = Parameters::parse(&message.parameters, &mut doubts);
    if let Some(capabilities) = &capabilities
        && capabilities.class != volume.access_class()
    {
        doubts.note(
            "volume_capabilities",
            format_args!(
                "come to {}, but the volume was made as {}",
                class_name(capabilities.class),
                class_name(volume.access_class())
            ),
        );
    }
    let asked = [
        ("volume_context[appliance]", context.appliance.as_ref(), context.directory.as_ref()),
        ("parameters[appliance]", parameters.appliance.as_ref(), parameters.directory.as_ref()),
    ];
    for (field, appliance, directory) in asked {
        if let Some(name) = appliance
            && name.as_str() != volume.appliance
        {
            doubts.note(field, format_args!("{name}, but the volume is on {}", volume.appliance));
        }
        if let Some(name) = directory
            && *name != volume.directory
        {
            doubts.note(field, format_args!("folder {name}, but the volume is in {}", volume.directory));
        }
    }
    if !message.mutable_parameters.is_empty() {
        doubts.note("mutable_parameters", "are not supported: MODIFY_VOLUME is not advertised");
    }
    if !doubts.is_empty() {
        return csi::ValidateVolumeCapabilitiesResponse { confirmed: None, message: doubts.to_string() };
    }
    csi::ValidateVolumeCapabilitiesResponse {
        confirmed: Some(csi::validate_volume_capabilities_response::Confirmed {
            volume_context: message.volume_context,
            volume_capabilities: message.volume_capabilities,
            parameters: message.parameters,
            mutable_parameters: message.mutable_parameters,
        }),
        message: String::new(),
    }
}

const fn class_name(class: AccessClass) -> &'static str {
    match class {
        AccessClass::Unspecified => "an unknown class",
        AccessClass::SingleNodeFilesystem => "a filesystem for one node at a time",
        AccessClass::SingleNodeBlock => "raw block for one node at a time",
        AccessClass::MultiNodeBlock => "raw block for several nodes",
        AccessClass::MultiNodeReader => "read-only for several nodes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use csi::volume_capability::access_mode::Mode;
    use csi::volume_capability::{AccessMode, AccessType, BlockVolume};

    fn request(mode: Mode) -> csi::ValidateVolumeCapabilitiesRequest {
        csi::ValidateVolumeCapabilitiesRequest {
            volume_id: "rds1/csi-0123456789abcdef0123456789ab".to_owned(),
            volume_capabilities: vec![csi::VolumeCapability {
                access_mode: Some(AccessMode { mode: mode.into() }),
                access_type: Some(AccessType::Block(BlockVolume {})),
            }],
            volume_context: [("appliance".to_owned(), "rds1".to_owned())].into(),
            ..csi::ValidateVolumeCapabilitiesRequest::default()
        }
    }

    fn volume() -> Volume {
        Volume {
            appliance: "rds1".to_owned(),
            directory: "/raid1/volumes".to_owned(),
            access_class: AccessClass::SingleNodeBlock.into(),
            ..Volume::default()
        }
    }

    #[test]
    fn what_can_be_kept_is_confirmed_and_echoed() {
        let request = request(Mode::SingleNodeWriter);
        let confirmed = answer(request.clone(), &volume()).confirmed.expect("confirmed");
        assert_eq!(confirmed.volume_capabilities, request.volume_capabilities);
        assert_eq!(confirmed.volume_context, request.volume_context);
    }

    #[test]
    fn what_cannot_be_kept_is_not_confirmed_and_says_why() {
        let text = |request| {
            let answer = answer(request, &volume());
            assert!(answer.confirmed.is_none());
            answer.message
        };
        assert!(text(request(Mode::MultiNodeMultiWriter)).contains("raw block for several nodes"));
        assert!(text(request(Mode::MultiNodeSingleWriter)).contains("not supported"));
        let mut elsewhere = request(Mode::SingleNodeWriter);
        elsewhere.parameters.insert("appliance".to_owned(), "rds2".to_owned());
        assert!(text(elsewhere).contains("the volume is on rds1"));
    }
}
