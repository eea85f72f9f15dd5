//! What holds for every rendering.

use chart::{Pod, Rendering, component, items};
use serde_json::Value;

/// Every rendering, or none where helm is missing.
fn renderings(law: &str) -> Vec<Rendering> {
    if !cluster::tools::needs(&["helm"], law, "a law of the chart") {
        return Vec::new();
    }
    let all = Rendering::all().expect("renderings");
    assert!(!all.is_empty(), "no value sets");
    all
}

/// Calls `check` for every container of every rendering.
fn every_container(law: &str, check: impl Fn(&str, Pod<'_>, &Value)) {
    for rendering in renderings(law) {
        let pods = rendering.pods();
        assert!(pods.len() >= 5, "{}: {} pods", rendering.set, pods.len());
        for pod in pods {
            for container in pod.containers() {
                let place = format!("{}: {}/{}", rendering.set, pod.component, container["name"]);
                check(&place, pod, container);
            }
        }
    }
}

#[test]
fn only_nvme_agent_is_privileged_and_sees_the_node_s_network_and_processes() {
    every_container("only nvme-agent is privileged", |place, pod, container| {
        let context = &container["securityContext"];
        let agent = pod.component == "nvme-agent";
        assert_eq!(context["privileged"] == true, agent, "{place}");
        assert_eq!(pod.spec["hostNetwork"] == true, agent, "{place}");
        assert_eq!(pod.spec["hostPID"] == true, agent, "{place}");
        assert!(pod.spec["hostIPC"] != true, "{place}");
        if !agent {
            assert_eq!(context["allowPrivilegeEscalation"], false, "{place}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{place}");
            assert!(context["capabilities"]["add"].is_null(), "{place}");
        }
    });
}

#[test]
fn only_the_pods_of_nodes_run_as_root_and_mount_folders_of_the_node() {
    every_container("only pods of nodes run as root", |place, pod, _| {
        if ["nvme-agent", "csi-front-node"].contains(&pod.component) {
            return;
        }
        assert_eq!(pod.spec["securityContext"]["runAsNonRoot"], true, "{place}");
        assert!(items(&pod.spec["volumes"]).all(|volume| volume["hostPath"].is_null()), "{place}");
    });
}

#[test]
fn every_scrape_keeps_the_services_own_labels_and_names_the_node_as_the_alerts_expect() {
    for rendering in renderings("scrapes as the alerts expect them") {
        let services = rendering.of_kind("ServiceMonitor").map(|monitor| &monitor["spec"]["endpoints"]);
        let pods = rendering.of_kind("PodMonitor").map(|monitor| &monitor["spec"]["podMetricsEndpoints"]);
        for endpoint in services.chain(pods).flat_map(items) {
            assert_eq!(endpoint["honorLabels"], true, "{}: {endpoint}", rendering.set);
            let node = items(&endpoint["relabelings"]).any(|relabeling| relabeling["targetLabel"] == "node");
            assert!(node, "{}: {endpoint}", rendering.set);
        }
    }
}

#[test]
fn whoever_is_not_root_can_read_the_secrets_that_are_mounted_for_it() {
    every_container("secrets can be read", |place, pod, _| {
        let context = &pod.spec["securityContext"];
        let files = items(&pod.spec["volumes"])
            .any(|volume| !volume["secret"].is_null() || !volume["projected"].is_null());
        // Where the platform chooses the user, it chooses the group of the files too.
        let chosen_by_us = context["runAsUser"].as_u64().is_some_and(|user| user != 0);
        if files && chosen_by_us {
            assert_eq!(context["fsGroup"], context["runAsGroup"], "{place}");
            assert!(context["fsGroup"].is_u64(), "{place}");
        }
    });
}

#[test]
fn only_rds_backend_mounts_the_ssh_key() {
    every_container("only rds-backend mounts the SSH key", |place, pod, container| {
        let secrets = items(&pod.spec["volumes"])
            .filter(|volume| !volume["secret"].is_null() || !volume["projected"].is_null())
            .map(|volume| volume["name"].as_str().unwrap_or_default());
        // Certificates and the token of the pod's account are the only secrets beside the key.
        let others: Vec<&str> = secrets.filter(|name| !["tls", "token"].contains(name)).collect();
        let wanted: &[&str] = if pod.component == "rds-backend" { &["ssh-key"] } else { &[] };
        assert_eq!(others, wanted, "{place}");
        for variable in items(&container["env"]) {
            assert!(variable["valueFrom"]["secretKeyRef"].is_null(), "{place}: {variable}");
        }
        assert!(items(&container["envFrom"]).next().is_none(), "{place}");
    });
}

#[test]
fn only_event_relay_may_write_events_and_the_sidecars_with_what_they_have_to_say_themselves() {
    for rendering in renderings("only event-relay may write Events") {
        let roles = ["Role", "ClusterRole"].into_iter().flat_map(|kind| rendering.of_kind(kind));
        let mut writers: Vec<&str> =
            roles.filter(|role| items(&role["rules"]).any(may_write_events)).map(component).collect();
        writers.sort_unstable();
        assert_eq!(writers, ["csi-front-controller", "event-relay"], "{}", rendering.set);
    }
}

fn may_write_events(rule: &Value) -> bool {
    let names =
        |list: &str, wanted: &[&str]| items(&rule[list]).any(|item| wanted.iter().any(|name| item == name));
    names("resources", &["events", "*"]) && names("verbs", &["create", "update", "patch", "delete", "*"])
}

#[test]
fn csi_front_never_sees_the_token_that_its_sidecars_use() {
    every_container("csi-front sees no token", |place, pod, container| {
        let mounts = items(&container["volumeMounts"]).any(|mount| mount["name"] == "token");
        let name = container["name"].as_str().unwrap_or_default();
        let sidecar = pod.component == "csi-front-controller" && name != "csi-front";
        assert_eq!(mounts, sidecar, "{place}");
    });
}

#[test]
fn a_pod_has_a_token_only_where_its_account_may_do_something() {
    for rendering in renderings("no token where none is needed") {
        let bound: Vec<&str> = ["RoleBinding", "ClusterRoleBinding"]
            .into_iter()
            .flat_map(|kind| rendering.of_kind(kind))
            .flat_map(|binding| items(&binding["subjects"]))
            .filter_map(|subject| subject["name"].as_str())
            .collect();
        for account in rendering.of_kind("ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false, "{}: {account}", rendering.set);
        }
        for pod in rendering.pods() {
            let place = format!("{}: {}", rendering.set, pod.component);
            let token = &pod.spec["automountServiceAccountToken"];
            assert!(token.is_boolean(), "{place}: says nothing about the token");
            let account = pod.spec["serviceAccountName"].as_str().unwrap_or("default");
            assert!(token == false || bound.contains(&account), "{place}: {account} may do nothing");
        }
    }
}

#[test]
fn every_container_has_requests_a_memory_limit_and_a_read_only_root() {
    every_container("limits and read-only root", |place, pod, container| {
        let resources = &container["resources"];
        for (kind, what) in [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")] {
            assert!(!resources[kind][what].is_null(), "{place}: no {kind}.{what}");
        }
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{place}");
        let seccomp = &pod.spec["securityContext"]["seccompProfile"]["type"];
        assert_eq!(seccomp, "RuntimeDefault", "{place}");
        assert!(container["securityContext"]["seccompProfile"].is_null(), "{place}: another seccomp profile");
    });
}

#[test]
fn every_long_running_container_has_probes() {
    every_container("probes", |place, pod, container| {
        if !pod.long_running {
            return;
        }
        assert!(!container["livenessProbe"].is_null(), "{place}: no livenessProbe");
        let ours = !container["name"].as_str().unwrap_or_default().contains("csi-")
            || container["name"] == "csi-front";
        if ours && container["name"] != "node-driver-registrar" {
            assert!(!container["readinessProbe"].is_null(), "{place}: no readinessProbe");
            assert!(!container["startupProbe"].is_null(), "{place}: no startupProbe");
        }
    });
}

#[test]
fn every_image_has_a_tag_or_a_digest() {
    every_container("images", |place, _, container| {
        let image = container["image"].as_str().unwrap_or_default();
        let name = image.rsplit('/').next().unwrap_or_default();
        let pinned =
            name.contains("@sha256:") || name.split_once(':').is_some_and(|(_, tag)| !tag.is_empty());
        assert!(pinned && !name.ends_with(":latest"), "{place}: {image}");
    });
}

#[test]
fn nothing_is_rendered_for_snapshots_which_csi_front_does_not_advertise() {
    for rendering in renderings("nothing for snapshots") {
        for object in &rendering.objects {
            let group = object["apiVersion"].as_str().unwrap_or_default();
            assert!(!group.contains("snapshot"), "{}: {}", rendering.set, object["kind"]);
        }
        for pod in rendering.pods() {
            for container in pod.containers() {
                let image = container["image"].as_str().unwrap_or_default();
                assert!(!image.contains("snapshot"), "{}: {image}", rendering.set);
            }
        }
    }
}

#[test]
fn rds_backend_is_one_and_ends_before_the_next_begins() {
    for rendering in renderings("one backend") {
        let mut backends =
            rendering.of_kind("Deployment").filter(|object| component(object) == "rds-backend");
        let backend = backends.next().expect("a backend");
        assert_eq!(backend["spec"]["replicas"], 1, "{}", rendering.set);
        assert_eq!(backend["spec"]["strategy"]["type"], "Recreate", "{}", rendering.set);
        assert!(backends.next().is_none(), "{}", rendering.set);
    }
}
