//! Logs and traces.
//!
//! Logs go to standard error. Traces go to an OTLP collector when one is configured; trace ids exist without one, so
//! that messages and logs can always be tied together. Context crosses process borders as W3C `traceparent`.

mod lines;
mod sampling;

use std::io;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tokio::runtime::Runtime;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::sampling::{KeepFailures, RecordAll};
use crate::options::ProcessOptions;

/// Spans that may wait for the exporter. The default of 2,048 loses a third of a burst of 5,000.
const SPAN_QUEUE: usize = 8192;
/// Longest time for one export; bounds the last flush too.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is not one.
    #[error("--log")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The collector's address is not one.
    #[error("--otlp-endpoint")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The exporter's thread could not be started.
    #[error("cannot start the thread that sends traces")]
    Thread(#[from] io::Error),
}

/// Running telemetry; has to be shut down so that the last spans leave.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    _exporting: Option<Exporting>,
}

/// Sets up logs and traces for the whole process.
///
/// The first call decides; a later one (several services in one process, in tests) changes nothing and succeeds.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(service: &'static str, options: &ProcessOptions) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&options.log)?;
    if tracing::dispatcher::has_been_set() {
        return Ok(Telemetry::idle());
    }
    let telemetry = Telemetry::start(service, options)?;
    let logs = lines::layer(options.log_format, io::stderr);
    let subscriber = tracing_subscriber::registry()
        .with(logs.with_filter(filter))
        .with(traces(&telemetry.provider, service));
    // An error: somebody else was faster and is in charge.
    Ok(subscriber.try_init().map_or_else(|_| Telemetry::idle(), |()| telemetry))
}

/// The layer that records spans. It has a filter of its own: however little is logged, the spans of calls stay in the
/// trace, or their children would lose the parent.
pub(crate) fn traces<S>(
    provider: &SdkTracerProvider,
    service: &'static str,
) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(service))
        .with_filter(filter_fn(|of| of.is_span() && *of.level() <= tracing::Level::INFO))
}

/// The exporter's own small runtime. It lives on its own thread so that neither the end of the caller's runtime nor a
/// caller who waits for the last flush can stop it from sending.
#[derive(Debug)]
struct Exporting(Option<Runtime>);

impl Exporting {
    fn start() -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("telemetry").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Checks a collector's address without connecting.
pub(crate) fn check_endpoint(endpoint: &str) -> Result<(), String> {
    let uri: http::Uri = endpoint.parse().map_err(|error| format!("{endpoint:?}: {error}"))?;
    if uri.scheme_str() == Some("http") && uri.authority().is_some() {
        Ok(())
    } else {
        Err(format!("{endpoint:?} is not of the form http://HOST:PORT"))
    }
}

/// Checks a log filter.
pub(crate) fn check_filter(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(filter).map(drop)
}

impl Telemetry {
    fn start(service: &'static str, options: &ProcessOptions) -> Result<Self, TelemetryError> {
        let builder = SdkTracerProvider::builder()
            .with_sampler(RecordAll::choosing(options.trace_sample_ratio))
            .with_resource(Resource::builder().with_service_name(service).build());
        let Some(endpoint) = &options.otlp_endpoint else {
            return Ok(Self { provider: builder.build(), _exporting: None });
        };
        let exporting = Exporting::start()?;
        let entered = exporting.0.as_ref().map(Runtime::enter);
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        drop(entered);
        let batch = BatchConfigBuilder::default().with_max_queue_size(SPAN_QUEUE).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batch).build();
        let provider = builder.with_span_processor(KeepFailures::before(processor)).build();
        Ok(Self { provider, _exporting: Some(exporting) })
    }

    /// Of a process whose telemetry somebody else has set up.
    fn idle() -> Self {
        Self { provider: SdkTracerProvider::builder().build(), _exporting: None }
    }

    /// Sends the spans that wait, and goes on.
    pub async fn flush(&self) {
        let provider = self.provider.clone();
        let flushed = tokio::task::spawn_blocking(move || provider.force_flush()).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "spans could not be sent");
        }
    }

    /// Sends the spans that wait, for the last time. A collector that does not answer costs a few seconds, not the
    /// process.
    pub async fn shutdown(self) {
        // It blocks until the exporter is done, so not on a runtime worker.
        let flushed = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the last spans were lost");
        }
    }
}

/// Trace id of the current span in hex; `None` outside any.
pub fn trace_id() -> Option<String> {
    let context = Span::current().context();
    let id = context.span().span_context().trace_id();
    (id != opentelemetry::TraceId::INVALID).then(|| id.to_string())
}

/// Trace id of the current span in hex, if the trace is recorded; `None` otherwise.
pub(crate) fn sampled_trace_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let place = span.span_context();
    place.is_sampled().then(|| place.trace_id().to_string())
}

/// The place in a trace that something was asked from, to be carried along and continued later.
#[derive(Debug, Clone, Default)]
pub struct TraceContext(opentelemetry::Context);

impl TraceContext {
    /// Where the current span stands.
    pub fn current() -> Self {
        Self(Span::current().context())
    }

    /// The place a W3C `traceparent` names, as a caller's environment has it; nowhere when it names none.
    pub fn named(traceparent: &str) -> Self {
        let mut headers = http::HeaderMap::new();
        if let Ok(value) = traceparent.trim().parse() {
            headers.insert("traceparent", value);
        }
        extract(&headers)
    }

    /// Makes `span` a child of it. Must happen before the span is entered.
    pub fn adopt(&self, span: &Span) {
        // Fails only for a span that no layer records; then there is nothing to connect.
        let _ = span.set_parent(self.0.clone());
    }

    /// Connects `span`, of another trace, with it: what is tried again points at what was tried before.
    pub fn link(&self, span: &Span) {
        let place = self.0.span().span_context().clone();
        if place.is_valid() {
            span.add_link(place);
        }
    }
}

/// Writes the current span's place into the headers of a request.
pub(crate) fn inject(span: &Span, headers: &mut http::HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeaderInjector(headers));
}

/// The place a request says it comes from.
pub(crate) fn extract(headers: &http::HeaderMap) -> TraceContext {
    let context = opentelemetry::Context::new();
    TraceContext(TraceContextPropagator::new().extract_with_context(&context, &HeaderExtractor(headers)))
}

#[cfg(test)]
mod tests;
