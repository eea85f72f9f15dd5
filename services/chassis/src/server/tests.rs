use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

mod authority;
mod certificates;
mod drain;

use super::*;
use crate::channel::{Channel, Endpoint, Upstream};
use crate::deadline::Deadline;
use crate::shutdown::ShutdownHandle;
use crate::testing::Authority;
use crate::tls::Tls;

/// A service that says who called, in the only message at hand: it answers with an error that holds the text.
#[derive(Clone)]
struct Probe;

#[tonic::async_trait]
#[expect(clippy::disallowed_methods, reason = "a test service")]
impl HealthService for Probe {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match request.get_ref().service.as_str() {
            "who" => {
                Err(Status::unknown(Peer::of(&request).map(|peer| peer.to_string()).unwrap_or_default()))
            }
            "panic" => panic!("on purpose"),
            "left" => {
                let left = Deadline::of(&request, Duration::ZERO).remaining();
                Err(Status::unknown(left.as_millis().to_string()))
            }
            "hang" => std::future::pending().await,
            _ => Ok(Response::new(HealthCheckResponse::default())),
        }
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;
    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

// The probe takes the place of the health service on the wire.
async fn serve_probe(listener: Listener) -> (String, ShutdownHandle) {
    let endpoint = listener.endpoint();
    let (handle, shutdown) = Shutdown::manual();
    let server = Server::new(listener).add(HealthServer::new(Probe));
    tokio::spawn(async move { server.serve(&Health::new(), shutdown).await });
    (endpoint, handle)
}

async fn unix(folder: &tempfile::TempDir) -> Listener {
    Listener::bind(&Listen::Unix(folder.path().join("s")), None).await.unwrap()
}

async fn tcp(tls: Tls) -> Listener {
    Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap(), Some(tls)).await.unwrap()
}

fn client(name: &'static str, endpoint: &str, tls: Option<Tls>) -> HealthClient<Channel> {
    let endpoint: Endpoint = endpoint.parse().unwrap();
    HealthClient::new(Upstream::new(name, endpoint, tls).unwrap().channel())
}

async fn ask(client: &mut HealthClient<Channel>, what: &str) -> Result<(), Status> {
    client.check(HealthCheckRequest { service: what.to_owned() }).await.map(drop)
}

#[tokio::test]
async fn a_service_learns_the_name_in_its_callers_certificate() {
    let authority = Authority::new();
    let (endpoint, _handle) = serve_probe(tcp(authority.tls("rds-backend")).await).await;
    let mut client = client("rds-backend", &endpoint, Some(authority.tls("csi-front")));
    assert_eq!(ask(&mut client, "who").await.unwrap_err().message(), "csi-front");
    assert!(ask(&mut client, "").await.is_ok());
}

#[tokio::test]
async fn a_caller_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (endpoint, _handle) = serve_probe(tcp(ours.tls("rds-backend")).await).await;
    let status =
        ask(&mut client("rds-backend", &endpoint, Some(theirs.tls("csi-front"))), "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("rds-backend at tcp://127.0.0.1:"), "{}", status.message());
}

#[tokio::test]
async fn a_service_that_is_not_the_one_that_was_meant_is_refused() {
    let authority = Authority::new();
    let (endpoint, _handle) = serve_probe(tcp(authority.tls("event-relay")).await).await;
    let status =
        ask(&mut client("rds-backend", &endpoint, Some(authority.tls("csi-front"))), "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test]
async fn plain_text_is_refused_and_the_next_caller_is_served() {
    let authority = Authority::new();
    let (endpoint, _handle) = serve_probe(tcp(authority.tls("rds-backend")).await).await;
    let address = endpoint.trim_start_matches("tcp://");
    let mut plain = tokio::net::TcpStream::connect(address).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An alert or a reset, never HTTP/2.
    let _: io::Result<usize> = plain.read_to_end(&mut answer).await;
    assert_ne!(answer.first(), Some(&0), "an HTTP/2 frame was answered");
    assert!(ask(&mut client("rds-backend", &endpoint, Some(authority.tls("csi-front"))), "").await.is_ok());
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_next_call_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, _handle) = serve_probe(unix(&folder).await).await;
    let mut client = client("probe", &endpoint, None);
    assert_eq!(ask(&mut client, "panic").await.unwrap_err().code(), Code::Internal);
    assert!(ask(&mut client, "").await.is_ok());
    assert_eq!(ask(&mut client, "who").await.unwrap_err().message(), "a local process");
}

#[tokio::test]
async fn a_call_that_hangs_answers_deadline_exceeded_at_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, _handle) = serve_probe(unix(&folder).await).await;
    let mut client = client("probe", &endpoint, None);
    let message = HealthCheckRequest { service: "hang".to_owned() };
    let request = Deadline::after(Duration::from_millis(300)).request(message);
    assert_eq!(client.check(request).await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_service_learns_how_much_time_its_caller_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, _handle) = serve_probe(unix(&folder).await).await;
    let mut client = client("probe", &endpoint, None);
    let asked = |limit| {
        let message = HealthCheckRequest { service: "left".to_owned() };
        Deadline::after(Duration::from_secs(limit)).request(message)
    };
    let left = client.check(asked(100)).await.unwrap_err();
    let left: u64 = left.message().parse().unwrap();
    assert!((80_000..100_000).contains(&left), "{left} ms");
    let left = ask(&mut client, "left").await.unwrap_err();
    let left: u64 = left.message().parse().unwrap();
    assert!((20_000..=30_000).contains(&left), "a call without a limit gets one: {left} ms");
}

#[tokio::test]
async fn reflection_lists_what_is_served_here_and_nothing_else() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{FILE_DESCRIPTOR_SET, ServerReflectionRequest};

    let folder = tempfile::tempdir().unwrap();
    let listener = unix(&folder).await;
    let endpoint: Endpoint = listener.endpoint().parse().unwrap();
    let (_handle, shutdown) = Shutdown::manual();
    // A set that describes a service which is not served under that name.
    let server = Server::new(listener).descriptors(FILE_DESCRIPTOR_SET);
    tokio::spawn(async move { server.serve(&Health::new(), shutdown).await });
    let channel = Upstream::new("probe", endpoint, None).unwrap().channel();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = tokio_stream::iter([request]).chain(tokio_stream::pending());
    let mut answers =
        ServerReflectionClient::new(channel).server_reflection_info(requests).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    assert_eq!(names, ["grpc.health.v1.Health"]);
}

#[tokio::test]
async fn a_unix_socket_is_private_replaces_a_stale_one_and_refuses_a_second_server() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listen = Listen::Unix(path.clone());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind(&listen, None).await.expect("a stale socket is replaced");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(Listener::bind(&listen, None).await, Err(BindError::InUse(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing lies beside it");
    let (_, handle) = serve_probe(listener).await;
    handle.request();

    let file = folder.path().join("f");
    std::fs::write(&file, "data").unwrap();
    assert!(matches!(Listener::bind(&Listen::Unix(file.clone()), None).await, Err(BindError::NotASocket(_))));
    assert_eq!(std::fs::read(&file).unwrap(), b"data", "nothing that is no socket is removed");
}

#[tokio::test]
async fn a_server_too_busy_to_accept_keeps_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(&path).unwrap();
    let _busy = socket.listen(0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::net::UnixStream::connect(&path).await {
        waiting.push(stream);
    }
    let second = Listener::bind(&Listen::Unix(path), None).await;
    assert!(matches!(second, Err(BindError::InUse(_))), "{second:?}");
}

#[tokio::test]
async fn tcp_without_certificates_does_not_start() {
    let bound = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap(), None).await;
    assert!(matches!(bound, Err(BindError::TlsMissing(_))));
}

#[tokio::test]
async fn grpc_health_follows_readiness_and_the_server_stops_when_asked() {
    let authority = Authority::new();
    let listener = tcp(authority.tls("rds-backend")).await;
    let endpoint = listener.endpoint();
    let health = Health::new();
    let condition = health.condition("appliance");
    let (handle, shutdown) = Shutdown::manual();
    let serving = tokio::spawn({
        let health = health.clone();
        async move { Server::new(listener).serve(&health, shutdown).await }
    });
    let mut client = client("rds-backend", &endpoint, Some(authority.tls("rdsctl")));
    let mut status = async || client.check(HealthCheckRequest::default()).await.unwrap().into_inner().status;
    assert_eq!(status().await, tonic_health::ServingStatus::NotServing as i32);
    condition.ready();
    let became_ready = async {
        while status().await != tonic_health::ServingStatus::Serving as i32 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), became_ready).await.expect("becomes ready");
    handle.request();
    tokio::time::timeout(Duration::from_secs(10), serving).await.expect("stops").unwrap().unwrap();
    assert_eq!(health.readiness(), Err(vec!["process: stopping".to_owned()]));
}

#[test]
fn places_to_listen_on_read_back() {
    for text in ["tcp://127.0.0.1:50051", "tcp://[::1]:0", "unix:///run/csi.sock"] {
        assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
    }
    assert_eq!("/run/csi.sock".parse::<Listen>().unwrap().to_string(), "unix:///run/csi.sock");
    for text in ["", "127.0.0.1:1", "tcp://host:1", "unix://relative", &format!("/{}", "x".repeat(107))] {
        assert!(text.parse::<Listen>().is_err(), "{text}");
    }
}
