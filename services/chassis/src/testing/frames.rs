//! HTTP/2 frames made by hand (RFC 9113, section 4.1), for what no client or server in Rust would send.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;

/// What a client sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of one kind on one stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u8, payload: Vec<u8>) -> Self {
        Self { kind, flags, stream, payload }
    }

    pub(crate) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags, 0, 0, 0, self.stream]);
        bytes.extend(&self.payload);
        to.write_all(&bytes).await.unwrap();
        to.flush().await.unwrap();
    }

    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Self {
        let mut head = [0; 9];
        from.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        from.read_exact(&mut payload).await.unwrap();
        Self::new(head[3], head[4], head[8], payload)
    }

    /// The next frame of this kind; others are passed over.
    pub(crate) async fn await_kind(kind: u8, from: &mut (impl AsyncRead + Unpin)) -> Self {
        loop {
            let frame = Self::read(from).await;
            if frame.kind == kind {
                return frame;
            }
        }
    }
}
