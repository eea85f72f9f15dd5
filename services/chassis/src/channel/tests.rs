use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span as OtlpSpan;
use tonic::{Code, Request, Response};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::health::Health;
use crate::options::{LogFormat, ProcessOptions};
use crate::server::{Listen, Listener, Server};
use crate::shutdown::Shutdown;
use crate::testing::Authority;

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<OtlpSpan>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let spans = resources.flat_map(|r| r.scope_spans).flat_map(|s| s.spans);
        self.0.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn serve_health(listener: Listener) -> (Endpoint, crate::shutdown::ShutdownHandle) {
    let endpoint = listener.endpoint().parse().unwrap();
    let (handle, shutdown) = Shutdown::manual();
    tokio::spawn(async move { Server::new(listener).serve(&Health::new(), shutdown).await });
    (endpoint, handle)
}

// The only test of this crate that sets up the telemetry of the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_spans_a_unix_socket_and_mutual_tls() {
    let collector = Collector::default();
    let otlp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ProcessOptions {
        log: "off".to_owned(),
        log_format: LogFormat::Json,
        otlp_endpoint: Some(format!("http://{}", otlp.local_addr().unwrap())),
        trace_sample_ratio: 1.0,
        admin_listen: String::new(),
        shutdown_grace: 1,
    };
    let collecting = TraceServiceServer::new(collector.clone());
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(collecting)
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(otlp)),
    );
    let telemetry = crate::telemetry::init("test", &options).unwrap();

    let authority = Authority::new();
    let tcp = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap(), Some(authority.tls("b")))
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unix = Listener::bind(&Listen::Unix(folder.path().join("s")), None)
        .await
        .unwrap();
    let (tcp, _stop_tcp) = serve_health(tcp).await;
    let (unix, _stop_unix) = serve_health(unix).await;
    let mut over_tls = HealthClient::new(
        Upstream::new("b", tcp, Some(authority.tls("a")))
            .unwrap()
            .channel(),
    );
    let mut over_unix = HealthClient::new(Upstream::new("c", unix, None).unwrap().channel());

    let root = tracing::info_span!("root");
    let id = async {
        over_tls.check(HealthCheckRequest::default()).await.unwrap();
        over_unix.check(HealthCheckRequest::default()).await.unwrap();
        crate::telemetry::trace_id().unwrap()
    }
    .instrument(root.clone())
    .await;
    drop(root);
    telemetry.shutdown().await;

    let spans = collector.0.lock().unwrap().clone();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let of_trace: Vec<&OtlpSpan> = spans.iter().filter(|span| hex(&span.trace_id) == id).collect();
    let root = of_trace
        .iter()
        .find(|span| span.name == "root")
        .expect("the root arrives");
    let calls: Vec<_> = of_trace
        .iter()
        .filter(|span| span.parent_span_id == root.span_id)
        .collect();
    assert_eq!(calls.len(), 2, "one client span per call");
    for call in calls {
        let served = of_trace
            .iter()
            .filter(|span| span.parent_span_id == call.span_id)
            .count();
        assert_eq!(served, 1, "one server span below each client span");
    }
}

#[tokio::test]
async fn an_unreachable_service_is_named_with_its_address_and_found_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let upstream = Upstream::new("nvme-agent", Endpoint::Unix(path.clone()), None).unwrap();
    let mut client = HealthClient::new(upstream.channel());
    let status = client.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let named = format!("nvme-agent at unix://{} cannot be reached", path.display());
    assert!(status.message().starts_with(&named), "{}", status.message());

    let (_, _stop) = serve_health(Listener::bind(&Listen::Unix(path), None).await.unwrap()).await;
    client
        .check(HealthCheckRequest::default())
        .await
        .expect("the same channel finds it");
}

#[tokio::test]
async fn a_service_that_comes_back_within_a_moment_is_not_noticed_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let upstream = Upstream::new("nvme-agent", Endpoint::Unix(path.clone()), None).unwrap();
    let mut client = HealthClient::new(upstream.channel());
    let call = tokio::spawn(async move { client.check(HealthCheckRequest::default()).await.map(drop) });
    tokio::task::yield_now().await;
    let (_, _stop) = serve_health(Listener::bind(&Listen::Unix(path), None).await.unwrap()).await;
    assert!(call.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_host_that_never_answers_costs_the_callers_deadline_and_no_more() {
    // Accepts and never speaks: the handshake hangs.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Tcp(silent.local_addr().unwrap().to_string());
    let authority = Authority::new();
    let upstream = Upstream::new("rds-backend", endpoint, Some(authority.tls("csi-front"))).unwrap();
    let mut client = HealthClient::new(upstream.channel());
    let deadline = crate::deadline::Deadline::after(Duration::from_millis(300));
    let asked = client.check(deadline.request(HealthCheckRequest::default()));
    let status = tokio::time::timeout(Duration::from_secs(10), asked)
        .await
        .expect("answers")
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(
        status.message().contains("rds-backend at tcp://127.0.0.1:"),
        "{}",
        status.message()
    );
}

#[test]
fn endpoints_read_back() {
    for text in [
        "tcp://rds-backend.rds.svc:50051",
        "tcp://[::1]:1",
        "unix:///run/agent.sock",
    ] {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "tcp://host",
        "tcp://:1",
        "tcp://host:0",
        "http://host:1",
        "unix://x",
    ] {
        assert!(text.parse::<Endpoint>().is_err(), "{text}");
    }
}
