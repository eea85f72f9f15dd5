//! Pages that are made from the chart and the programs: the chart's README and docs/configuration.md.

use std::fmt::Write as _;

use chart::options::{PROGRAMS, of_program};
use chart::values::entries;
use chart::{hold, in_tree};

/// What values mean that several components have.
const OF_COMPONENTS: [(&str, &str); 24] = [
    ("image", "`registry`, `repository`, `tag`, `digest`, `pullPolicy`: each instead of that of all images."),
    ("requests", "What the scheduler sets aside."),
    ("limits", "What the container may use at most."),
    ("podAnnotations", "Annotations for the pods."),
    ("podLabels", "Labels for the pods."),
    ("nodeSelector", "Which nodes pods may run on."),
    ("tolerations", "Taints that pods tolerate."),
    ("affinity", "Affinity of the pods. Empty: replicas prefer different nodes."),
    ("topologySpreadConstraints", "How replicas are spread."),
    ("priorityClassName", "Priority of the pods."),
    ("podSecurityContext", "Security context of the pods."),
    ("securityContext", "Security context of the container."),
    ("extraArgs", "Further arguments."),
    ("extraEnv", "Further environment."),
    ("extraVolumes", "Further volumes of the pods."),
    ("extraVolumeMounts", "Further mounts of the container."),
    ("updateStrategy", "How pods are replaced."),
    ("terminationGracePeriodSeconds", "How long pods get to end; calls in flight get 15 s less."),
    ("podDisruptionBudget", "PodDisruptionBudget while there are several replicas."),
    ("labels", "Labels for the object."),
    ("interval", "How often metrics are read."),
    ("replicas", "Replicas."),
    ("digest", "Digest; it wins over the tag."),
    ("annotations", "Annotations for the object."),
];

const README: &str = "# rds-csi

The Helm chart of the driver. Three values suffice: the appliance's address, its host key, and the secret with the SSH key.

```sh
kubectl create namespace rds-csi
kubectl create secret generic rds-ssh --namespace rds-csi --from-file=id_ed25519
helm install rds-csi charts/rds-csi --namespace rds-csi \\
  --set 'appliances[0].address=10.0.0.1' \\
  --set 'appliances[0].hostKey=SHA256:…' \\
  --set sshKey.secretName=rds-ssh
helm test rds-csi --namespace rds-csi
```

Who may do what: [docs/security.md](../../docs/security.md). What the values become in the programs:
[docs/configuration.md](../../docs/configuration.md). Wrong and unknown values are refused by the chart's schema.

This page is made from `values.yaml` (`UPDATE_DOCS=1 cargo test -p chart`).

## Values

| value | default | meaning |
|---|---|---|
";

const CONFIGURATION: &str = "# Configuration

Every program takes its options from the command line or from the environment; the chart uses the environment
([its values](../charts/rds-csi/README.md)). `NAME --help` says the same as this page, which is made from the sources
(`UPDATE_DOCS=1 cargo test -p chart`).
";

/// Text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn every_value_is_explained_and_the_chart_s_page_lists_it() {
    let text = std::fs::read_to_string(in_tree("charts/rds-csi/values.yaml")).expect("values.yaml");
    let mut page = README.to_owned();
    let entries = entries(&text);
    assert!(entries.len() > 50, "only {} values were found", entries.len());
    for entry in entries {
        let key = entry.path.rsplit('.').next().unwrap_or_default();
        let common = OF_COMPONENTS.iter().find(|(name, _)| *name == key).map(|(_, about)| *about);
        let own = Some(entry.about.as_str())
            .filter(|about| !about.is_empty() && !about.contains("Settings of every"));
        let about =
            own.or(common).unwrap_or_else(|| panic!("values.yaml: no comment `# -- …` above {}", entry.path));
        let _ = writeln!(page, "| `{}` | `{}` | {} |", entry.path, cell(&entry.default), cell(about));
    }
    hold("charts/rds-csi/README.md", &page, "UPDATE_DOCS").unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn every_option_is_explained_and_the_page_of_options_lists_it() {
    let mut page = CONFIGURATION.to_owned();
    for (program, _) in PROGRAMS {
        let _ =
            write!(page, "\n## {program}\n\n| variable | option | default | meaning |\n|---|---|---|---|\n");
        for option in of_program(program).expect("options") {
            assert!(!option.about.is_empty(), "{program} {}: says nothing about itself", option.flag);
            let default = option.default.map(|text| format!("`{}`", cell(&text))).unwrap_or_default();
            let about = cell(&option.about);
            let _ = writeln!(page, "| `{}` | `{}` | {default} | {about} |", option.variable, option.flag);
        }
    }
    hold("docs/configuration.md", &page, "UPDATE_DOCS").unwrap_or_else(|error| panic!("{error}"));
}
