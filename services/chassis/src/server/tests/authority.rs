//! Which `:authority` a caller may send over a unix socket. Frames are made by hand: clients of other languages send
//! what no client in Rust would.

use tokio::net::UnixStream;

use super::*;
use crate::testing::frames::{Frame, HEADERS, PREFACE, RST_STREAM, SETTINGS};

/// END_STREAM and END_HEADERS (RFC 9113, section 6.2).
const COMPLETE: u8 = 0x5;
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];

/// Literal fields without indexing, no Huffman code (RFC 7541, section 6.2.2).
fn fields(all: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in all {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The first frame that answers the call.
async fn answer_to(authority: Option<&str>, endpoint: &str) -> Frame {
    let path = endpoint.trim_start_matches("unix://");
    let mut stream = UnixStream::connect(path).await.unwrap();
    let mut headers =
        vec![(":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check")];
    headers.extend(authority.map(|authority| (":authority", authority)));
    headers.extend([("content-type", "application/grpc"), ("te", "trailers")]);
    stream.write_all(PREFACE).await.unwrap();
    Frame::new(SETTINGS, 0, 0, Vec::new()).write(&mut stream).await;
    Frame::new(HEADERS, COMPLETE, 1, fields(&headers)).write(&mut stream).await;
    loop {
        let frame = Frame::read(&mut stream).await;
        if frame.stream == 1 {
            return frame;
        }
    }
}

#[tokio::test]
async fn localhost_and_no_authority_are_served_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, _handle) = serve_probe(unix(&folder).await).await;
    for authority in [None, Some("localhost")] {
        assert_eq!(answer_to(authority, &endpoint).await.kind, HEADERS, "{authority:?}");
    }
}

#[tokio::test]
async fn a_socket_path_as_authority_is_a_protocol_error_of_that_call_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, _handle) = serve_probe(unix(&folder).await).await;
    for authority in ["", "/run/csi.sock", "%2Frun%2Fcsi.sock", "unix:///run/csi.sock"] {
        let answer = answer_to(Some(authority), &endpoint).await;
        let refusal = Frame::new(RST_STREAM, 0, 1, PROTOCOL_ERROR.to_vec());
        assert_eq!(answer, refusal, "{authority:?}");
    }
    assert!(ask(&mut client("probe", &endpoint, None), "").await.is_ok());
}
