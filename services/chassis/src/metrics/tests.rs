use prometheus_client::encoding::text::encode;
use tonic::Code;

use super::*;
use crate::testing::Authority;

fn exposed(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text
}

#[test]
fn every_service_says_what_it_is_and_whether_it_is_ready() {
    let (mut registry, health) = (Registry::default(), Health::new());
    let condition = health.condition("appliance");
    register(&mut registry, "rds-backend", &health, None);
    let text = exposed(&registry);
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        text.contains(&format!("rds_build_info{{service=\"rds-backend\",version=\"{version}\"}} 1\n")),
        "{text}"
    );
    assert!(text.contains("rds_ready 0\n"), "{text}");
    assert!(!text.contains("certificate"), "there is none: {text}");
    condition.ready();
    assert!(exposed(&registry).contains("rds_ready 1\n"));
}

#[test]
fn the_end_of_the_certificate_is_the_one_in_the_file() {
    let (mut registry, authority) = (Registry::default(), Authority::new());
    let tls = authority.tls("rds-backend");
    register(&mut registry, "rds-backend", &Health::new(), Some(&tls));
    let line = format!("rds_tls_certificate_expiry_timestamp_seconds {}\n", tls.not_after());
    assert!(exposed(&registry).contains(&line), "{line} is not in {}", exposed(&registry));
    assert!(tls.not_after() > 1_700_000_000, "it ends in the past: {}", tls.not_after());
}

#[test]
fn no_caller_can_grow_the_labels_with_methods_nobody_serves() {
    let mut registry = Registry::default();
    let calls = register(&mut registry, "rds-backend", &Health::new(), None);
    for made_up in ["a", "b", "c"] {
        calls.answered(made_up, made_up, Code::Unimplemented, Duration::ZERO);
    }
    calls.answered("rds.volume.v1.Volumes", "EnsureVolume", Code::NotFound, Duration::from_millis(3));
    let text = exposed(&registry);
    let line = r#"rds_grpc_requests_total{service="rds.volume.v1.Volumes",method="EnsureVolume",code="NOT_FOUND"} 1"#;
    assert!(text.contains(line), "{text}");
    let unknown = r#"rds_grpc_requests_total{service="unknown",method="unknown",code="UNIMPLEMENTED"} 3"#;
    assert!(text.contains(unknown), "{text}");
    assert_eq!(text.matches("rds_grpc_requests_total{").count(), 2, "{text}");
}

#[test]
fn a_duration_leads_to_its_trace_if_the_trace_is_recorded() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    let subscriber = tracing_subscriber::registry().with(telemetry::traces(&provider, "test"));
    let mut registry = Registry::default();
    let durations = Durations::register(&mut registry, "work", "Work");
    tracing::subscriber::with_default(subscriber, || {
        durations.observe(&[("kind", "outside")], Duration::from_millis(3));
        assert!(!exposed(&registry).contains("trace_id"), "there is no trace");
        tracing::info_span!("work").in_scope(|| {
            durations.observe(&[("kind", "inside")], Duration::from_millis(3));
            let exemplar = format!("# {{trace_id=\"{}\"}} 0.003", telemetry::trace_id().unwrap());
            let text = exposed(&registry);
            assert!(
                text.lines().any(|line| line.contains("kind=\"inside\"") && line.contains(&exemplar)),
                "{text}"
            );
        });
    });
}

#[test]
fn what_somebody_else_counts_is_read_when_it_is_asked_for() {
    let mut registry = Registry::default();
    counter(&mut registry, "lost", "Lost things", || 7);
    assert_eq!(exposed(&registry), "# HELP lost Lost things.\n# TYPE lost counter\nlost_total 7\n# EOF\n");
}
