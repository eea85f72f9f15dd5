//! What happens to every call on its way in: a span, a deadline, and an answer even if the service panics.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::body::Body;
use tonic::{Code, Status};
use tower::layer::util::{Identity, Stack};
use tower::{Layer, Service, ServiceBuilder};
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};
use tracing::{Instrument as _, Span, field};

use crate::deadline::{Deadline, TIMEOUT_HEADER, parse_timeout};
use crate::telemetry;

/// The layers, outermost first.
pub(super) fn stack() -> Stack<CatchPanicLayer<AnswerPanic>, Stack<CallLayer, Identity>> {
    ServiceBuilder::new()
        .layer(CallLayer)
        .layer(CatchPanicLayer::custom(AnswerPanic))
        .into_inner()
}

/// A defect of ours answers INTERNAL; the process and the other calls go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerPanic;

impl ResponseForPanic for AnswerPanic {
    type ResponseBody = Body;

    #[expect(
        clippy::disallowed_methods,
        reason = "the service that would have made a fault of it has panicked"
    )]
    fn response_for_panic(&mut self, panic: Box<dyn Any + Send>) -> http::Response<Body> {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        tracing::error!(panic = text, "a call panicked");
        Status::internal("a defect in this service ended the call; its log has the details").into_http()
    }
}

/// Opens a span for each call and enforces its deadline.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallLayer;

impl<S> Layer<S> for CallLayer {
    type Service = Call<S>;
    fn layer(&self, inner: S) -> Call<S> {
        Call { inner }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Call<S> {
    inner: S,
}

impl<S, B, R> Service<http::Request<B>> for Call<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: http_body::Body<Data = axum::body::Bytes> + Send + 'static,
    R::Error: Into<axum::BoxError>,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let span = span_of(&request);
        let deadline = deadline_of(request.headers());
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let answer = {
            let _entered = span.enter();
            self.inner.call(request)
        };
        let recorded = span.clone();
        let within = async move {
            let own_body = |response: http::Response<R>| response.map(Body::new);
            let Some(deadline) = deadline else {
                return answer.await.map(own_body);
            };
            match tokio::time::timeout_at(deadline.instant(), answer).await {
                Ok(answer) => answer.map(own_body),
                Err(_) => Ok(deadline_exceeded(
                    "the deadline of the call has passed; what it began may still go on",
                )),
            }
        };
        Box::pin(
            async move {
                let answer = within.await;
                if let Ok(response) = &answer {
                    record_status(&recorded, response.headers());
                }
                answer
            }
            .instrument(span),
        )
    }
}

/// The caller's deadline, moved forward a little: tonic watches the same header and would answer CANCELLED.
fn deadline_of(headers: &http::HeaderMap) -> Option<Deadline> {
    let limit = parse_timeout(headers.get(TIMEOUT_HEADER)?.to_str().ok()?)?;
    Some(Deadline::after(
        limit.saturating_sub((limit / 20).min(Duration::from_millis(50))),
    ))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the transport's own answer; no service was heard"
)]
pub(crate) fn deadline_exceeded(message: &str) -> http::Response<Body> {
    Status::deadline_exceeded(message).into_http()
}

fn span_of<B>(request: &http::Request<B>) -> Span {
    let path = request.uri().path().trim_start_matches('/');
    let (service, method) = path.split_once('/').unwrap_or((path, ""));
    // At error level so that no log filter takes it out of the log lines, which carry its trace id.
    let span = tracing::error_span!(
        "rpc",
        otel.name = format!("{}/{method}", service.rsplit('.').next().unwrap_or(service)),
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
        trace_id = field::Empty,
    );
    telemetry::extract(request.headers()).adopt(&span);
    if let Some(id) = telemetry::trace_id_of(&span) {
        span.record("trace_id", id);
    }
    span
}

/// An error of a unary call stands in the response's headers; without one the call went well so far.
pub(crate) fn record_status(span: &Span, headers: &http::HeaderMap) {
    let code = Status::from_header_map(headers).map_or(Code::Ok, |status| status.code());
    span.record("rpc.grpc.status_code", code as i32);
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
    }
}
