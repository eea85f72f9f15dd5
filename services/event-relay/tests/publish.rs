//! The relay as its senders meet it: real sockets, mutual TLS, the log sink.
#![expect(clippy::unwrap_used, reason = "a whole file of tests: what is not there fails them")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use chassis::channel::{Channel, Upstream};
use chassis::shutdown::{Shutdown, ShutdownHandle};
use chassis::tls::{Tls, TlsFiles};
use event_relay::{Config, Listeners, Rules, RunError, SinkConfig};
use proto::rds::event::v1::event_relay_client::EventRelayClient;
use proto::rds::event::v1::{
    ClaimSubject, Disposition, Event, NodeSubject, Outcome, PublishRequest, Subject, subject::Kind,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tonic::Code;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn tls(&self, folder: &Path, service: &str) -> Tls {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![service.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let write = |what: &str, text: String| {
            let path = folder.join(format!("{service}.{what}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        Tls::load(&TlsFiles {
            cert: write("crt", certificate.pem()),
            key: write("key", key.serialize_pem()),
            ca: write("ca", self.0.pem()),
        })
        .unwrap()
    }
}

/// A relay that serves, with its own authority and folder.
struct Running {
    folder: tempfile::TempDir,
    authority: Authority,
    endpoint: String,
    admin: std::net::SocketAddr,
    stop: ShutdownHandle,
    served: JoinHandle<Result<(), RunError>>,
}

impl Running {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("events.jsonl"));
        Self::start_with(folder, SinkConfig::Log { file }).await
    }

    async fn start_with(folder: tempfile::TempDir, sink: SinkConfig) -> Self {
        let authority = Authority::new();
        let config = Config {
            listen: "tcp://127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            tls: authority.tls(folder.path(), "event-relay"),
            grace: Duration::from_secs(5),
            rules: Rules::default(),
            driver: "rds.csi.srvlab.io".into(),
            instance: "event-relay-0".into(),
            sink,
        };
        let listeners = Listeners::bind(&config).await.unwrap();
        let endpoint = listeners.grpc.endpoint();
        let admin = listeners.admin.local_addr().unwrap();
        let (stop, shutdown) = Shutdown::manual();
        let served = tokio::spawn(event_relay::serve(config, listeners, shutdown));
        Self { folder, authority, endpoint, admin, stop, served }
    }

    fn client(&self, service: &str) -> EventRelayClient<Channel> {
        let tls = self.authority.tls(self.folder.path(), service);
        let upstream = Upstream::new("event-relay", self.endpoint.parse().unwrap(), Some(tls)).unwrap();
        EventRelayClient::new(upstream.channel())
    }

    async fn publish(&self, service: &str, events: Vec<Event>) -> Result<Vec<Outcome>, tonic::Status> {
        let response = self.client(service).publish(PublishRequest { events }).await?;
        Ok(response.into_inner().outcomes)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("events.jsonl")
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.file()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Asks until the answer contains a text.
    async fn eventually_get(&self, path: &str, wanted: &str) -> String {
        let look = async {
            loop {
                let answer = self.get(path).await;
                if answer.contains(wanted) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), look).await.unwrap()
    }

    async fn stop(self) -> (tempfile::TempDir, Result<(), RunError>) {
        self.stop.request();
        (self.folder, self.served.await.unwrap())
    }
}

fn event(id: &str, reason: &str, kind: Kind) -> Event {
    Event {
        id: id.into(),
        reason: reason.into(),
        subject: Some(Subject { kind: Some(kind) }),
        note: format!("{reason} happened"),
        time_unix_ms: 1_800_000_000_000,
        cause: String::new(),
        instance: "instance-0".into(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
    }
}

fn claim(namespace: &str) -> Kind {
    Kind::Claim(ClaimSubject {
        namespace: namespace.into(),
        name: "data".into(),
        volume_handle: "rds1/csi-0000000000000000000000000001".into(),
    })
}

fn node() -> Kind {
    Kind::Node(NodeSubject { name: "node-a".into() })
}

#[tokio::test]
async fn events_about_claims_go_to_their_namespaces_and_events_about_nodes_to_default() {
    let relay = Running::start().await;
    let backend = vec![
        event("1", "Provisioned", claim("demo")),
        event("2", "Provisioned", claim("other")),
        event("3", "OrphanVolumeFound", node()),
        event("4", "ProvisioningFailed", claim("")),
    ];
    let outcomes = relay.publish("rds-backend", backend).await.unwrap();
    let places: Vec<_> = outcomes.iter().map(|outcome| outcome.namespace.as_str()).collect();
    assert_eq!(places, ["demo", "other", "default", "default"]);
    assert!(outcomes.iter().all(|outcome| outcome.disposition() == Disposition::Written));

    let lines = relay.lines();
    let written: Vec<_> = lines.iter().map(|line| line["namespace"].as_str().unwrap()).collect();
    assert_eq!(written, places);
    assert_eq!(lines[2]["regarding"], serde_json::json!({ "kind": "Node", "name": "node-a" }));
    assert_eq!(lines[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");

    let metrics = relay.get("/metrics").await;
    for line in
        [r#"rds_events_total{reason="Provisioned",outcome="written"} 2"#, "rds_events_unresolved_total 1"]
    {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    relay.stop().await.1.unwrap();
}

#[tokio::test]
async fn the_certificate_limits_what_a_sender_may_report() {
    let relay = Running::start().await;
    let events = vec![event("1", "Provisioned", claim("demo")), event("2", "MountFailure", claim("demo"))];
    let outcomes = relay.publish("nvme-agent", events).await.unwrap();
    assert_eq!(outcomes[0].disposition(), Disposition::Refused);
    assert!(outcomes[0].message.contains("nvme-agent may not report Provisioned"));
    assert_eq!(outcomes[1].disposition(), Disposition::Written);
    assert_eq!(relay.lines().len(), 1);
    for stranger in ["rdsctl", "event-relay"] {
        let refused = relay.publish(stranger, Vec::new()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{stranger}");
    }
    relay.stop().await.1.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_heard() {
    let relay = Running::start().await;
    let tls = Authority::new().tls(relay.folder.path(), "rds-backend");
    let upstream = Upstream::new("event-relay", relay.endpoint.parse().unwrap(), Some(tls)).unwrap();
    let request = PublishRequest { events: vec![event("1", "Provisioned", claim("demo"))] };
    let refused = EventRelayClient::new(upstream.channel()).publish(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    assert!(relay.lines().is_empty());
    relay.stop().await.1.unwrap();
}

#[tokio::test]
async fn a_batch_beyond_the_limit_is_refused_as_a_whole() {
    let relay = Running::start().await;
    let events = vec![event("1", "Provisioned", claim("demo")); 101];
    let refused = relay.publish("rds-backend", events).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("101 events"), "{}", refused.message());
    assert!(relay.lines().is_empty());
    relay.stop().await.1.unwrap();
}

#[tokio::test]
async fn without_an_api_server_the_relay_serves_says_why_and_hands_events_back() {
    let nobody = tower::service_fn(async |_: http::Request<kube::client::Body>| {
        let refused = std::io::Error::other("connection refused by 10.96.0.1:443");
        Err::<http::Response<kube::client::Body>, _>(refused)
    });
    let sink = SinkConfig::Client(kube::Client::new(nobody, "default"));
    let relay = Running::start_with(tempfile::tempdir().unwrap(), sink).await;
    let events = vec![event("1", "Provisioned", claim("demo"))];
    let outcomes = relay.publish("rds-backend", events).await.unwrap();
    assert_eq!(outcomes[0].disposition(), Disposition::Retry);
    assert!(outcomes[0].message.contains("10.96.0.1:443"), "{}", outcomes[0].message);
    assert!(relay.get("/healthz").await.contains("200 OK"));
    let readiness = relay.eventually_get("/readyz", "10.96.0.1:443").await;
    assert!(readiness.contains("503"), "{readiness}");
    relay.stop().await.1.unwrap();
}

#[tokio::test]
async fn the_last_counts_are_written_at_shutdown() {
    let relay = Running::start().await;
    let repeats = (0..7).map(|at| event(&at.to_string(), "ProvisioningFailed", claim("demo")));
    let outcomes = relay.publish("rds-backend", repeats.collect()).await.unwrap();
    assert_eq!(outcomes[0].disposition(), Disposition::Written);
    assert!(outcomes[1..].iter().all(|outcome| outcome.disposition() == Disposition::Folded));
    let file = relay.file();
    let (_folder, served) = relay.stop().await;
    served.unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let counts: Vec<i64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["count"].as_i64().unwrap())
        .collect();
    assert_eq!(counts, [1, 2, 4, 7]);
}
