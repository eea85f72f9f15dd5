use std::path::Path;

use super::*;
use crate::config::KernelConfig;
use crate::paths::KubeletDir;

pub(crate) const HANDLE: &str = "rds1/csi-00112233445566778899aabbccdd";
const PREFIX: &str = "nqn.2026-09.io.srvlab:rds";

pub(crate) fn message(epoch: u64) -> pb::Connection {
    let host_id = "7b0ff6b0-8a3f-5d51-a4fd-3a1d0b3fbb10";
    pb::Connection {
        nqn: format!("{PREFIX}:csi-00112233445566778899aabbccdd.e{epoch}"),
        addresses: vec!["127.0.0.1:4420".to_owned()],
        epoch,
        host_nqn: format!("nqn.2014-08.org.nvmexpress:uuid:{host_id}"),
        host_id: host_id.to_owned(),
        size_bytes: 1 << 30,
        read_only: false,
        tuning: None,
    }
}

pub(crate) fn connection(epoch: u64) -> Connection {
    let folder = tempfile::tempdir().expect("a folder");
    let handle = existing(HANDLE).expect("a handle");
    super::connection(&config(folder.path()), &handle, Some(message(epoch))).expect("a connection")
}

pub(crate) fn config(kubelet: &Path) -> Config {
    Config {
        listen: "unix:///run/x.sock".parse().expect("a socket"),
        admin_listen: "127.0.0.1:0".parse().expect("an address"),
        tls: None,
        grace: std::time::Duration::from_secs(1),
        node_name: "node-a".to_owned(),
        node_id: proto::id::NodeId::issue("node-a").expect("an id"),
        kernel: KernelConfig::Linux,
        state_dir: kubelet.join("state"),
        kubelet: KubeletDir::open(kubelet).expect("a folder"),
        nqn_prefixes: vec![PREFIX.parse().expect("a prefix")],
        allowed: vec!["127.0.0.1:4420".parse().expect("an entry")],
        backend: "unix:///run/backend.sock".parse().expect("an endpoint"),
        relay: None,
        max_volumes: 0,
        appliances: std::collections::BTreeMap::new(),
    }
}

fn request(kubelet: &Path) -> pb::EnsureStagedRequest {
    let filesystem = pb::Filesystem { r#type: "xfs".to_owned(), ..pb::Filesystem::default() };
    pb::EnsureStagedRequest {
        handle: HANDLE.to_owned(),
        staging_path: kubelet.join("staging").display().to_string(),
        connection: Some(message(3)),
        access: Some(pb::Access { kind: Some(pb::access::Kind::Filesystem(filesystem)) }),
        claim: None,
    }
}

/// What is said about a request that was changed by `change`.
fn refused(change: impl FnOnce(&mut pb::EnsureStagedRequest)) -> Fault {
    let folder = tempfile::tempdir().expect("a folder");
    let mut request = request(folder.path());
    change(&mut request);
    let fault = stage(&config(folder.path()), request).expect_err("refused");
    assert!(fault.settled, "nothing was touched");
    fault
}

fn connection_of(request: &mut pb::EnsureStagedRequest) -> &mut pb::Connection {
    request.connection.as_mut().expect("there")
}

#[test]
fn a_correct_request_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let stage = stage(&config(folder.path()), request(folder.path())).expect("correct");
    assert_eq!(stage.connection.epoch.number(), 3);
    assert!(!stage.read_only());
}

#[test]
fn a_name_of_another_volume_epoch_or_prefix_is_refused_with_what_is_allowed() {
    let names: [fn(&mut pb::Connection); 4] = [
        |c| c.nqn = c.nqn.replace(".e3", ".e2"),
        |c| c.nqn = c.nqn.replace("csi-0011", "csi-0012"),
        |c| c.nqn = c.nqn.replace("srvlab", "example"),
        |c| c.epoch = 4,
    ];
    for change in names {
        let fault = refused(|request| change(connection_of(request)));
        assert!(
            fault.message.contains("connection.nqn") && fault.message.contains("allowed is"),
            "{}",
            fault.message
        );
    }
}

#[test]
fn an_address_that_is_not_in_the_list_is_refused_with_the_list() {
    for address in ["10.0.0.1:4420", "127.0.0.1:22", "rds1:4420", ""] {
        let fault = refused(|request| connection_of(request).addresses.push(address.to_owned()));
        assert!(fault.message.contains("connection.addresses"), "{}", fault.message);
    }
    assert!(refused(|request| connection_of(request).addresses.clear()).message.contains("1 to 16"));
}

#[test]
fn every_missing_or_malformed_field_is_named() {
    type Change = fn(&mut pb::EnsureStagedRequest);
    let changes: [(&str, Change); 7] = [
        ("handle", |r| r.handle = String::new()),
        ("staging_path", |r| r.staging_path = "/etc".to_owned()),
        ("connection", |r| r.connection = None),
        ("connection.epoch", |r| connection_of(r).epoch = 0),
        ("connection.host_id", |r| connection_of(r).host_id = "x".to_owned()),
        ("connection.host_nqn", |r| connection_of(r).host_nqn = "x".to_owned()),
        ("access", |r| r.access = None),
    ];
    for (field, change) in changes {
        let fault = refused(change);
        assert_eq!(fault.reason, Reason::InvalidArgument);
        assert!(fault.message.starts_with(&format!("{field}:")), "{field}: {}", fault.message);
    }
}

#[test]
fn an_id_that_was_never_issued_names_no_volume() {
    assert_eq!(refused(|r| r.handle = "fake-vol-id".to_owned()).reason, Reason::VolumeNotFound);
    let legacy = "pvc-8f6a1c1e-5ac4-4c5c-9c07-0c5b6e4bd0a1";
    assert_eq!(refused(|r| r.handle = legacy.to_owned()).reason, Reason::NotOurs);
}

#[test]
fn a_limit_below_the_required_size_is_refused() {
    let request = pb::ExpandRequest { required_bytes: 10, limit_bytes: 5, ..pb::ExpandRequest::default() };
    assert!(range(&request).is_err());
}
