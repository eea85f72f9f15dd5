use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::*;
use crate::channel::{Channel, Endpoint, Upstream};
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
            "who" => Err(Status::unknown(
                Peer::of(&request)
                    .map(|peer| peer.to_string())
                    .unwrap_or_default(),
            )),
            "panic" => panic!("on purpose"),
            "hang" => std::future::pending().await,
            _ => Ok(Response::new(HealthCheckResponse::default())),
        }
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;
    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

// The probe takes the place of the health service on the wire, so it is served without it.
async fn serve_probe(listener: Listener) -> (String, ShutdownHandle) {
    let endpoint = listener.endpoint();
    let (handle, shutdown) = Shutdown::manual();
    let incoming = listener.incoming(shutdown.clone());
    tokio::spawn(async move {
        tonic::transport::Server::builder()
            .layer(layer::stack())
            .add_service(HealthServer::new(Probe))
            .serve_with_incoming_shutdown(incoming, async move { shutdown.requested().await })
            .await
    });
    (endpoint, handle)
}

async fn tcp(tls: Tls) -> Listener {
    Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap(), Some(tls))
        .await
        .unwrap()
}

fn client(name: &'static str, endpoint: &str, tls: Option<Tls>) -> HealthClient<Channel> {
    let endpoint: Endpoint = endpoint.parse().unwrap();
    HealthClient::new(Upstream::new(name, endpoint, tls).unwrap().channel())
}

async fn ask(client: &mut HealthClient<Channel>, what: &str) -> Result<(), Status> {
    client
        .check(HealthCheckRequest {
            service: what.to_owned(),
        })
        .await
        .map(drop)
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
    let status = ask(
        &mut client("rds-backend", &endpoint, Some(theirs.tls("csi-front"))),
        "",
    )
    .await
    .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains("rds-backend at tcp://127.0.0.1:"),
        "{}",
        status.message()
    );
}

#[tokio::test]
async fn a_service_that_is_not_the_one_that_was_meant_is_refused() {
    let authority = Authority::new();
    let (endpoint, _handle) = serve_probe(tcp(authority.tls("event-relay")).await).await;
    let status = ask(
        &mut client("rds-backend", &endpoint, Some(authority.tls("csi-front"))),
        "",
    )
    .await
    .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test]
async fn plain_text_and_a_caller_without_a_certificate_are_refused_and_the_next_one_is_served() {
    let authority = Authority::new();
    let (endpoint, _handle) = serve_probe(tcp(authority.tls("rds-backend")).await).await;
    let address = endpoint.trim_start_matches("tcp://");
    let mut plain = tokio::net::TcpStream::connect(address).await.unwrap();
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // An alert or a reset, never HTTP/2.
    let _: io::Result<usize> = plain.read_to_end(&mut answer).await;
    assert_ne!(answer.first(), Some(&0), "an HTTP/2 frame was answered");
    assert!(
        ask(
            &mut client("rds-backend", &endpoint, Some(authority.tls("csi-front"))),
            ""
        )
        .await
        .is_ok()
    );
}

#[tokio::test]
async fn changed_certificates_are_used_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.files("rds-backend");
    let tls = Tls::load(&files).unwrap();
    let (endpoint, _handle) = serve_probe(tcp(tls.clone()).await).await;
    assert!(
        ask(
            &mut client("rds-backend", &endpoint, Some(old.tls("csi-front"))),
            ""
        )
        .await
        .is_ok()
    );

    std::fs::write(&files.key, "half a file").unwrap();
    assert!(tls.reload().is_err(), "what does not parse is not used");
    assert!(
        ask(
            &mut client("rds-backend", &endpoint, Some(old.tls("csi-front"))),
            ""
        )
        .await
        .is_ok()
    );

    new.write("rds-backend", &files);
    assert!(tls.reload().unwrap());
    assert!(!tls.reload().unwrap(), "nothing has changed since");
    assert!(
        ask(
            &mut client("rds-backend", &endpoint, Some(new.tls("csi-front"))),
            ""
        )
        .await
        .is_ok()
    );
    assert!(
        ask(
            &mut client("rds-backend", &endpoint, Some(old.tls("csi-front"))),
            ""
        )
        .await
        .is_err()
    );
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_next_call_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let listen = Listen::Unix(folder.path().join("s"));
    let (endpoint, _handle) = serve_probe(Listener::bind(&listen, None).await.unwrap()).await;
    let mut client = client("probe", &endpoint, None);
    assert_eq!(
        ask(&mut client, "panic").await.unwrap_err().code(),
        Code::Internal
    );
    assert!(ask(&mut client, "").await.is_ok());
    assert_eq!(
        ask(&mut client, "who").await.unwrap_err().message(),
        "a local process"
    );
}

#[tokio::test]
async fn a_call_that_hangs_answers_deadline_exceeded_at_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let listen = Listen::Unix(folder.path().join("s"));
    let (endpoint, _handle) = serve_probe(Listener::bind(&listen, None).await.unwrap()).await;
    let mut client = client("probe", &endpoint, None);
    let message = HealthCheckRequest {
        service: "hang".to_owned(),
    };
    let request = crate::deadline::Deadline::after(Duration::from_millis(300)).request(message);
    assert_eq!(
        client.check(request).await.unwrap_err().code(),
        Code::DeadlineExceeded
    );
}

#[tokio::test]
async fn a_unix_socket_is_private_replaces_a_stale_one_and_refuses_a_second_server() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listen = Listen::Unix(path.clone());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind(&listen, None)
        .await
        .expect("a stale socket is replaced");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(matches!(
        Listener::bind(&listen, None).await,
        Err(BindError::InUse(_))
    ));
    let (_, handle) = serve_probe(listener).await;
    handle.request();

    let file = folder.path().join("f");
    std::fs::write(&file, "data").unwrap();
    assert!(matches!(
        Listener::bind(&Listen::Unix(file.clone()), None).await,
        Err(BindError::NotASocket(_))
    ));
    assert_eq!(
        std::fs::read(&file).unwrap(),
        b"data",
        "nothing that is no socket is removed"
    );
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
    let mut status = async || {
        client
            .check(HealthCheckRequest::default())
            .await
            .unwrap()
            .into_inner()
            .status
    };
    assert_eq!(status().await, tonic_health::ServingStatus::NotServing as i32);
    condition.ready();
    let became_ready = async {
        while status().await != tonic_health::ServingStatus::Serving as i32 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), became_ready)
        .await
        .expect("becomes ready");
    handle.request();
    tokio::time::timeout(Duration::from_secs(10), serving)
        .await
        .expect("stops")
        .unwrap()
        .unwrap();
}

#[test]
fn places_to_listen_on_read_back() {
    for text in ["tcp://127.0.0.1:50051", "tcp://[::1]:0", "unix:///run/csi.sock"] {
        assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
    }
    assert_eq!(
        "/run/csi.sock".parse::<Listen>().unwrap().to_string(),
        "unix:///run/csi.sock"
    );
    for text in [
        "",
        "127.0.0.1:1",
        "tcp://host:1",
        "unix://relative",
        &format!("/{}", "x".repeat(107)),
    ] {
        assert!(text.parse::<Listen>().is_err(), "{text}");
    }
}
