//! What a service says of itself on its admin port.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks `/readyz`. The error is why it is not ready, in the service's own words.
pub async fn ready(admin: SocketAddr) -> Result<()> {
    let (status, body) = get(admin, "/readyz").await?;
    if status == 200 { Ok(()) } else { bail!("not ready ({status}): {}", body.trim()) }
}

/// One page of an admin port: status and body.
pub async fn get(admin: SocketAddr, page: &str) -> Result<(u16, String)> {
    let talk = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(format!("GET {page} HTTP/1.0\r\nhost: {admin}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), talk).await;
    let answer = answer.context("no answer")?.with_context(|| format!("http://{admin}{page}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).context("not an HTTP answer")?;
    Ok((status, body.to_owned()))
}
