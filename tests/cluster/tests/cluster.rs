//! The cluster against what its users rely on.

use cluster::{Cluster, TOOLS, tools};

#[test]
fn a_cluster_stores_refuses_and_authorizes_as_a_real_one_and_leaves_nothing_behind() {
    let proves = "that tests meet a real API server";
    if !tools::needs(&TOOLS, "a cluster stores, refuses and authorizes", proves) {
        return;
    }
    let cluster = Cluster::start().expect("a cluster");
    cluster.kubectl(&["create", "namespace", "here"], None).expect("a namespace");
    let good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: here}\ndata: {key: value}\n";
    cluster.kubectl(&["apply", "-f", "-"], Some(good)).expect("a good object is stored");
    let read = ["get", "configmap", "a", "-n", "here", "-o", "jsonpath={.data.key}"];
    assert_eq!(cluster.kubectl(&read, None).expect("the object"), "value");
    let bad = good.replace("name: a", "name: A_B");
    let refused = cluster.kubectl(&["apply", "-f", "-"], Some(&bad)).expect_err("a bad name");
    assert!(refused.to_string().contains("Invalid value"), "{refused}");
    let nobody = ["get", "configmap", "a", "-n", "here", "--as=system:serviceaccount:here:nobody"];
    let refused = cluster.kubectl(&nobody, None).expect_err("nobody may");
    assert!(refused.to_string().contains("forbidden"), "{refused}");
    let folder = cluster.kubeconfig();
    drop(cluster);
    assert!(!folder.exists());
}
