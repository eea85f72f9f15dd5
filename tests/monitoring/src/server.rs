//! A Prometheus that scrapes a stack, with the labels a PodMonitor or a ServiceMonitor gives.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use harness::{Stack, eventually, readiness};
use serde_json::{Value, json};

/// A Prometheus; it ends when dropped.
pub(crate) struct Prometheus {
    address: SocketAddr,
    process: Child,
    // Last: it goes after the process that works in it.
    folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// Starts it and waits until it has scraped every service of the stack.
    pub(crate) async fn start(program: &Path, stack: &Stack) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("prometheus.yml");
        // JSON is YAML.
        std::fs::write(&file, configuration(stack)?.to_string())?;
        // It takes no listener and does not tell which port it got for port 0: one that was free just now.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let process = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let prometheus = Self { address, process, folder };
        let targets = stack.admins().len();
        eventually("Prometheus scrapes every service", async || {
            let up = prometheus.ask("up == 1").await.map(|series| series.len());
            let log = std::fs::read_to_string(prometheus.folder.path().join("log")).unwrap_or_default();
            ensure!(up.with_context(|| log)? == targets, "not all of {targets} services are scraped");
            Ok(())
        })
        .await?;
        Ok(prometheus)
    }

    /// The series an expression has now, without those that are no number.
    pub(crate) async fn ask(&self, expression: &str) -> Result<Vec<Value>> {
        let data = self.get(&format!("query?query={}", escaped(expression))).await?;
        let series = data["result"].as_array().context("no series in the answer")?;
        Ok(series.iter().filter(|series| series["value"][1] != "NaN").cloned().collect())
    }

    /// A page of the API: its `data`.
    pub(crate) async fn get(&self, page: &str) -> Result<Value> {
        let (_, body) = readiness::get(self.address, &format!("/api/v1/{page}")).await?;
        let mut answer: Value = serde_json::from_str(&body).with_context(|| body.clone())?;
        ensure!(answer["status"] == "success", "{body}");
        Ok(answer["data"].take())
    }
}

fn configuration(stack: &Stack) -> Result<Value> {
    let rules = crate::files("charts/rds-csi/alerts", "yaml")?;
    let mut rule_files = Vec::new();
    for file in rules {
        rule_files.push(std::fs::canonicalize(file)?);
    }
    let scrapes: Vec<_> = stack.admins().iter().map(|(name, address)| scrape(name, *address)).collect();
    Ok(json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": rule_files,
        "scrape_configs": scrapes,
    }))
}

/// One service: `nvme-agent node-a` is the pod of nvme-agent on node-a, found by a PodMonitor; what runs on no node of
/// its own is found by a ServiceMonitor, with a label `service` beside the one of our metrics.
fn scrape(name: &str, address: SocketAddr) -> Value {
    let (service, node) = name.split_once(' ').unwrap_or((name, ""));
    let pod = name.replace(' ', "-");
    let mut labels = json!({ "namespace": "rds", "container": service, "pod": pod, "node": node });
    if node.is_empty() {
        labels["node"] = "node-c".into();
        labels["service"] = format!("rds-csi-{service}").into();
    }
    json!({
        "job_name": format!("rds/{pod}"),
        "honor_labels": node.is_empty(),
        "static_configs": [{ "targets": [address.to_string()], "labels": labels }],
    })
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
