use super::*;
use csi::volume_capability::access_mode::Mode;
use csi::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use proto::rds::volume::v1::AccessClass;

fn capability(access_type: AccessType) -> csi::VolumeCapability {
    csi::VolumeCapability {
        access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
        access_type: Some(access_type),
    }
}

fn mount(fs_type: &str) -> csi::VolumeCapability {
    capability(AccessType::Mount(MountVolume { fs_type: fs_type.to_owned(), ..MountVolume::default() }))
}

fn request(capability: csi::VolumeCapability, parameters: &[(&str, &str)]) -> csi::CreateVolumeRequest {
    csi::CreateVolumeRequest {
        name: "pvc-1".to_owned(),
        capacity_range: Some(csi::CapacityRange { required_bytes: 5, limit_bytes: 0 }),
        volume_capabilities: vec![capability],
        parameters: parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..csi::CreateVolumeRequest::default()
    }
}

#[test]
fn the_filesystem_decides_the_smallest_size() {
    for (asked, parameter, minimum) in [
        ("xfs", None, 300 << 20),
        ("", Some("btrfs"), 128 << 20),
        ("", None, 16 << 20),
        ("xfs", Some("xfs"), 300 << 20),
    ] {
        let parameters: Vec<_> = parameter.map(|fs| ("csi.storage.k8s.io/fstype", fs)).into_iter().collect();
        let ensure = parse(&request(mount(asked), &parameters)).unwrap().ensure();
        assert_eq!(ensure.minimum_bytes, minimum);
        assert_eq!(ensure.required_bytes, 5, "the backend rounds, not we");
        assert_eq!(ensure.access_class(), AccessClass::SingleNodeFilesystem);
    }
    let block = request(capability(AccessType::Block(BlockVolume {})), &[]);
    assert_eq!(parse(&block).unwrap().ensure().minimum_bytes, 0);
}

#[test]
fn every_problem_of_a_request_is_told_at_once() {
    let mut wrong = request(mount("zfs"), &[("aplience", "x"), ("ioQueues", "0")]);
    wrong.name = "n".repeat(1 << 20);
    wrong.capacity_range = Some(csi::CapacityRange { required_bytes: -1, limit_bytes: 0 });
    wrong.mutable_parameters.insert("a".to_owned(), "b".to_owned());
    wrong.volume_content_source = Some(csi::VolumeContentSource::default());
    let fault = parse(&wrong).unwrap_err();
    for field in [
        "name: ",
        "capacity_range.required_bytes",
        "volume_capabilities[0].mount.fs_type",
        "\"aplience\"",
        "parameters[ioQueues]",
        "mutable_parameters",
        "volume_content_source",
    ] {
        assert!(fault.message.contains(field), "{field} in {}", fault.message);
    }
    assert!(fault.message.len() < 4096, "a long value is cut: {}", fault.message.len());
}

#[test]
fn two_filesystems_in_one_request_are_refused() {
    let wrong = request(mount("xfs"), &[("csi.storage.k8s.io/fstype", "ext4")]);
    assert!(parse(&wrong).unwrap_err().message.contains("xfs differs"));
}

#[test]
fn the_answer_is_exact_and_carries_what_the_node_will_need() {
    let wish = parse(&request(
        mount("xfs"),
        &[("csi.storage.k8s.io/pvc/name", "data"), ("ioQueues", "4"), ("mkfsOptions", "-K")],
    ))
    .unwrap();
    let answer = volume::EnsureVolumeResponse {
        volume: Some(volume::Volume {
            handle: "rds1/csi-0123456789abcdef0123456789ab".to_owned(),
            size_bytes: 314_572_800,
            appliance: "rds1".to_owned(),
            directory: "/raid1/volumes".to_owned(),
            ..volume::Volume::default()
        }),
        created: true,
    };
    let volume = wish.answer(answer).unwrap().volume.unwrap();
    assert_eq!(volume.capacity_bytes, 314_572_800);
    let context: Vec<_> = volume.volume_context.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let wanted = [
        "appliance=rds1",
        "directory=/raid1/volumes",
        "fsType=xfs",
        "ioQueues=4",
        "mkfsOptions=-K",
        "pvcName=data",
    ];
    assert_eq!(context, wanted);
}

#[test]
fn an_answer_that_makes_no_sense_leaves_the_outcome_open() {
    let wish = parse(&request(mount(""), &[])).unwrap();
    let fault = wish.answer(volume::EnsureVolumeResponse::default()).unwrap_err();
    assert!(!fault.settled);
}
