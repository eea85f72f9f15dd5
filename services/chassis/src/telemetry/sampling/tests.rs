use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SimpleSpanProcessor};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// Names of the spans that leave when a share of `ratio` of all traces does.
fn sent(ratio: f64, work: impl FnOnce()) -> Vec<String> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(RecordAll::choosing(ratio))
        .with_span_processor(KeepFailures::before(SimpleSpanProcessor::new(exporter.clone())))
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
    exporter.get_finished_spans().unwrap().iter().map(|span| span.name.to_string()).collect()
}

fn call(fails: bool) {
    let call = tracing::info_span!("call", otel.status_code = tracing::field::Empty).entered();
    tracing::info_span!("command").in_scope(|| {});
    if fails {
        call.record("otel.status_code", "ERROR");
    }
}

#[test]
fn what_was_chosen_leaves_whole() {
    assert_eq!(sent(1.0, || call(false)), ["command", "call"]);
}

#[test]
fn what_was_not_chosen_leaves_only_if_it_failed_and_then_whole() {
    assert_eq!(sent(0.0, || call(false)), Vec::<String>::new());
    assert_eq!(sent(0.0, || call(true)), ["command", "call"]);
    assert_eq!(
        sent(0.0, || {
            call(false);
            call(true);
            call(false);
        }),
        ["command", "call"]
    );
}

#[test]
fn the_part_of_a_callers_trace_ends_with_its_own_first_span() {
    let caller = |flags| {
        let place = SpanContext::new(
            TraceId::from(7),
            SpanId::from(9),
            flags,
            true,
            opentelemetry::trace::TraceState::default(),
        );
        opentelemetry::trace::TraceContextExt::with_remote_span_context(&Context::new(), place)
    };
    let answering = |flags, code: &'static str| {
        sent(0.0, || {
            let answer = tracing::info_span!("answer", otel.status_code = tracing::field::Empty);
            answer.set_parent(caller(flags)).unwrap();
            answer.in_scope(|| tracing::info_span!("command").in_scope(|| {}));
            answer.record("otel.status_code", code);
        })
    };
    assert_eq!(answering(TraceFlags::SAMPLED, "OK"), ["command", "answer"], "the caller has chosen");
    assert_eq!(answering(TraceFlags::default(), "OK"), Vec::<String>::new());
    assert_eq!(answering(TraceFlags::default(), "ERROR"), ["command", "answer"]);
}

#[test]
fn what_never_ends_is_bounded() {
    let mut open = Open::default();
    let exporter = InMemorySpanExporter::default();
    let collecting =
        SdkTracerProvider::builder().with_span_processor(SimpleSpanProcessor::new(exporter.clone())).build();
    drop(opentelemetry::trace::Tracer::start(&collecting.tracer("test"), "one"));
    let template = exporter.get_finished_spans().unwrap().remove(0);
    for trace in 1..2000_u128 {
        for _ in 0..2 {
            let mut span = template.clone();
            span.parent_span_id = SpanId::from(1);
            span.span_context = SpanContext::new(
                TraceId::from(trace),
                SpanId::from(2),
                TraceFlags::default(),
                false,
                opentelemetry::trace::TraceState::default(),
            );
            assert!(open.keep(span).is_empty());
        }
    }
    assert_eq!((open.parts.len(), open.order.len()), (MAX_TRACES, MAX_TRACES));
}
