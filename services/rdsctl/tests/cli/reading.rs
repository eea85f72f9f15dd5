//! Commands that only read.

use proto::rds::volume::v1::{
    AccessClass, ApplianceStatus, Attachment, Claim, Drive, GetApplianceHealthResponse, GetCapacityResponse,
    Pool, Sensor, Snapshot, Volume,
};

use crate::fake::World;
use crate::program::Backend;

fn appliance(name: &str, reachable: bool) -> ApplianceStatus {
    let problem = if reachable { "" } else { "10.0.0.2:22: no route; is it switched on?" };
    ApplianceStatus {
        name: name.to_owned(),
        address: "10.0.0.1:22".to_owned(),
        reachable,
        problem: problem.to_owned(),
        version: "7.24.4 (stable)".to_owned(),
        board: "RDS2216".to_owned(),
        pools: vec![pool(true)],
        ..ApplianceStatus::default()
    }
}

fn pool(healthy: bool) -> Pool {
    Pool {
        directory: "/raid1/volumes".to_owned(),
        slot: "raid1".to_owned(),
        filesystem: "xfs".to_owned(),
        size_bytes: 4 << 40,
        free_bytes: 3 << 40,
        reserve_bytes: 1 << 40,
        healthy,
        state: if healthy { "clean" } else { "degraded" }.to_owned(),
    }
}

fn volume(number: u32, node: &str) -> Volume {
    let attachment = Attachment { node_id: node.to_owned(), read_only: false };
    Volume {
        handle: format!("rds1/csi-{number}"),
        size_bytes: 5 << 30,
        epoch: 7,
        attachments: if node.is_empty() { Vec::new() } else { vec![attachment] },
        access_class: AccessClass::SingleNodeFilesystem.into(),
        claim: Some(Claim {
            namespace: "demo".to_owned(),
            name: format!("data-{number}"),
            volume_name: String::new(),
        }),
        directory: "/raid1/volumes".to_owned(),
        ..Volume::default()
    }
}

fn snapshot(number: u32, source: &str) -> Snapshot {
    Snapshot {
        handle: format!("rds1/snp-{number}"),
        source: source.to_owned(),
        size_bytes: 5 << 30,
        created_unix: 1_800_000_000,
        ..Snapshot::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_appliance_is_shown_and_exit_1() {
    let appliances = vec![appliance("rds1", true), appliance("rds2", false)];
    let backend = Backend::start(World { appliances, ..World::default() }).await;
    let (code, out, _) = backend.rdsctl(&["appliance", "status", "rds1"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("rds1") && out.contains("reachable"), "{out}");
    let (code, value) = backend.values(&["appliance", "status"]).await;
    assert_eq!(code, 1);
    assert_eq!((&value[0]["reachable"], &value[1]["reachable"]), (&true.into(), &false.into()));
    assert_eq!(value[0]["pools"][0]["free_bytes"], 3u64 << 40);
    let (code, out, err) = backend.rdsctl(&["appliance", "status", "unknown"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(err, "rdsctl: FAILED_PRECONDITION: no appliance unknown here\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_shows_drives_and_sensors_and_what_is_not_well_is_exit_1() {
    let health = |healthy, flagged, warning: &str| GetApplianceHealthResponse {
        name: "rds1".to_owned(),
        uptime_seconds: 93_784,
        flagged,
        pools: vec![pool(healthy)],
        drives: vec![Drive { slot: "nvme3".to_owned(), serial: "S1".to_owned(), ..Drive::default() }],
        sensors: vec![Sensor { name: "cpu-temperature".to_owned(), ..Sensor::default() }],
        commands_waiting: 3,
        warnings: if warning.is_empty() { Vec::new() } else { vec![warning.to_owned()] },
        ..GetApplianceHealthResponse::default()
    };
    for (healthy, flagged, warning, expected) in
        [(true, false, "", 0), (false, false, "", 1), (true, true, "", 1), (true, false, "nearly full", 1)]
    {
        let world = World { health: health(healthy, flagged, warning), ..World::default() };
        let backend = Backend::start(world).await;
        let (code, out, err) = backend.rdsctl(&["appliance", "health", "rds1"]).await;
        assert_eq!(code, expected, "{err}");
        assert!(
            out.contains("nvme3") && out.contains("cpu-temperature") && out.contains("1d 2h 3m"),
            "{out}"
        );
        let (code, value) = backend.values(&["appliance", "health", "rds1"]).await;
        assert_eq!((code, &value["uptime_seconds"]), (expected, &93_784.into()));
        assert_eq!((&value["flagged"], &value["commands_waiting"]), (&flagged.into(), &3.into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_of_all_appliances_are_asked_one_by_one_and_what_cannot_be_asked_is_exit_1() {
    let capacity = GetCapacityResponse {
        available_bytes: 2 << 40,
        maximum_volume_bytes: 1 << 40,
        minimum_volume_bytes: 1 << 20,
        pools: vec![pool(true)],
    };
    let appliances = vec![appliance("rds1", true), appliance("rds2", true), appliance("rds3", false)];
    let backend = Backend::start(World { appliances, capacity, ..World::default() }).await;
    let (code, out, _) = backend.rdsctl(&["appliance", "pools", "rds1"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("2.0 TiB    1.0 TiB         healthy (clean)"), "{out}");
    assert!(out.contains("rds1: 2.0 TiB available, volumes have at least 1.0 MiB"), "{out}");
    let (code, value) = backend.values(&["appliance", "pools"]).await;
    assert_eq!(code, 1);
    assert_eq!(
        (&value[1]["appliance"], &value[1]["available_bytes"]),
        (&"rds2".into(), &(2u64 << 40).into())
    );
    assert!(value[2]["problem"].as_str().unwrap().contains("no route"));
    let asked = backend.fake.asked("GetCapacity");
    assert!(asked.iter().all(|asked| !asked.contains("rds3")), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_folder_of_several_is_shown_with_the_largest_volume_it_can_take() {
    let other = Pool { directory: "/flash/volumes".to_owned(), free_bytes: 7 << 30, ..pool(true) };
    let pools = vec![pool(true), other];
    let capacity =
        GetCapacityResponse { maximum_volume_bytes: 3 << 40, pools, ..GetCapacityResponse::default() };
    let backend = Backend::start(World { capacity, ..World::default() }).await;
    let (code, value) = backend.values(&["appliance", "pools", "rds1"]).await;
    assert_eq!((code, &value[0]["maximum_volume_bytes"]), (0, &(3u64 << 40).into()));
    assert_eq!(value[0]["pools"][0]["maximum_volume_bytes"], 3u64 << 40);
    assert_eq!(value[0]["pools"][1]["maximum_volume_bytes"], 7u64 << 30);
    assert_eq!(value[0]["pools"][1]["slot"], "raid1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unhealthy_pool_is_exit_1() {
    let capacity = GetCapacityResponse { pools: vec![pool(false)], ..GetCapacityResponse::default() };
    let backend = Backend::start(World { capacity, ..World::default() }).await;
    let (code, out, _) = backend.rdsctl(&["appliance", "pools", "rds1"]).await;
    assert_eq!(code, 1);
    assert!(out.contains("UNHEALTHY (degraded)"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_volumes_is_followed_to_its_last_page_and_filtered() {
    let volumes = (0..5).map(|number| volume(number, if number % 2 == 0 { "n1" } else { "" })).collect();
    let backend = Backend::start(World { volumes, ..World::default() }).await;
    for command in [&["appliance", "volumes", "rds1"][..], &["volumes", "list", "rds1"]] {
        let (code, out, err) = backend.rdsctl(command).await;
        assert_eq!((code, out.lines().count()), (0, 6), "{out}{err}");
        let heading: Vec<&str> = out.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(
            heading,
            ["HANDLE", "SIZE", "CLASS", "EPOCH", "NODES", "CLAIM", "FORMATTED", "SOURCE", "FOLDER"]
        );
        let (_, value) = backend.values(command).await;
        assert_eq!(value.as_array().unwrap().len(), 5);
        assert_eq!((&value[4]["size_bytes"], &value[4]["epoch"]), (&(5u64 << 30).into(), &7.into()));
        assert_eq!(value[4]["access_class"], "single-node-filesystem");
        assert_eq!(value[4]["claim"]["name"], "data-4");
    }
    let asked = backend.fake.asked("ListVolumes");
    assert!(asked[0].contains("appliance: \"rds1\"") && asked[2].contains("page_token: \"4\""), "{asked:?}");
    let (_, value) = backend.values(&["volumes", "list", "--node", "n1"]).await;
    assert_eq!(value.as_array().unwrap().len(), 3);
    let (_, value) = backend.values(&["appliance", "volumes", "--claim", "demo/data-3"]).await;
    assert_eq!(value[0]["handle"], "rds1/csi-3");
    let (_, value) = backend.values(&["volumes", "list", "--claim", "demo/other"]).await;
    assert_eq!(value.as_array().unwrap().len(), 0);
    let (code, _, err) = backend.rdsctl(&["volumes", "list", "unknown"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("no appliance unknown here"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_volume_is_shown_with_all_there_is_and_a_missing_one_with_the_fault_as_it_is() {
    let backend = Backend::start(World { volumes: vec![volume(1, "n1")], ..World::default() }).await;
    let (code, out, _) = backend.rdsctl(&["volumes", "show", "rds1/csi-1"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("5.0 GiB (5368709120 bytes)") && out.contains("demo/data-1"), "{out}");
    let (_, value) = backend.values(&["volumes", "show", "rds1/csi-1"]).await;
    assert_eq!(value["attachments"][0]["node_id"], "n1");
    let (code, out, err) = backend.rdsctl(&["volumes", "show", "rds1/csi-9"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    let expected = "rdsctl: NOT_FOUND: rds1 at 10.0.0.1:22 has no volume rds1/csi-9; look for it with rdsctl volumes \
                    list\n";
    assert_eq!(err, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_listed_by_source_over_all_pages_and_shown_with_their_time() {
    let mut snapshots: Vec<Snapshot> = (0..3).map(|number| snapshot(number, "rds1/csi-1")).collect();
    snapshots.push(snapshot(9, "rds1/csi-2"));
    let backend = Backend::start(World { snapshots, ..World::default() }).await;
    for command in [&["appliance", "snapshots"][..], &["snapshots", "list"]] {
        let (code, value) = backend.values(command).await;
        assert_eq!((code, value.as_array().unwrap().len()), (0, 4));
        assert_eq!(value[0]["created"], "2027-01-15T08:00:00Z");
        let (_, value) = backend.values(&[command, &["--source", "rds1/csi-1"]].concat()).await;
        assert_eq!(value.as_array().unwrap().len(), 3);
    }
    let (code, out, _) = backend.rdsctl(&["snapshots", "list"]).await;
    assert_eq!((code, out.lines().count()), (0, 5), "{out}");
    let (code, out, _) = backend.rdsctl(&["snapshots", "show", "rds1/snp-9"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("rds1/csi-2") && out.contains("2027-01-15T08:00:00Z"), "{out}");
    let (code, _, err) = backend.rdsctl(&["snapshots", "show", "rds1/snp-x"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("NOT_FOUND: no snapshot rds1/snp-x"), "{err}");
}
