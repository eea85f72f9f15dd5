//! Knocking at the storage portal as a node's kernel would, to see whom it lets in.
//!
//! Written from the portal's description (docs/decisions/0004-storage-portal.md), not from the agent or the simulator.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// What the portal answered to a connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Let in: there is such a subsystem and this host may use it.
    Connected,
    /// Turned away, in the portal's words.
    Refused(String),
}

/// Asks `address` (`ip:port`) for the subsystem `nqn` in the name of a host, and hangs up.
pub async fn knock(address: &str, nqn: &str, host_nqn: &str, host_id: &str) -> Result<Admission> {
    let talk = async {
        let mut stream =
            TcpStream::connect(address).await.with_context(|| format!("no portal at {address}"))?;
        let hello = json!({"connect": {"nqn": nqn, "hostnqn": host_nqn, "hostid": host_id}});
        stream.write_all(format!("{hello}\n").as_bytes()).await.context("the portal hung up")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.context("the portal hung up")?;
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("not an answer: {line:?}"))?;
        match (answer.get("connected"), answer.get("refused").and_then(Value::as_str)) {
            (Some(_), _) => Ok(Admission::Connected),
            (None, Some(why)) => Ok(Admission::Refused(why.to_owned())),
            (None, None) => bail!("not an answer: {line:?}"),
        }
    };
    tokio::time::timeout(Duration::from_secs(5), talk)
        .await
        .with_context(|| format!("{address} does not answer"))?
}
