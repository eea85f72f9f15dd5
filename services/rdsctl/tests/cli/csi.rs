//! `rdsctl csi`, and the exit codes of all commands.

use std::time::Duration;

use chassis::health::Health;
use chassis::server::{Listen, Listener, Server};
use chassis::shutdown::Shutdown;
use proto::csi::v1 as csi;
use proto::csi::v1::identity_server::{Identity, IdentityServer};
use tonic::{Request, Response, Status};

use crate::fake::{Fake, World};
use crate::program::{rdsctl, serve};

/// A driver that can say who it is.
pub(crate) struct Driver;

#[tonic::async_trait]
impl Identity for Driver {
    async fn get_plugin_info(
        &self,
        _: Request<csi::GetPluginInfoRequest>,
    ) -> Result<Response<csi::GetPluginInfoResponse>, Status> {
        let name = "rds.csi.srvlab.io".to_owned();
        Ok(Response::new(csi::GetPluginInfoResponse { name, ..csi::GetPluginInfoResponse::default() }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<csi::GetPluginCapabilitiesRequest>,
    ) -> Result<Response<csi::GetPluginCapabilitiesResponse>, Status> {
        Ok(Response::new(csi::GetPluginCapabilitiesResponse::default()))
    }

    async fn probe(
        &self,
        request: Request<csi::ProbeRequest>,
    ) -> Result<Response<csi::ProbeResponse>, Status> {
        let limited = request.metadata().contains_key("grpc-timeout");
        let traced = request.metadata().contains_key("traceparent");
        Ok(Response::new(csi::ProbeResponse { ready: Some(limited && traced) }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_json_on_standard_output_and_exit_0() {
    let folder = tempfile::tempdir().unwrap();
    let _server = serve(&folder.path().join("csi.sock"), Fake::new(World::default())).await;
    let socket = format!("unix://{}/csi.sock", folder.path().display());
    let (code, out, err) = rdsctl(&["csi", "probe", "--socket", &socket]).await;
    assert_eq!(code, 0, "{err}");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["ready"], true, "the call carries a deadline and begins a trace");
    let (code, out, _) = rdsctl(&["csi", "--socket", &socket, "info"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("rds.csi.srvlab.io"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_answer_is_exit_1_with_its_code_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let _server = serve(&folder.path().join("csi.sock"), Fake::new(World::default())).await;
    let socket = format!("unix://{}/csi.sock", folder.path().display());
    let (code, out, err) = rdsctl(&["csi", "create", "x", "--size", "1Gi", "--socket", &socket]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("rdsctl: UNIMPLEMENTED"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_or_a_silent_socket_is_exit_2() {
    for arguments in [
        &["csi", "probe"][..],
        &["csi", "probe", "--socket", "unix:///nonexistent/csi.sock"],
        &["csi", "probe", "--socket", "tcp://127.0.0.1:1"],
        &["csi", "create", "x", "--size", "2G", "--socket", "unix:///x"],
        &["csi", "no-such-call"],
        &["appliance", "status", "--backend", "tcp://127.0.0.1:1"],
        &["appliance", "status", "--backend", "unix:///nonexistent/backend.sock"],
    ] {
        let (code, out, err) = rdsctl(arguments).await;
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(!err.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_older_than_the_call_is_named_and_exit_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend.sock");
    let listener = Listener::bind(&Listen::Unix(path.clone()), None).await.expect("binds");
    let (_handle, shutdown) = Shutdown::manual();
    let server = Server::new(listener).add(IdentityServer::new(Driver));
    tokio::spawn(async move { server.grace(Duration::ZERO).serve(&Health::new(), shutdown).await });
    let backend = format!("unix://{}", path.display());
    let (code, out, err) = rdsctl(&["snapshots", "list", "--backend", &backend]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("older than this rdsctl"), "{err}");
}
