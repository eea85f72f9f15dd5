//! Logs and traces.
//!
//! Logs go to standard error. Traces go to an OTLP collector when one is configured; trace ids exist without one, so
//! that messages and logs can always be tied together. Context crosses process borders as W3C `traceparent`.

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::options::{LogFormat, ProcessOptions};

/// Spans that may wait for the exporter. The default of 2,048 loses a third of a burst of 5,000.
const SPAN_QUEUE: usize = 8192;

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is not one.
    #[error("--log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The collector's address is not one.
    #[error("--otlp-endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Another part of the process has set up logging.
    #[error("logging is set up already")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// Running telemetry; has to be shut down so that the last spans leave.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

/// Sets up logs and traces for the whole process. Must be called inside a runtime, once.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(service: &'static str, options: &ProcessOptions) -> Result<Telemetry, TelemetryError> {
    let provider = tracer_provider(service, options)?;
    let logs = match options.log_format {
        LogFormat::Text => fmt::layer().with_writer(std::io::stderr).with_ansi(false).boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    // Two filters: however little is logged, the spans of calls stay in the trace, or their children lose the parent.
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(service))
        .with_filter(filter_fn(|of| {
            of.is_span() && *of.level() <= tracing::Level::INFO
        }));
    tracing_subscriber::registry()
        .with(logs.with_filter(EnvFilter::try_new(&options.log)?))
        .with(traces)
        .try_init()?;
    Ok(Telemetry { provider })
}

fn tracer_provider(
    service: &'static str,
    options: &ProcessOptions,
) -> Result<SdkTracerProvider, TelemetryError> {
    let root = Sampler::TraceIdRatioBased(options.trace_sample_ratio);
    let builder = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(root)))
        .with_resource(Resource::builder().with_service_name(service).build());
    let Some(endpoint) = &options.otlp_endpoint else {
        return Ok(builder.build());
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(std::time::Duration::from_secs(5))
        .build()?;
    let batch = BatchConfigBuilder::default()
        .with_max_queue_size(SPAN_QUEUE)
        .build();
    let processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(batch)
        .build();
    Ok(builder.with_span_processor(processor).build())
}

impl Telemetry {
    /// Sends the spans that wait. A collector that does not answer costs a few seconds, not the process.
    pub async fn shutdown(self) {
        // On a runtime worker this would wait for the exporter it keeps from running.
        let flushed = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the last spans were lost");
        }
    }
}

/// Trace id of the current span in hex; `None` outside any.
pub fn trace_id() -> Option<String> {
    trace_id_of(&Span::current())
}

/// Trace id of a span in hex; `None` for a span that does not exist.
pub(crate) fn trace_id_of(span: &Span) -> Option<String> {
    let context = span.context();
    let id = context.span().span_context().trace_id();
    (id != opentelemetry::TraceId::INVALID).then(|| id.to_string())
}

/// The place in a trace that something was asked from, to be carried along and continued later.
#[derive(Debug, Clone, Default)]
pub struct TraceContext(opentelemetry::Context);

impl TraceContext {
    /// Where the current span stands.
    pub fn current() -> Self {
        Self(Span::current().context())
    }

    /// Makes `span` a child of it. Must happen before the span is entered.
    pub fn adopt(&self, span: &Span) {
        // Fails only for a span that no layer records; then there is nothing to connect.
        let _ = span.set_parent(self.0.clone());
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

struct HeaderInjector<'a>(&'a mut http::HeaderMap);

impl Injector for HeaderInjector<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = http::HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_str(&value)) {
            self.0.insert(name, value);
        }
    }
}

struct HeaderExtractor<'a>(&'a http::HeaderMap);

impl Extractor for HeaderExtractor<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
