//! The control port for people: `POST /` with a request as its body, `GET /journal` and the like.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::answer_text;
use crate::device::Device;

/// Longest body, in bytes.
const MAX_BODY: usize = 1 << 20;

/// A line of JSON begins with a quote or a brace, so a method's name is HTTP.
pub(super) fn begins(line: &str) -> bool {
    ["GET ", "POST ", "PUT ", "HEAD ", "DELETE "].iter().any(|method| line.starts_with(method))
}

/// Answers one request and closes.
pub(super) async fn talk(
    first: &str,
    mut read: BufReader<OwnedReadHalf>,
    mut write: OwnedWriteHalf,
    device: &Arc<Device>,
) -> std::io::Result<()> {
    let mut length = 0;
    let mut header = String::new();
    while read.read_line(&mut header).await? > 0 && !header.trim().is_empty() {
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        header.clear();
    }
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, answer) = match (method, path) {
        ("POST", "/") if length <= MAX_BODY => {
            let mut body = vec![0; length];
            read.read_exact(&mut body).await?;
            let answer = answer_text(device, &String::from_utf8_lossy(&body)).await;
            (if answer.get("error").is_some() { "400 Bad Request" } else { "200 OK" }, answer)
        }
        ("GET", "/journal" | "/disks" | "/subvolumes" | "/files" | "/sessions" | "/addresses") => {
            ("200 OK", answer_text(device, &format!("\"{}\"", &path[1..])).await)
        }
        _ => ("404 Not Found", serde_json::json!({ "error": "POST a request to /, or GET /journal" })),
    };
    let body = format!("{answer}\n");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    write.write_all(head.as_bytes()).await?;
    write.write_all(body.as_bytes()).await?;
    write.shutdown().await
}
