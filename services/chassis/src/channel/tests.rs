use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span as OtlpSpan;
use tokio::io::AsyncReadExt as _;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::health::Health;
use crate::options::{LogFormat, ProcessOptions};
use crate::server::{Listen, Listener, Server};
use crate::shutdown::Shutdown;
use crate::testing::Authority;
use crate::testing::frames::{Frame, GOAWAY, HEADERS, PREFACE, SETTINGS};

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
    // From a thread without a runtime: sending must not depend on the runtime of whoever starts it.
    let starting = std::thread::spawn({
        let options = options.clone();
        move || crate::telemetry::init("test", &options).unwrap()
    });
    let telemetry = starting.join().unwrap();
    crate::telemetry::init("another", &options)
        .expect("a second service in the process changes nothing")
        .shutdown()
        .await;

    let authority = Authority::new();
    let tcp = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap(), Some(authority.tls("b"))).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unix = Listener::bind(&Listen::Unix(folder.path().join("s")), None).await.unwrap();
    let (tcp, _stop_tcp) = serve_health(tcp).await;
    let (unix, _stop_unix) = serve_health(unix).await;
    let mut over_tls =
        HealthClient::new(Upstream::new("b", tcp, Some(authority.tls("a"))).unwrap().channel());
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
    telemetry.flush().await;

    let spans = collector.0.lock().unwrap().clone();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let of_trace: Vec<&OtlpSpan> = spans.iter().filter(|span| hex(&span.trace_id) == id).collect();
    let root = of_trace.iter().find(|span| span.name == "root").expect("the root arrives");
    let calls: Vec<_> = of_trace.iter().filter(|span| span.parent_span_id == root.span_id).collect();
    assert_eq!(calls.len(), 2, "one client span per call");
    for call in calls {
        let served = of_trace.iter().filter(|span| span.parent_span_id == call.span_id).count();
        assert_eq!(served, 1, "one server span below each client span");
    }
    telemetry.shutdown().await;
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
    client.check(HealthCheckRequest::default()).await.expect("the same channel finds it");
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
    let status = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("answers").unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("rds-backend at tcp://127.0.0.1:"), "{}", status.message());
}

#[tokio::test]
async fn a_service_that_goes_in_mid_call_is_unavailable_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Takes the call and goes without a word.
            let mut taken = [0; 64];
            let _ = stream.read(&mut taken).await;
        }
    });
    let upstream = Upstream::new("nvme-agent", Endpoint::Unix(path), None).unwrap();
    let mut client = HealthClient::new(upstream.channel());
    let status = client.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("nvme-agent at unix:///"), "{}", status.message());
}

/// Takes a call and says that it will not look at it, as a server does that is about to stop.
async fn turn_away(listener: &tokio::net::UnixListener, taken: bool) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await.unwrap();
    Frame::new(SETTINGS, 0, 0, Vec::new()).write(&mut stream).await;
    let call = Frame::await_kind(HEADERS, &mut stream).await;
    let last = if taken { call.stream } else { 0 };
    Frame::new(GOAWAY, 0, 0, vec![0, 0, 0, last, 0, 0, 0, 0]).write(&mut stream).await;
}

async fn asked_while_turned_away(times: usize, taken: bool) -> Result<(), Status> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let stopping = tokio::net::UnixListener::bind(&path).unwrap();
    let upstream = Upstream::new("nvme-agent", Endpoint::Unix(path.clone()), None).unwrap();
    let mut client = HealthClient::new(upstream.channel());
    let call = tokio::spawn(async move { client.check(HealthCheckRequest::default()).await.map(drop) });
    for _ in 0..times {
        turn_away(&stopping, taken).await;
    }
    std::fs::remove_file(&path).unwrap();
    drop(stopping);
    let (_, _stop) = serve_health(Listener::bind(&Listen::Unix(path), None).await.unwrap()).await;
    call.await.unwrap()
}

#[tokio::test]
async fn a_call_that_a_stopping_service_did_not_look_at_is_sent_once_more() {
    asked_while_turned_away(1, false).await.expect("the next service answers");
}

#[tokio::test]
async fn a_call_is_sent_twice_at_most() {
    let status = asked_while_turned_away(2, false).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_call_that_the_service_may_have_looked_at_is_not_sent_again() {
    let status = asked_while_turned_away(1, true).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("broke off the call"), "{}", status.message());
}

fn request(body: Body) -> http::Request<Body> {
    http::Request::builder().uri("http://localhost/a/b").header("te", "trailers").body(body).unwrap()
}

#[test]
fn what_the_other_side_did_not_look_at_has_not_reached_it_and_nothing_else() {
    use h2::Reason;
    let ours = h2::Error::from(Reason::REFUSED_STREAM);
    assert!(!replay::never_reached(&ours), "our own reset says nothing about the other side");
    let lost = std::io::Error::other("connection reset");
    assert!(!replay::never_reached(&lost));
}

async fn read(body: Body) -> Vec<u8> {
    axum::body::to_bytes(axum::body::Body::new(body), usize::MAX).await.unwrap().to_vec()
}

#[tokio::test]
async fn a_call_whose_message_is_there_can_be_sent_twice() {
    let body = Body::new(axum::body::Body::from("message"));
    let (first, again) = replay::hold(request(body)).await;
    let again = again.expect("held").request();
    assert_eq!(first.headers(), again.headers());
    assert_eq!(first.uri(), again.uri());
    assert_eq!(read(first.into_body()).await, b"message");
    assert_eq!(read(again.into_body()).await, b"message");
}

#[tokio::test]
async fn a_stream_of_messages_is_sent_once_and_whole() {
    use tokio_stream::StreamExt as _;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<&'static str, std::io::Error>>(1);
    let later = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let body = tokio_stream::iter([Ok("first, ")]).chain(later);
    let (first, again) = replay::hold(request(Body::new(axum::body::Body::from_stream(body)))).await;
    assert!(again.is_none());
    sender.send(Ok("later")).await.unwrap();
    drop(sender);
    assert_eq!(read(first.into_body()).await, b"first, later");
}

#[test]
fn endpoints_read_back() {
    for text in ["tcp://rds-backend.rds.svc:50051", "tcp://[::1]:1", "unix:///run/agent.sock"] {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
    }
    for text in ["", "tcp://host", "tcp://:1", "tcp://host:0", "http://host:1", "unix://x"] {
        assert!(text.parse::<Endpoint>().is_err(), "{text}");
    }
}
