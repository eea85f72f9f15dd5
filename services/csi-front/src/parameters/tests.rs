use super::*;
use proptest::prelude::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn read(pairs: &[(&str, &str)]) -> Result<Parameters, String> {
    let mut problems = Problems::default();
    let parameters = Parameters::parse(&map(pairs), &mut problems);
    problems.finish().map(|()| parameters).map_err(|fault| fault.message)
}

#[test]
fn every_known_parameter_is_read() {
    let read = read(&[
        ("appliance", "rds1"),
        ("directory", "/raid1/volumes"),
        ("csi.storage.k8s.io/fstype", "xfs"),
        ("mkfsOptions", "-m  reflink=1"),
        ("ctrlLossTmo", "-1"),
        ("reconnectDelay", "5"),
        ("keepAliveTmo", "7"),
        ("ioQueues", "4"),
        ("fastIoFailTmo", "9"),
        ("csi.storage.k8s.io/pvc/namespace", "demo"),
        ("csi.storage.k8s.io/pvc/name", "data"),
        ("csi.storage.k8s.io/pv/name", "pvc-1"),
    ])
    .expect("all are known");
    assert_eq!(read.directory.as_deref(), Some("/raid1/volumes"));
    assert_eq!(read.fs_type, Some(FsType::Xfs));
    assert_eq!(read.mkfs_options, ["-m", "reflink=1"]);
    assert_eq!(read.tuning.ctrl_loss_tmo, Some(-1));
    assert_eq!((read.tuning.io_queues, read.tuning.fast_io_fail_tmo), (Some(4), Some(9)));
    assert_eq!((read.claim.namespace.as_str(), read.claim.volume_name.as_str()), ("demo", "pvc-1"));
}

#[test]
fn the_earlier_drivers_parameters_are_accepted() {
    let read = read(&[("volumePath", "/pool/x"), ("nvmeAddress", "10.42.68.1"), ("nvmePort", "4420")])
        .expect("known");
    assert_eq!(read.directory.as_deref(), Some("/pool/x"));
}

#[test]
fn an_unknown_parameter_is_refused_with_the_known_ones_and_the_nearest() {
    let text = read(&[("mkfsoption", "x")]).unwrap_err();
    assert!(text.contains("did you mean \"mkfsOptions\"?"), "{text}");
    assert!(KNOWN.iter().all(|known| text.contains(known)), "{text}");
    let text = read(&[("replicas", "3")]).unwrap_err();
    assert!(text.contains("\"replicas\" is not known") && !text.contains("did you mean"), "{text}");
}

#[test]
fn a_parameter_whose_feature_does_not_exist_says_so() {
    for key in NOT_YET {
        let text = read(&[(key, "x")]).unwrap_err();
        assert!(text.contains("not available yet"), "{text}");
    }
}

#[test]
fn a_value_out_of_range_is_named_with_the_range() {
    for (key, value, allowed) in [
        ("ctrlLossTmo", "-2", "-1 (never), or 1 to 604800 seconds"),
        ("ctrlLossTmo", "0", "604800"),
        ("ioQueues", "0", "1 to 128 queues"),
        ("ioQueues", "99999999999999999999", "1 to 128"),
        ("reconnectDelay", "fast", "1 to 3600 seconds"),
        ("nvmePort", "0", "1 to 65535"),
        ("directory", "/a/../b", "absolute path"),
        ("directory", "a", "absolute path"),
        ("appliance", "Bad Name", "appliance name"),
        ("mkfsOptions", "-L $(reboot)", "list of options"),
        ("mkfsOptions", "/dev/sda", "list of options"),
        ("csi.storage.k8s.io/pvc/name", "a b", "Kubernetes object"),
    ] {
        let text = read(&[(key, value)]).unwrap_err();
        assert!(text.contains(key) && text.contains(allowed), "{key}={value}: {text}");
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    assert!(read(&[("directory", "/a"), ("volumePath", "/b")]).unwrap_err().contains("differs"));
    assert!(
        read(&[("ctrlLossTmo", "10"), ("fastIoFailTmo", "20")]).unwrap_err().contains("above ctrlLossTmo")
    );
    assert!(read(&[("ctrlLossTmo", "-1"), ("fastIoFailTmo", "20")]).is_ok());
}

proptest! {
    #[test]
    fn any_parameters_are_read_or_refused_in_words(pairs in prop::collection::btree_map(".{0,40}", ".{0,40}", 0..6)) {
        let mut problems = Problems::default();
        let parameters = Parameters::parse(&pairs, &mut problems);
        if problems.is_empty() && pairs.is_empty() {
            prop_assert_eq!(parameters, Parameters::default());
        }
    }
}
