//! The chart before a real API server: it accepts every object, and its accounts may do what docs/security.md says.

use std::collections::BTreeMap;

use chart::rights::{EVERYWHERE, OWN_NAMESPACE, Rights, documented, listed};
use chart::{RELEASE, Rendering, component, in_tree, yaml_files};
use cluster::{Cluster, TOOLS, tools};
use serde_json::Value;

const ELSEWHERE: &str = "elsewhere";

fn everything_is_there(test: &str, proves: &str) -> bool {
    let all: Vec<&str> = TOOLS.into_iter().chain(["helm"]).collect();
    tools::needs(&all, test, proves)
}

fn start() -> Cluster {
    let cluster = Cluster::start().expect("a cluster");
    for namespace in [RELEASE, ELSEWHERE, "monitoring"] {
        cluster.kubectl(&["create", "namespace", namespace], None).expect("a namespace");
    }
    cluster
}

fn as_list(objects: &[&Value]) -> String {
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

fn of_rbac(rendering: &Rendering) -> Vec<&Value> {
    let kinds = ["ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"];
    rendering.objects.iter().filter(|object| kinds.iter().any(|kind| object["kind"] == *kind)).collect()
}

#[test]
fn a_real_api_server_accepts_every_object_of_every_rendering_and_knows_each_field() {
    if !everything_is_there("server-side dry run", "that an API server accepts the chart's objects") {
        return;
    }
    let cluster = start();
    for (name, file) in yaml_files("tests/chart/crds").expect("CRDs") {
        let applied = cluster.kubectl(&["apply", "-f", &file.display().to_string()], None);
        applied.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let served = ["wait", "--for=condition=Established", "--all", "--timeout=60s", "crd"];
    cluster.kubectl(&served, None).expect("the CRDs are served");
    let mut refused = Vec::new();
    for rendering in Rendering::all().expect("renderings") {
        // Pods name their account, and admission looks whether it is there.
        let accounts: Vec<&Value> = rendering.of_kind("ServiceAccount").collect();
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        cluster.kubectl(&apply, Some(&as_list(&accounts))).expect("accounts");
        cluster
            .kubectl(&apply, Some(&default_account(RELEASE)))
            .expect("the account that a controller would make");
        let objects: Vec<&Value> = rendering.objects.iter().collect();
        let dry = [
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            "--force-conflicts",
            "-f",
            "-",
        ];
        match cluster.kubectl(&dry, Some(&as_list(&objects))) {
            Err(error) => refused.push(format!("{}: {error}", rendering.set)),
            Ok(said) => assert_eq!(said.lines().count(), objects.len(), "{}: {said}", rendering.set),
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

fn default_account(namespace: &str) -> String {
    format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: default, namespace: {namespace}}}}}")
}

/// What `account` of the release's namespace may do: everywhere, and in its own namespace only.
fn rights(cluster: &Cluster, account: &str) -> Rights {
    let ask = |namespace: &str, scope: &str| {
        let review = format!(
            "{{apiVersion: authorization.k8s.io/v1, kind: SelfSubjectRulesReview, spec: {{namespace: {namespace}}}}}"
        );
        let who = format!("--as=system:serviceaccount:{RELEASE}:{account}");
        // To check the fields kubectl would read what this account may not.
        let create = ["create", "--validate=false", "-f", "-", "-o", "json", &who];
        let said = cluster.kubectl(&create, Some(&review)).expect("a review");
        listed(&said, scope).expect("a review that can be read")
    };
    let everywhere = ask(ELSEWHERE, EVERYWHERE);
    let own = ask(RELEASE, OWN_NAMESPACE);
    let also_there = |right: &String| everywhere.contains(&right.replace(OWN_NAMESPACE, EVERYWHERE));
    let only_own: Vec<String> = own.into_iter().filter(|right| !also_there(right)).collect();
    everywhere.into_iter().chain(only_own).collect()
}

/// What an operator would ask: `kubectl auth can-i` answers yes for each line of the table, and no for what would hurt.
fn can_i_says_the_same(cluster: &Cluster, page: &str) {
    let rendering =
        Rendering::all().expect("renderings").into_iter().find(|rendering| rendering.set == "minimal");
    let rendering = rendering.expect("the set minimal");
    cluster.kubectl(&["apply", "-f", "-"], Some(&as_list(&of_rbac(&rendering)))).expect("RBAC objects");
    let can = |account: &str, question: &[&str]| {
        let who = format!("--as=system:serviceaccount:{RELEASE}:{account}");
        cluster.kubectl(&[&["auth", "can-i"], question, &[who.as_str()]].concat(), None).is_ok()
    };
    for account in rendering.of_kind("ServiceAccount") {
        let name = account["metadata"]["name"].as_str().expect("a name");
        let rights = documented(page, component(account));
        for right in &rights {
            let question = question(right, name.trim_end_matches(component(account)));
            assert!(
                can(name, &question.iter().map(String::as_str).collect::<Vec<_>>()),
                "{name} may not {right}"
            );
        }
        for (verb, resource) in [
            ("get", "secrets"),
            ("create", "pods"),
            ("patch", "nodes"),
            ("delete", "events"),
            ("escalate", "clusterroles"),
        ] {
            for namespace in [RELEASE, ELSEWHERE] {
                assert!(
                    !can(name, &[verb, resource, "-n", namespace]),
                    "{name} may {verb} {resource} in {namespace}"
                );
            }
        }
    }
}

/// A right as the arguments of `kubectl auth can-i`.
fn question(right: &str, prefix: &str) -> Vec<String> {
    let (what, scope) = right.trim_end_matches(')').split_once(" (").expect("a scope");
    let mut words = what.split(' ');
    let (verb, resource) = (words.next().expect("a verb"), words.next().expect("a resource"));
    let namespace = if scope == OWN_NAMESPACE { RELEASE } else { ELSEWHERE };
    let mut question = vec![verb.to_owned(), "-n".to_owned(), namespace.to_owned()];
    let resource = match resource.split_once('/') {
        None => resource.to_owned(),
        Some((resource, rest)) => {
            let (subresource, group) = rest.split_once('.').map_or((rest, ""), |(sub, group)| (sub, group));
            question.push(format!("--subresource={subresource}"));
            [resource, group].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
        }
    };
    let name = words.next().map(|name| format!("/{}", name.replace("RELEASE-", prefix))).unwrap_or_default();
    question.push(resource + &name);
    question
}

#[test]
fn every_account_may_do_what_the_security_page_says_and_nothing_more() {
    if !everything_is_there("rights", "that accounts may do what docs/security.md says, and nothing more") {
        return;
    }
    let page = std::fs::read_to_string(in_tree("docs/security.md")).expect("docs/security.md");
    let cluster = start();
    let anybody = rights(&cluster, "nobody");
    let mut seen = BTreeMap::<String, Rights>::new();
    for rendering in Rendering::all().expect("renderings") {
        let objects = as_list(&of_rbac(&rendering));
        cluster.kubectl(&["apply", "-f", "-"], Some(&objects)).expect("RBAC objects");
        for account in rendering.of_kind("ServiceAccount") {
            let name = account["metadata"]["name"].as_str().expect("a name");
            let prefix = name.trim_end_matches(component(account));
            let may: Rights = rights(&cluster, name)
                .difference(&anybody)
                .map(|right| right.replace(prefix, "RELEASE-"))
                .collect();
            let table = documented(&page, component(account));
            let more: Vec<&String> = may.difference(&table).collect();
            assert!(more.is_empty(), "{}: {name} may do more than the table says: {more:#?}", rendering.set);
            seen.entry(component(account).to_owned()).or_default().extend(may);
        }
        cluster.kubectl(&["delete", "-f", "-"], Some(&objects)).expect("RBAC objects go again");
    }
    can_i_says_the_same(&cluster, &page);
    for (name, may) in &seen {
        let table = documented(&page, name);
        let less: Vec<&String> = table.difference(may).collect();
        assert!(less.is_empty(), "docs/security.md gives {name} what it never has: {less:#?}");
        assert!(page.contains(&format!("| `{name}` |")), "docs/security.md does not name {name}");
    }
    let named = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for name in named {
        assert!(seen.contains_key(name), "docs/security.md names {name}, which does not exist");
    }
}
