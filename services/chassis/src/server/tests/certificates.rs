use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::testing::frames::{Frame, GOAWAY, PREFACE, SETTINGS};

#[tokio::test]
async fn changed_certificates_are_used_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.files("rds-backend");
    let tls = Tls::load(&files).unwrap();
    let (endpoint, _handle) = serve_probe(tcp(tls.clone()).await).await;
    assert!(ask(&mut client("rds-backend", &endpoint, Some(old.tls("csi-front"))), "").await.is_ok());

    std::fs::write(&files.key, "half a file").unwrap();
    assert!(tls.reload().is_err(), "what does not parse is not used");
    assert!(ask(&mut client("rds-backend", &endpoint, Some(old.tls("csi-front"))), "").await.is_ok());

    new.write("rds-backend", &files);
    assert!(tls.reload().unwrap());
    assert!(!tls.reload().unwrap(), "nothing has changed since");
    assert!(ask(&mut client("rds-backend", &endpoint, Some(new.tls("csi-front"))), "").await.is_ok());
    assert!(ask(&mut client("rds-backend", &endpoint, Some(old.tls("csi-front"))), "").await.is_err());
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let files = authority.files("rds-backend");
    let (endpoint, _handle) = serve_probe(tcp(Tls::load(&files).unwrap()).await).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.ca).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(endpoint.trim_start_matches("tcp://")).await.unwrap();
    let name = ServerName::try_from("rds-backend").unwrap();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    // With TLS 1.3 the refusal comes after the client's half of the handshake.
    let refusal = match connected {
        Err(error) => error,
        Ok(mut stream) => {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect_err("an alert, no HTTP/2")
        }
    };
    assert!(refusal.to_string().contains("CertificateRequired"), "{refusal}");
}

#[tokio::test]
async fn the_watch_takes_up_every_change_on_disk_and_ends_when_asked() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.files("rds-backend");
    let tls = Tls::load(&files).unwrap();
    let (stop, stopping) = Shutdown::manual();
    let watching = tokio::spawn(tls.clone().watch(Duration::from_millis(5), stopping));
    let (endpoint, _handle) = serve_probe(tcp(tls).await).await;
    for (authority, stranger) in [(&new, &old), (&old, &new)] {
        authority.write("rds-backend", &files);
        let caller = authority.tls("csi-front");
        let taken_up = async {
            while ask(&mut client("rds-backend", &endpoint, Some(caller.clone())), "").await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), taken_up).await.expect("taken up");
        let stranger = stranger.tls("csi-front");
        assert!(ask(&mut client("rds-backend", &endpoint, Some(stranger)), "").await.is_err());
    }
    stop.request();
    tokio::time::timeout(Duration::from_secs(20), watching).await.expect("ends").unwrap();
}

#[tokio::test]
async fn a_connection_ends_at_its_age_but_not_over_a_unix_socket() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let listeners = [tcp(authority.tls("rds-backend")).await, unix(&folder).await];
    let [over_tls, over_unix] = listeners.map(|listener| {
        let endpoint = listener.endpoint();
        let (handle, shutdown) = Shutdown::manual();
        let mut server = Server::new(listener).add(HealthServer::new(Probe));
        server.connection_age = Duration::from_millis(20);
        tokio::spawn(async move { server.serve(&Health::new(), shutdown).await });
        (endpoint, handle)
    });

    let path = over_unix.0.trim_start_matches("unix://");
    let mut aging = tokio::net::UnixStream::connect(path).await.unwrap();
    greet(&mut aging).await;

    let stream = tokio::net::TcpStream::connect(over_tls.0.trim_start_matches("tcp://")).await.unwrap();
    let name = ServerName::try_from("rds-backend").unwrap();
    let config = authority.tls("csi-front").client();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    greet(&mut stream).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), Frame::await_kind(GOAWAY, &mut stream)).await;
    let ended = ended.expect("told to go");
    assert_eq!(ended.payload[4..8], [0, 0, 0, 0], "no error");

    let left = tokio::time::timeout(Duration::from_millis(60), Frame::await_kind(GOAWAY, &mut aging)).await;
    assert!(left.is_err(), "sidecars end themselves when the driver ends their connection");
}

async fn greet(stream: &mut (impl tokio::io::AsyncWrite + Unpin)) {
    stream.write_all(PREFACE).await.unwrap();
    Frame::new(SETTINGS, 0, 0, Vec::new()).write(stream).await;
}
