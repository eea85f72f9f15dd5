use super::*;
use csi::volume_capability::access_mode::Mode;
use csi::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};

const HANDLE: &str = "rds1/csi-0123456789abcdef0123456789ab";
const STAGING: &str = "/var/lib/kubelet/plugins/x/globalmount";
const TARGET: &str = "/var/lib/kubelet/pods/1/mount";

fn kubelet() -> KubeletDir {
    "/var/lib/kubelet".parse().expect("a folder")
}

fn capability(mode: Mode, access_type: AccessType) -> Option<csi::VolumeCapability> {
    Some(csi::VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(access_type),
    })
}

fn publish_context() -> BTreeMap<String, String> {
    [
        ("epoch", "3"),
        ("nqn", "nqn.2026-09.io.srvlab:rds:csi-0123456789abcdef0123456789ab.e3"),
        ("addresses", "127.0.0.1:4420"),
        ("hostNqn", "nqn.2014-08.org.nvmexpress:uuid:9d1c6a52-7a0e-4c43-9c1f-52ab8d3760e4"),
        ("hostId", "9d1c6a52-7a0e-4c43-9c1f-52ab8d3760e4"),
        ("sizeBytes", "2147483648"),
        ("readOnly", "false"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn stage() -> csi::NodeStageVolumeRequest {
    csi::NodeStageVolumeRequest {
        volume_id: HANDLE.to_owned(),
        publish_context: publish_context(),
        staging_target_path: STAGING.to_owned(),
        volume_capability: capability(
            Mode::SingleNodeWriter,
            AccessType::Mount(MountVolume {
                mount_flags: vec!["noatime".to_owned()],
                ..MountVolume::default()
            }),
        ),
        volume_context: [("fsType", "xfs"), ("ioQueues", "4"), ("mkfsOptions", "-K"), ("pvcName", "data")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..csi::NodeStageVolumeRequest::default()
    }
}

fn publish() -> csi::NodePublishVolumeRequest {
    let staged = stage();
    csi::NodePublishVolumeRequest {
        volume_id: staged.volume_id,
        publish_context: staged.publish_context,
        staging_target_path: staged.staging_target_path,
        target_path: TARGET.to_owned(),
        volume_capability: staged.volume_capability,
        volume_context: staged.volume_context,
        ..csi::NodePublishVolumeRequest::default()
    }
}

#[test]
fn both_contexts_reach_the_agent_as_typed_messages() {
    let wire = parse_stage(stage(), &kubelet()).expect("right");
    let connection = wire.connection.expect("set");
    assert_eq!((connection.epoch, connection.size_bytes), (3, 2 << 30));
    assert_eq!(connection.addresses, ["127.0.0.1:4420"]);
    assert_eq!(connection.tuning.expect("set").io_queues, Some(4));
    let Some(node::access::Kind::Filesystem(filesystem)) = wire.access.expect("set").kind else {
        panic!("a filesystem was asked for");
    };
    assert_eq!(filesystem.r#type, "xfs", "the context decides when the capability does not say");
    assert_eq!(
        (filesystem.mount_options, filesystem.mkfs_options),
        (vec!["noatime".into()], vec!["-K".into()])
    );
    assert_eq!(wire.claim.expect("set").name, "data");
}

#[test]
fn publishing_carries_all_it_takes_to_stage_again() {
    let mut request = publish();
    request.readonly = true;
    request.volume_capability = capability(Mode::SingleNodeSingleWriter, AccessType::Block(BlockVolume {}));
    let wire = parse_publish(request, &kubelet()).expect("right");
    assert!(wire.read_only && wire.exclusive);
    assert!(wire.connection.is_some() && wire.claim.is_some());
    assert!(!wire.connection.expect("set").read_only, "a read-only pod does not make the session read-only");
}

#[test]
fn a_path_outside_kubelets_folder_is_refused_with_the_folder() {
    for path in ["/etc", "", "/var/lib/kubelet/../x"] {
        let mut request = stage();
        request.staging_target_path = path.to_owned();
        let fault = parse_stage(request, &kubelet()).unwrap_err();
        assert_eq!(fault.reason, Reason::InvalidArgument);
        assert!(fault.message.contains("staging_target_path"), "{}", fault.message);
        let mut request = publish();
        request.target_path = path.to_owned();
        let fault = parse_publish(request, &kubelet()).unwrap_err();
        assert!(fault.message.contains("target_path"), "{}", fault.message);
    }
}

#[test]
fn every_problem_of_a_stage_is_told_at_once() {
    let fault = parse_stage(csi::NodeStageVolumeRequest::default(), &kubelet()).unwrap_err();
    for field in ["volume_id", "staging_target_path", "volume_capability", "publish_context[nqn]"] {
        assert!(fault.message.contains(field), "{field} in {}", fault.message);
    }
}

#[test]
fn statistics_of_an_unknown_volume_are_not_found_whatever_the_path() {
    let stats = |volume_id: &str, volume_path: &str| {
        let request = csi::NodeGetVolumeStatsRequest {
            volume_id: volume_id.to_owned(),
            volume_path: volume_path.to_owned(),
            ..csi::NodeGetVolumeStatsRequest::default()
        };
        parse_stats(&request, &kubelet()).map_err(|fault| fault.reason)
    };
    assert_eq!(stats("fake", "/some/path"), Err(Reason::VolumeNotFound));
    assert_eq!(stats(HANDLE, "/some/path"), Err(Reason::PathNotFound));
    assert_eq!(stats(HANDLE, ""), Err(Reason::InvalidArgument));
    assert_eq!(stats("", TARGET), Err(Reason::InvalidArgument));
    assert!(stats(HANDLE, TARGET).is_ok());
}

#[test]
fn a_block_volume_has_only_a_total_and_a_filesystem_counts_inodes() {
    let usage = |total| Some(node::Usage { total, used: 0, available: total });
    let block = stats_answer(&node::GetStatsResponse { bytes: usage(9), inodes: None });
    assert_eq!(block.usage.len(), 1);
    let filesystem = stats_answer(&node::GetStatsResponse { bytes: usage(9), inodes: usage(u64::MAX) });
    assert_eq!(filesystem.usage[1].unit(), csi::volume_usage::Unit::Inodes);
    assert_eq!(filesystem.usage[1].total, i64::MAX);
}

#[test]
fn what_is_taken_down_needs_only_id_and_path() {
    let request = csi::NodeUnstageVolumeRequest {
        volume_id: HANDLE.to_owned(),
        staging_target_path: STAGING.to_owned(),
    };
    assert_eq!(parse_unstage(&request, &kubelet()).expect("right").staging_path, STAGING);
    let request = csi::NodeUnpublishVolumeRequest {
        volume_id: "never-issued".to_owned(),
        target_path: TARGET.to_owned(),
    };
    assert_eq!(parse_unpublish(&request, &kubelet()).unwrap_err().reason, Reason::VolumeNotFound);
}
