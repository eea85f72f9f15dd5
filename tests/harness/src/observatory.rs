//! Everything a process of tests logs and traces, kept in memory so that tests can look for what must be there and
//! for what must never be.
//!
//! Logging is one per process, so this is too; tests find their own part by trace id or by a text nobody else has.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanId, Status, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::collector::Span;

/// What is kept: our own crates down to debug, libraries from info up.
const FILTER: &str = "debug,h2=info,hyper=info,hyper_util=info,tower=info,rustls=info,russh=info,tonic=info";

/// What has been logged and traced so far.
#[derive(Debug, Clone, Default)]
pub struct Observatory {
    logs: Arc<Mutex<Vec<u8>>>,
    spans: Arc<Mutex<Vec<(Span, String)>>>,
}

/// The observatory of this process; opened on first use.
///
/// `RDS_TEST_LOG=1` prints the logs as well.
pub fn observatory() -> &'static Observatory {
    static OPEN: OnceLock<Observatory> = OnceLock::new();
    OPEN.get_or_init(|| {
        let observatory = Observatory::default();
        observatory.open();
        observatory
    })
}

impl Observatory {
    fn open(&self) {
        let provider = SdkTracerProvider::builder().with_simple_exporter(self.clone()).build();
        let traces = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("suite"))
            .with_filter(filter_fn(|of| of.is_span() && *of.level() <= tracing::Level::INFO));
        let kept = Arc::clone(&self.logs);
        let logs = fmt::layer().json().flatten_event(true).with_writer(move || Writer(Arc::clone(&kept)));
        let shown = std::env::var_os("RDS_TEST_LOG")
            .map(|_| fmt::layer().with_writer(io::stderr).with_filter(EnvFilter::new("info")));
        // Somebody else's logging in this process means a test that does not want ours.
        let _ = tracing_subscriber::registry()
            .with(logs.with_filter(EnvFilter::new(FILTER)))
            .with(traces)
            .with(shown)
            .try_init();
    }

    /// Every span that has ended.
    pub fn spans(&self) -> Vec<Span> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.iter().map(|(span, _)| span.clone()).collect()
    }

    /// Log lines and spans (with everything in them) that contain `text`.
    pub fn mentions(&self, text: &str) -> Vec<String> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = String::from_utf8_lossy(&logs);
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let everything = lines.lines().chain(spans.iter().map(|(_, all)| all.as_str()));
        everything.filter(|emitted| emitted.contains(text)).map(str::to_owned).collect()
    }
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpanExporter for Observatory {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let ended = batch.into_iter().map(|data| (span(&data), format!("{data:?}")));
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(ended);
        Ok(())
    }
}

fn span(data: &SpanData) -> Span {
    let parent = data.parent_span_id;
    let attributes: BTreeMap<String, String> =
        data.attributes.iter().map(|pair| (pair.key.to_string(), pair.value.to_string())).collect();
    Span {
        trace: data.span_context.trace_id().to_string(),
        id: data.span_context.span_id().to_string(),
        parent: if parent == SpanId::INVALID { String::new() } else { parent.to_string() },
        service: attributes
            .get("code.module.name")
            .or(attributes.get("code.namespace"))
            .cloned()
            .unwrap_or_default(),
        name: data.name.to_string(),
        start: nanoseconds(data.start_time),
        end: nanoseconds(data.end_time),
        attributes,
        links: data.links.iter().map(|link| link.span_context.trace_id().to_string()).collect(),
        failed: matches!(data.status, Status::Error { .. }),
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
