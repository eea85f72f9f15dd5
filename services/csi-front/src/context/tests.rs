use super::*;
use proptest::prelude::*;
use proto::nqn::MAX_EPOCH;

fn decoded(map: &BTreeMap<String, String>) -> Result<PublishContext, String> {
    let mut problems = Problems::default();
    let context = PublishContext::decode(map, &mut problems);
    problems.finish().map_err(|fault| fault.message)?;
    Ok(context.expect("no problem, so a value"))
}

fn example() -> PublishContext {
    PublishContext {
        epoch: Epoch::new(7).unwrap(),
        nqn: "nqn.2026-09.io.srvlab:rds:csi-0123456789abcdef0123456789ab.e7".parse().unwrap(),
        addresses: vec!["10.42.68.1:4420".parse().unwrap(), "[fd00::1]:4420".parse().unwrap()],
        host_nqn: "nqn.2014-08.org.nvmexpress:uuid:9d1c6a52-7a0e-4c43-9c1f-52ab8d3760e4".parse().unwrap(),
        host_id: "9d1c6a52-7a0e-4c43-9c1f-52ab8d3760e4".parse().unwrap(),
        size_bytes: 2 << 30,
        read_only: false,
    }
}

fn tunings() -> impl Strategy<Value = Tuning> {
    let number = || proptest::option::of(1u32..=100);
    (proptest::option::of(100i64..604_800), number(), number(), number(), number()).prop_map(
        |(ctrl_loss_tmo, reconnect_delay, keep_alive_tmo, io_queues, fast_io_fail_tmo)| Tuning {
            ctrl_loss_tmo,
            reconnect_delay,
            keep_alive_tmo,
            io_queues,
            fast_io_fail_tmo,
        },
    )
}

prop_compose! {
    fn volume_contexts()(
        appliance in proptest::option::of("[a-z0-9][a-z0-9-]{0,30}"),
        directory in proptest::option::of("(/[a-z0-9]{1,8}){1,4}"),
        names in ("([a-z0-9.-]{1,40})?", "([a-z0-9.-]{1,40})?", "([a-z0-9.-]{1,40})?"),
        tuning in tunings(),
        mkfs_options in prop::collection::vec("-[a-z0-9=,^]{1,8}", 0..4),
        fs_type in proptest::option::of(prop::sample::select(vec![FsType::Ext4, FsType::Xfs, FsType::Btrfs])),
    ) -> VolumeContext {
        VolumeContext {
            appliance: appliance.map(|text| text.parse().unwrap()),
            directory,
            claim: Claim { namespace: names.0, name: names.1, volume_name: names.2 },
            tuning,
            mkfs_options,
            fs_type,
        }
    }
}

proptest! {
    #[test]
    fn a_volume_context_reads_back_as_it_was_written(context in volume_contexts()) {
        let mut problems = Problems::default();
        let read = VolumeContext::decode(&context.encode(), &mut problems);
        prop_assert!(problems.is_empty(), "{}", problems);
        prop_assert_eq!(read, context);
    }

    #[test]
    fn a_publish_context_reads_back_as_it_was_written(
        epoch in 1..=MAX_EPOCH,
        tail in "[a-zA-Z0-9.:-]{1,150}",
        addresses in prop::collection::vec(any::<(std::net::IpAddr, u16)>(), 1..4),
        host_id: u128,
        size_bytes in 1..u64::MAX,
        read_only: bool,
    ) {
        let context = PublishContext {
            epoch: Epoch::new(epoch).unwrap(),
            nqn: format!("nqn.{tail}").parse().unwrap(),
            addresses: addresses.into_iter().map(|(ip, port)| SocketAddr::new(ip, port.max(1))).collect(),
            host_nqn: "nqn.2014-08.org.nvmexpress:uuid:x".parse().unwrap(),
            host_id: Uuid::from_u128(host_id),
            size_bytes,
            read_only,
        };
        prop_assert_eq!(decoded(&context.encode()), Ok(context));
    }

    #[test]
    fn any_map_is_a_context_or_refused_in_words(map in prop::collection::btree_map("[a-zA-Z]{1,12}", ".{0,40}", 0..8)) {
        let _ = decoded(&map);
        let _ = VolumeContext::decode(&map, &mut Problems::default());
    }
}

#[test]
fn keys_that_kubernetes_adds_are_ignored() {
    let mut map = example().encode();
    map.insert("storage.kubernetes.io/csiProvisionerIdentity".to_owned(), "x".to_owned());
    assert_eq!(decoded(&map), Ok(example()));
}

#[test]
fn a_publish_context_that_lacks_a_key_or_holds_rubbish_names_it() {
    for key in [EPOCH, NQN, ADDRESSES, HOST_NQN, HOST_ID, SIZE_BYTES, READ_ONLY] {
        let mut map = example().encode();
        map.remove(key);
        let text = decoded(&map).unwrap_err();
        assert!(text.contains(&format!("publish_context[{key}]: is missing")), "{text}");
        map.insert(key.to_owned(), "!".to_owned());
        assert!(decoded(&map).unwrap_err().contains(&format!("publish_context[{key}]")));
    }
}

#[test]
fn an_address_without_a_port_or_with_a_name_is_refused() {
    for text in ["", "10.0.0.1", "10.0.0.1:0", "host:4420", "10.0.0.1:4420,"] {
        let mut map = example().encode();
        map.insert(ADDRESSES.to_owned(), text.to_owned());
        assert!(decoded(&map).is_err(), "{text:?}");
    }
}
