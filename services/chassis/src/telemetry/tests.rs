use std::io;
use std::sync::{Arc, Mutex};

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::options::LogFormat;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs with `filter` what `work` logs; the span of a call is at level info here, as the client's is.
fn logged(format: LogFormat, filter: &str, work: impl FnOnce()) -> String {
    let written = Written::default();
    let to = written.clone();
    let logs = lines::layer(format, move || to.clone());
    let provider = SdkTracerProvider::builder().build();
    let subscriber = tracing_subscriber::registry()
        .with(logs.with_filter(EnvFilter::new(filter)))
        .with(traces(&provider, "test"));
    tracing::subscriber::with_default(subscriber, work);
    let text = written.0.lock().unwrap().clone();
    String::from_utf8(text).unwrap()
}

fn warn_inside_a_call() -> String {
    let span = tracing::info_span!("call");
    let _entered = span.enter();
    tracing::warn!(volume.id = "rds1/csi-1", "appliance \"slow\"");
    trace_id().expect("a span has a trace")
}

#[test]
fn a_json_line_carries_the_trace_id_although_the_filter_hides_the_span() {
    let mut id = String::new();
    let line = logged(LogFormat::Json, "warn", || id = warn_inside_a_call());
    assert!(line.starts_with(&format!("{{\"trace_id\":\"{id}\",\"timestamp\":")), "{line}");
    assert!(line.contains(r#""message":"appliance \"slow\"","volume.id":"rds1/csi-1""#), "{line}");
    assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
}

#[test]
fn a_text_line_carries_the_trace_id_at_its_end() {
    let mut id = String::new();
    let line = logged(LogFormat::Text, "info", || id = warn_inside_a_call());
    assert!(
        line.ends_with(&format!(
            "call: chassis::telemetry::tests: appliance \"slow\" volume.id=\"rds1/csi-1\" trace_id={id}\n"
        )),
        "{line}"
    );
}

#[test]
fn a_line_outside_any_trace_carries_none() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let line = logged(format, "info", || tracing::info!("serving"));
        assert!(!line.contains("trace_id"), "{line}");
    }
}

#[test]
fn a_span_continues_the_trace_it_was_handed() {
    logged(LogFormat::Text, "off", || {
        let asked = tracing::info_span!("asked");
        let (there, id) = asked.in_scope(|| (TraceContext::current(), trace_id()));
        let later = tracing::info_span!("later");
        there.adopt(&later);
        assert_eq!(later.in_scope(trace_id), id);
        let headers = &mut http::HeaderMap::new();
        inject(&asked, headers);
        let elsewhere = tracing::info_span!("elsewhere");
        extract(headers).adopt(&elsewhere);
        assert_eq!(elsewhere.in_scope(trace_id), id);
        let by_hand = tracing::info_span!("by hand");
        TraceContext::named(headers["traceparent"].to_str().unwrap()).adopt(&by_hand);
        assert_eq!(by_hand.in_scope(trace_id), id);
        let nowhere = tracing::info_span!("nowhere");
        TraceContext::named("not a traceparent").adopt(&nowhere);
        assert_ne!(nowhere.in_scope(trace_id), id);
    });
}

#[test]
fn a_wrong_filter_endpoint_or_ratio_is_named() {
    let good = ProcessOptions {
        log: "info".to_owned(),
        log_format: LogFormat::Text,
        otlp_endpoint: None,
        trace_sample_ratio: 1.0,
        admin_listen: String::new(),
        shutdown_grace: 1,
    };
    let bad = ProcessOptions {
        log: "a=b=c".to_owned(),
        otlp_endpoint: Some("not a url".to_owned()),
        trace_sample_ratio: 1.5,
        ..good.clone()
    };
    let mut mistakes = crate::options::Mistakes::new();
    bad.check(&mut mistakes);
    let text = mistakes.finish().unwrap_err().to_string();
    for option in ["--log", "--otlp-endpoint", "--trace-sample-ratio"] {
        assert!(text.contains(option), "{text}");
    }
    let mut mistakes = crate::options::Mistakes::new();
    good.check(&mut mistakes);
    assert!(mistakes.is_empty());
}
