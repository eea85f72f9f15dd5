//! The way operators go: TCP with mutual TLS, options from the command line or from the environment.

use std::path::Path;
use std::time::Duration;

use chassis::health::Health;
use chassis::server::{Listen, Listener, Server};
use chassis::shutdown::Shutdown;
use chassis::tls::{Tls, TlsFiles};
use proto::rds::volume::v1::Volume;
use proto::rds::volume::v1::volumes_server::VolumesServer;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::fake::{Fake, World};
use crate::program::{rdsctl, rdsctl_with};

/// Writes the certificate of an authority and of each role into the folder.
fn certificates(folder: &Path, roles: &[&str]) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    std::fs::write(folder.join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    let authority = Issuer::new(params, key);
    for role in roles {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![(*role).to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        std::fs::write(folder.join(format!("{role}.crt")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{role}.key")), key.serialize_pem()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_is_spoken_to_over_mutual_tls_and_another_one_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["rds-backend", "rdsctl"]);
    let at = |name: &str| folder.path().join(name);
    let files = TlsFiles { cert: at("rds-backend.crt"), key: at("rds-backend.key"), ca: at("ca.crt") };
    let tls = Tls::load(&files).unwrap();
    let listener = Listener::bind(&Listen::Tcp(([127, 0, 0, 1], 0).into()), Some(tls)).await.unwrap();
    let backend = listener.endpoint();
    let (_handle, shutdown) = Shutdown::manual();
    let volumes = vec![Volume { handle: "rds1/csi-1".to_owned(), ..Volume::default() }];
    let server =
        Server::new(listener).add(VolumesServer::new(Fake::new(World { volumes, ..World::default() })));
    tokio::spawn(async move { server.grace(Duration::ZERO).serve(&Health::new(), shutdown).await });

    let path = |name: &str| at(name).to_str().unwrap().to_owned();
    let (cert, key, ca) = (path("rdsctl.crt"), path("rdsctl.key"), path("ca.crt"));
    let list = ["volumes", "list"];
    let options = ["--backend", &backend, "--tls-cert", &cert, "--tls-key", &key, "--tls-ca", &ca];
    let (code, out, err) = rdsctl(&[&list[..], &options].concat()).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("rds1/csi-1"), "{out}");
    let environment = [
        ("RDS_BACKEND_ENDPOINT", backend.as_str()),
        ("RDS_TLS_CERT", cert.as_str()),
        ("RDS_TLS_KEY", key.as_str()),
        ("RDS_TLS_CA", ca.as_str()),
    ];
    let (code, out, err) = rdsctl_with(&environment, &list).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("rds1/csi-1"), "{out}");

    let strangers = tempfile::tempdir().unwrap();
    certificates(strangers.path(), &[]);
    let other = strangers.path().join("ca.crt").to_str().unwrap().to_owned();
    let options = ["--backend", &backend, "--tls-cert", &cert, "--tls-key", &key, "--tls-ca", &other];
    let (code, out, err) = rdsctl(&[&list[..], &options].concat()).await;
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    let (code, _, err) = rdsctl(&[&list[..], &["--backend", &backend]].concat()).await;
    assert_eq!(code, 2);
    assert!(
        err.contains("--tls-cert") && err.contains("--tls-ca"),
        "all that is missing is said at once: {err}"
    );
}
