//! What the transport says, in words: which service, at which address, and what went wrong.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{ConnectError, Status, TimeoutExpired};

/// The limit has passed, here.
#[expect(clippy::disallowed_methods, reason = "the transport's own answer; no service was heard")]
pub(super) fn too_late(peer: &str) -> Status {
    Status::deadline_exceeded(format!("{peer} did not answer before the deadline"))
}

/// The call failed without an answer. `UNAVAILABLE`, whatever the transport would call it: what became of the call is
/// not known, so it must not look final.
#[expect(clippy::disallowed_methods, reason = "the transport's own answer; no service was heard")]
pub(super) fn explain(error: &(dyn std::error::Error + 'static), peer: &str) -> Status {
    let mut causes = vec![error.to_string()];
    let mut what = "broke off the call";
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<TimeoutExpired>() {
            return too_late(peer);
        }
        if cause.is::<ConnectError>() {
            what = "cannot be reached";
        }
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes.dedup();
    // The first says "transport error"; it helps only where nothing else is known.
    let told = if causes.len() > 1 { &causes[1..] } else { &causes[..] };
    Status::unavailable(format!("{peer} {what}: {}", told.join(": ")))
}

/// The body of an answer. One that breaks off is told as such.
pub(super) struct Answer {
    inner: Body,
    peer: Arc<str>,
}

impl Answer {
    pub(super) fn new(inner: Body, peer: Arc<str>) -> Self {
        Self { inner, peer }
    }
}

impl HttpBody for Answer {
    type Data = <Body as HttpBody>::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        frame.map_err(|error| explain(&error, &this.peer))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
