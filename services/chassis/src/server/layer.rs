//! What happens to every call on its way in: a span, a deadline, a count, and an answer even if the service panics.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tonic::body::Body;
use tonic::{Code, Status};
use tower::layer::util::{Identity, Stack};
use tower::{Layer, Service, ServiceBuilder};
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};
use tracing::{Instrument as _, Span, field};

use crate::deadline::{Deadline, TIMEOUT_HEADER, parse_timeout};
use crate::metrics::Calls;
use crate::telemetry;

/// The layers, outermost first.
pub(super) fn stack(calls: Option<Calls>) -> Stack<CatchPanicLayer<AnswerPanic>, Stack<CallLayer, Identity>> {
    ServiceBuilder::new().layer(CallLayer { calls }).layer(CatchPanicLayer::custom(AnswerPanic)).into_inner()
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
    fn response_for_panic(&mut self, _panic: Box<dyn Any + Send>) -> http::Response<Body> {
        let trace = telemetry::trace_id().unwrap_or_default();
        // The panic itself was logged where it happened.
        Status::internal(format!(
            "a defect in this service ended the call; its log has the details; trace {trace}"
        ))
        .into_http()
    }
}

/// Opens a span for each call, enforces its deadline, and counts its answer.
#[derive(Debug, Clone)]
pub(super) struct CallLayer {
    calls: Option<Calls>,
}

impl<S> Layer<S> for CallLayer {
    type Service = Call<S>;
    fn layer(&self, inner: S) -> Call<S> {
        Call { inner, calls: self.calls.clone() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Call<S> {
    inner: S,
    calls: Option<Calls>,
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
        let (service, method) = names_of(&request);
        let span = span_of(&request, &service, &method);
        let calls = self.calls.clone();
        let began = Instant::now();
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
                    let error = error_of(response);
                    record(&recorded, error.as_ref());
                    log_answer(error.as_ref());
                    if let Some(calls) = calls {
                        let code = error.as_ref().map_or(Code::Ok, Status::code);
                        calls.answered(&service, &method, code, began.elapsed());
                    }
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
    Some(Deadline::after(limit.saturating_sub((limit / 20).min(Duration::from_millis(50)))))
}

#[expect(clippy::disallowed_methods, reason = "the transport's own answer; no service was heard")]
pub(crate) fn deadline_exceeded(message: &str) -> http::Response<Body> {
    Status::deadline_exceeded(message).into_http()
}

/// Service and method of a call: `/rds.volume.v1.Volumes/EnsureVolume`.
fn names_of<B>(request: &http::Request<B>) -> (String, String) {
    let path = request.uri().path().trim_start_matches('/');
    let (service, method) = path.split_once('/').unwrap_or((path, ""));
    (service.to_owned(), method.to_owned())
}

fn span_of<B>(request: &http::Request<B>, service: &str, method: &str) -> Span {
    // At error level so that no log filter takes the method out of the log lines.
    let span = tracing::error_span!(
        "rpc",
        otel.name = format!("{}/{method}", service.rsplit('.').next().unwrap_or(service)),
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
        otel.status_description = field::Empty,
    );
    telemetry::extract(request.headers()).adopt(&span);
    span
}

/// The error a call ended with. That of a unary call stands in the response's headers; without one it went well so far.
pub(crate) fn error_of<B>(response: &http::Response<B>) -> Option<Status> {
    // A status of this process is at hand with its sources; one from the wire is read.
    let ours = response.extensions().get::<Status>().cloned();
    let status = ours.or_else(|| Status::from_header_map(response.headers()))?;
    (status.code() != Code::Ok).then_some(status)
}

/// Writes the outcome into the span. Red in a trace are failures, not answers such as NOT_FOUND.
pub(crate) fn record(span: &Span, error: Option<&Status>) {
    let code = error.map_or(Code::Ok, Status::code);
    span.record("rpc.grpc.status_code", code as i32);
    if let Some(failure) = error.filter(|status| is_failure(status.code())) {
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", failure.message());
    }
}

/// The one place where the outcome of a call is logged, with the sources its status carries.
fn log_answer(error: Option<&Status>) {
    let Some(status) = error else {
        tracing::debug!("answered");
        return;
    };
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    let because = (!causes.is_empty()).then(|| causes.join(": "));
    let (code, error) = (status.code(), status.message());
    let defect = matches!(code, Code::Unknown | Code::Internal | Code::DataLoss);
    if defect {
        tracing::error!(?code, error, because, "call failed");
    } else if is_failure(code) {
        tracing::warn!(?code, error, because, "call failed");
    } else {
        tracing::info!(?code, error, because, "call refused");
    }
}

/// As OpenTelemetry's conventions for gRPC servers have it: the rest is the caller's.
fn is_failure(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => false,
    }
}
