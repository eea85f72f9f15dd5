//! Log lines that carry the trace id they belong to, at the same place in both formats.

use std::fmt;

use opentelemetry::TraceId;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::{Format, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::options::LogFormat;

/// The layer that writes log lines to `to`.
pub(super) fn layer<S, W>(format: LogFormat, to: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(to);
    match format {
        LogFormat::Text => layer.event_format(Lines::Text(Format::default())).boxed(),
        LogFormat::Json => {
            let inner = Format::default().json().flatten_event(true).with_span_list(false);
            layer.fmt_fields(JsonFields::new()).event_format(Lines::Json(inner)).boxed()
        }
    }
}

/// Writes a line as its format does, with `trace_id` last in text and first in JSON.
enum Lines<F> {
    Text(F),
    Json(F),
}

impl<S, N, F> FormatEvent<S, N> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (Self::Text(inner) | Self::Json(inner)) = self;
        // The log filter may hide the span of the call from this layer; the trace context it has set is not hidden.
        let trace = opentelemetry::Context::current().span().span_context().trace_id();
        if trace == TraceId::INVALID {
            return inner.format_event(context, writer, event);
        }
        let mut line = String::with_capacity(256);
        inner.format_event(context, Writer::new(&mut line), event)?;
        match (self, line.strip_prefix('{')) {
            (Self::Json(_), Some(rest)) => write!(writer, "{{\"trace_id\":\"{trace}\",{rest}"),
            (Self::Json(_), None) | (Self::Text(_), _) => {
                writeln!(writer, "{} trace_id={trace}", line.trim_end_matches('\n'))
            }
        }
    }
}
