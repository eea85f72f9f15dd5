//! Calls that can be sent a second time, because their message is known whole.

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use axum::body::{Body as Chunks, Bytes};
use http::request::Parts;
use tokio_stream::{Stream as _, StreamExt as _};
use tonic::body::Body;

/// Largest message that is held. Our messages have a few kilobytes.
const MAX_HELD: usize = 1 << 20;

/// A call to be sent once more.
pub(super) struct Again(Parts, Bytes);

impl Again {
    pub(super) fn request(self) -> http::Request<Body> {
        http::Request::from_parts(self.0, Body::new(Chunks::from(self.1)))
    }
}

/// The call itself, and a second one if all of its message is there already. A stream, whose messages come one by
/// one, is never held.
pub(super) async fn hold(request: http::Request<Body>) -> (http::Request<Body>, Option<Again>) {
    let (head, body) = request.into_parts();
    let mut rest = Chunks::new(body).into_data_stream();
    let mut held = Vec::new();
    let mut size = 0;
    let whole = poll_fn(|cx| {
        while size <= MAX_HELD {
            match Pin::new(&mut rest).poll_next(cx) {
                Poll::Ready(Some(chunk)) => {
                    size += chunk.as_ref().map_or(0, Bytes::len);
                    held.push(chunk);
                }
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Pending => break,
            }
        }
        Poll::Ready(false)
    })
    .await;
    if whole && held.iter().all(Result::is_ok) {
        let message: Bytes = held.into_iter().flatten().flatten().collect();
        let again = Again(head.clone(), message.clone());
        return (Again(head, message).request(), Some(again));
    }
    let body = Chunks::from_stream(tokio_stream::iter(held).chain(rest));
    (http::Request::from_parts(head, Body::new(body)), None)
}

/// True when the call has not reached the service: the connection closed before it was sent, or the other side said
/// that it would not look at it (GOAWAY with a lower stream, REFUSED_STREAM: RFC 9113, sections 6.8 and 8.7).
pub(super) fn never_reached(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let unsent = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        let refused = error.downcast_ref::<h2::Error>().is_some_and(|error| {
            let refused = error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM);
            refused && error.is_remote()
        });
        if unsent || refused {
            return true;
        }
        cause = error.source();
    }
    false
}
