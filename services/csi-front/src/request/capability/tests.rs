use super::*;
use csi::volume_capability::{AccessMode, BlockVolume};
use proptest::prelude::*;

fn mount(mode: WireMode, fs_type: &str) -> csi::VolumeCapability {
    csi::VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(AccessType::Mount(MountVolume {
            fs_type: fs_type.to_owned(),
            ..MountVolume::default()
        })),
    }
}

fn block(mode: WireMode) -> csi::VolumeCapability {
    csi::VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(AccessType::Block(BlockVolume {})),
    }
}

fn read(wire: &[csi::VolumeCapability]) -> Result<Capabilities, String> {
    let mut problems = Problems::default();
    let parsed = Capabilities::parse(wire, &mut problems);
    problems.finish().map_err(|fault| fault.message)?;
    Ok(parsed.expect("no problem, so a value"))
}

#[test]
fn each_mode_comes_to_the_class_that_is_recorded() {
    use WireMode::{
        MultiNodeMultiWriter, MultiNodeReaderOnly, SingleNodeMultiWriter, SingleNodeReaderOnly,
        SingleNodeSingleWriter, SingleNodeWriter,
    };
    for mode in [SingleNodeWriter, SingleNodeSingleWriter, SingleNodeMultiWriter, SingleNodeReaderOnly] {
        assert_eq!(read(&[mount(mode, "xfs")]).unwrap().class, AccessClass::SingleNodeFilesystem);
        assert_eq!(read(&[block(mode)]).unwrap().class, AccessClass::SingleNodeBlock);
    }
    assert_eq!(read(&[block(MultiNodeMultiWriter)]).unwrap().class, AccessClass::MultiNodeBlock);
    assert_eq!(read(&[mount(MultiNodeReaderOnly, "")]).unwrap().class, AccessClass::MultiNodeReader);
    let mixed = [block(SingleNodeWriter), block(MultiNodeMultiWriter)];
    assert_eq!(read(&mixed).unwrap().class, AccessClass::MultiNodeBlock);
}

#[test]
fn a_filesystem_for_several_writers_is_refused_with_the_way_out() {
    let text = read(&[mount(WireMode::MultiNodeMultiWriter, "ext4")]).unwrap_err();
    assert!(text.contains("volume_capabilities[0].access_mode"), "{text}");
    assert!(text.contains("volumeMode: Block"), "{text}");
}

#[test]
fn block_and_mount_do_not_mix() {
    let both = [block(WireMode::SingleNodeWriter), mount(WireMode::SingleNodeWriter, "")];
    assert!(read(&both).unwrap_err().contains("block and mount are mixed"));
}

#[test]
fn a_filesystem_with_a_writer_here_and_readers_there_is_refused() {
    let both = [mount(WireMode::SingleNodeWriter, ""), mount(WireMode::MultiNodeReaderOnly, "")];
    assert!(read(&both).unwrap_err().contains("not for both"));
}

#[test]
fn what_is_missing_or_unknown_is_named_with_what_is_allowed() {
    assert!(read(&[]).unwrap_err().contains("volume_capabilities: is empty"));
    let text = read(&[csi::VolumeCapability::default()]).unwrap_err();
    assert!(text.contains("access_type: is missing") && text.contains("access_mode: is missing"), "{text}");
    for mode in [WireMode::Unknown, WireMode::MultiNodeSingleWriter] {
        assert!(read(&[block(mode)]).unwrap_err().contains("SINGLE_NODE_WRITER"));
    }
    let mut future = block(WireMode::SingleNodeWriter);
    future.access_mode = Some(AccessMode { mode: 77 });
    assert!(read(&[future]).unwrap_err().contains("77"));
    assert!(read(&[mount(WireMode::SingleNodeWriter, "zfs")]).unwrap_err().contains("ext4, xfs, btrfs"));
}

#[test]
fn two_filesystems_for_one_volume_are_refused() {
    let both = [mount(WireMode::SingleNodeWriter, "xfs"), mount(WireMode::SingleNodeMultiWriter, "ext4")];
    assert!(read(&both).unwrap_err().contains("xfs and ext4"));
}

#[test]
fn a_capability_alone_has_the_class_of_a_volume_made_for_it() {
    for number in 1..=7 {
        for one in
            [block(WireMode::try_from(number).unwrap()), mount(WireMode::try_from(number).unwrap(), "")]
        {
            let mut problems = Problems::default();
            if let Some(capability) = Capability::parse("volume_capability", Some(&one), &mut problems) {
                assert_eq!(read(&[one]).unwrap().class, capability.class());
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_a_caller_can_send_makes_two_nodes_write_one_filesystem(modes in prop::collection::vec(0..9i32, 1..4)) {
        let wire: Vec<_> = modes
            .iter()
            .map(|mode| csi::VolumeCapability {
                access_mode: Some(AccessMode { mode: *mode }),
                ..mount(WireMode::Unknown, "xfs")
            })
            .collect();
        if let Ok(accepted) = read(&wire) {
            prop_assert_ne!(accepted.class, AccessClass::MultiNodeBlock);
            prop_assert!(accepted.filesystem);
        }
    }
}
