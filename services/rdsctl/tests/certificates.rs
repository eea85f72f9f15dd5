//! Certificates and the question before an uninstallation, against a real API server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::{Command, Output};

use cluster::{Cluster, TOOLS, tools};
use serde_json::Value;

const PROVES: &str = "what rdsctl does to a real cluster";
const ROLES: [&str; 5] = ["csi-front", "rds-backend", "nvme-agent", "event-relay", "rdsctl"];

fn rdsctl(cluster: &Cluster, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_rdsctl"))
        .args(arguments)
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .output();
    output.unwrap()
}

fn ensure(cluster: &Cluster, more: &[&str]) -> Output {
    let arguments = ["certificates", "ensure", "--namespace=rds-csi", "--secret-prefix=rds", "--output=json"];
    rdsctl(cluster, &[&arguments, more].concat())
}

/// What was done, per secret.
fn actions(output: &Output) -> Vec<(String, String)> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let done: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let part = |done: &Value, key: &str| done[key].as_str().unwrap().to_owned();
    done.iter().map(|done| (part(done, "secret"), part(done, "action"))).collect()
}

fn all(action: &str) -> Vec<(String, String)> {
    let roles = ROLES.iter().map(|role| format!("rds-{role}-tls"));
    std::iter::once("rds-ca".to_owned()).chain(roles).map(|name| (name, action.to_owned())).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn secret(cluster: &Cluster, name: &str) -> Value {
    let found = cluster.kubectl(&["get", "secret", "-n", "rds-csi", name, "-o", "json"], None).unwrap();
    serde_json::from_str(&found).unwrap()
}

#[test]
fn certificates_are_made_once_kept_renewed_and_never_taken_from_somebody_else() {
    if !tools::needs(&TOOLS, "certificates in a cluster", PROVES) {
        return;
    }
    let cluster = Cluster::start().unwrap();
    cluster.kubectl(&["create", "namespace", "rds-csi"], None).unwrap();

    assert_eq!(actions(&ensure(&cluster, &[])), all("made"));
    let before = secret(&cluster, "rds-rds-backend-tls");
    assert_eq!(before["type"], "kubernetes.io/tls");
    assert_eq!(before["data"].as_object().unwrap().len(), 3, "tls.crt, tls.key, ca.crt");
    assert_eq!(actions(&ensure(&cluster, &[])), all("kept"));
    assert_eq!(secret(&cluster, "rds-rds-backend-tls"), before, "kept means untouched");

    // One that is gone is made again, and the others are left alone.
    cluster.kubectl(&["delete", "secret", "-n", "rds-csi", "rds-nvme-agent-tls"], None).unwrap();
    let done = actions(&ensure(&cluster, &[]));
    assert_eq!(done.iter().filter(|(_, action)| action == "made").count(), 1, "{done:?}");

    let renewed = actions(&ensure(&cluster, &["--renew-ca"]));
    assert_eq!(renewed, all("renewed"));
    assert_ne!(secret(&cluster, "rds-rds-backend-tls")["data"]["ca.crt"], before["data"]["ca.crt"]);

    // A secret of somebody else stops everything, before anything is changed.
    cluster
        .kubectl(&["delete", "secret", "-n", "rds-csi", "rds-csi-front-tls", "rds-rdsctl-tls"], None)
        .unwrap();
    let foreign =
        ["create", "secret", "generic", "-n", "rds-csi", "rds-rdsctl-tls", "--from-literal=tls.crt=theirs"];
    cluster.kubectl(&foreign, None).unwrap();
    let refused = ensure(&cluster, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let why = text(&refused.stderr);
    assert!(why.contains("nothing was changed") && why.contains("rds-rdsctl-tls"), "{why}");
    assert!(cluster.kubectl(&["get", "secret", "-n", "rds-csi", "rds-csi-front-tls"], None).is_err());
}

#[test]
fn several_at_once_make_one_authority() {
    if !tools::needs(&TOOLS, "certificates made by several at once", PROVES) {
        return;
    }
    let cluster = Cluster::start().unwrap();
    cluster.kubectl(&["create", "namespace", "rds-csi"], None).unwrap();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|_| scope.spawn(|| ensure(&cluster, &[]))).collect();
        for one in running {
            actions(&one.join().unwrap());
        }
    });
    let authority = secret(&cluster, "rds-ca")["data"]["tls.crt"].clone();
    for role in ROLES {
        assert_eq!(secret(&cluster, &format!("rds-{role}-tls"))["data"]["ca.crt"], authority, "{role}");
    }
    assert_eq!(actions(&ensure(&cluster, &[])), all("kept"));
}

#[test]
fn an_uninstallation_is_refused_while_volumes_exist_and_they_are_named() {
    if !tools::needs(&TOOLS, "the check before an uninstallation", PROVES) {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let check = || rdsctl(&cluster, &["uninstall", "check", "--driver-name=rds.csi.srvlab.io"]);
    assert!(check().status.success());
    let volume = |name: &str, driver: &str| {
        let manifest = format!(
            "{{apiVersion: v1, kind: PersistentVolume, metadata: {{name: {name}}}, spec: {{capacity: {{storage: 1Gi}}, \
             accessModes: [ReadWriteOnce], csi: {{driver: {driver}, volumeHandle: {name}}}, \
             claimRef: {{namespace: demo, name: data}}}}}}"
        );
        cluster.kubectl(&["create", "-f", "-"], Some(&manifest)).unwrap();
    };
    volume("somebody-elses", "other.example.org");
    assert!(check().status.success(), "another driver's volumes are no reason");
    volume("pv-1", "rds.csi.srvlab.io");
    let refused = check();
    assert_eq!(refused.status.code(), Some(1));
    let why = text(&refused.stderr);
    assert!(why.contains("pv-1 (claim demo/data)") && !why.contains("somebody-elses"), "{why}");
}
