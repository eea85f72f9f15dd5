//! The chart as its tests see it: value sets, what helm renders from them, and files that are compared or rewritten.
//!
//! Helm comes from `tests/tools`. Every rendering is made for one version of Kubernetes, so that it depends on nothing
//! but the chart and the values. Failure is an error with helm's own words.

pub mod options;
pub mod rights;
pub mod values;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Release and namespace of every rendering.
pub const RELEASE: &str = "rds-csi";
/// The Kubernetes that is rendered for: that of the API server in `tests/tools`.
const KUBERNETES: &str = "1.35.4";

/// A file or folder below the repository's root.
pub fn in_tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The files of `folder` that end in `.yaml`, by name without the ending, sorted.
pub fn yaml_files(folder: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(in_tree(folder)).with_context(|| format!("no folder {folder}"))? {
        let path = entry.context("a folder cannot be read")?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            found.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// What helm prints for `verb` (`lint`, `template`) with these values; the error is what it complains of.
pub fn helm(verb: &str, values: &Path) -> Result<String> {
    let chart = in_tree("charts/rds-csi");
    let mut command = Command::new(cluster::tools::find("helm")?);
    command.arg(verb);
    if verb == "template" {
        command.args([RELEASE, "--namespace", RELEASE]);
    }
    let output = command
        .arg(&chart)
        .args(["--kube-version", KUBERNETES, "--values"])
        .arg(values)
        .output()
        .context("helm cannot be started")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        bail!("helm {verb} {}: {}{}", values.display(), text(&output.stdout), text(&output.stderr));
    }
    Ok(text(&output.stdout))
}

/// A value set and everything helm renders from it.
#[derive(Debug)]
pub struct Rendering {
    /// Name of the set.
    pub set: String,
    /// As helm wrote it.
    pub text: String,
    /// Its objects, hooks included.
    pub objects: Vec<Value>,
}

impl Rendering {
    /// Renders every set of `tests/chart/values`.
    pub fn all() -> Result<Vec<Self>> {
        let sets = yaml_files("tests/chart/values")?;
        sets.into_iter()
            .map(|(set, values)| {
                let text = helm("template", &values)?;
                let objects: Vec<Option<Value>> =
                    serde_saphyr::from_multiple(&text).with_context(|| format!("{set} is not YAML"))?;
                Ok(Self { set, text, objects: objects.into_iter().flatten().collect() })
            })
            .collect()
    }

    /// The objects of one kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// Every pod: the component its object belongs to, and its spec.
    pub fn pods(&self) -> Vec<Pod<'_>> {
        let spec = |object: &'_ Value| {
            let template = match object["kind"].as_str().unwrap_or_default() {
                "Deployment" | "DaemonSet" | "StatefulSet" | "Job" => "/spec/template/spec",
                "CronJob" => "/spec/jobTemplate/spec/template/spec",
                "Pod" => "/spec",
                _ => return None,
            };
            Some(template)
        };
        let pods = self.objects.iter().filter_map(|object| {
            let spec = object.pointer(spec(object)?)?;
            let long_running = matches!(object["kind"].as_str(), Some("Deployment" | "DaemonSet"));
            Some(Pod { component: component(object), long_running, spec })
        });
        pods.collect()
    }
}

/// A pod that an object of a rendering makes.
#[derive(Debug, Clone, Copy)]
pub struct Pod<'a> {
    /// `app.kubernetes.io/component` of the object.
    pub component: &'a str,
    /// False for jobs and the chart's test.
    pub long_running: bool,
    /// The pod's spec.
    pub spec: &'a Value,
}

impl<'a> Pod<'a> {
    /// Its containers, init containers included.
    pub fn containers(&self) -> impl Iterator<Item = &'a Value> {
        let spec = self.spec;
        ["containers", "initContainers"].into_iter().flat_map(move |list| items(&spec[list]))
    }
}

/// Items of a list, none when it is not one.
pub fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The component an object belongs to, by its label.
pub fn component(object: &Value) -> &str {
    object["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap_or_default()
}

/// Compares a file of the tree with what it should be; rewrites it instead when the variable is set.
pub fn hold(file: &str, wanted: &str, rewrite: &str) -> Result<()> {
    let path = in_tree(file);
    if std::env::var_os(rewrite).is_some() {
        return std::fs::write(&path, wanted).with_context(|| format!("cannot write {file}"));
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let mut lines = (found.lines(), wanted.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (lines.0.next(), lines.1.next()) {
            (None, None) => return Ok(()),
            (found, wanted) if found == wanted => {}
            (found, wanted) => bail!(
                "{file}:{number} is not what it should be ({rewrite}=1 rewrites it)\n  is:     {}\n  should: {}",
                found.unwrap_or("(nothing)"),
                wanted.unwrap_or("(nothing)")
            ),
        }
    }
}
