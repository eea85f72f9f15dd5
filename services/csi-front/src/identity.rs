//! CSI Identity: the same answers in every mode.

use proto::csi::v1 as csi;
use proto::csi::v1::identity_server::Identity;
use tonic::{Request, Response, Status};

use crate::capabilities;
use crate::edge::{Edge, Subject};
use crate::rpc::Rpc;

/// Who the driver is.
#[derive(Debug, Clone)]
pub(crate) struct IdentityService {
    pub(crate) driver: String,
    pub(crate) edge: Edge,
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn get_plugin_info(
        &self,
        _: Request<csi::GetPluginInfoRequest>,
    ) -> Result<Response<csi::GetPluginInfoResponse>, Status> {
        let work = async {
            Ok(csi::GetPluginInfoResponse {
                name: self.driver.clone(),
                vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
                ..csi::GetPluginInfoResponse::default()
            })
        };
        self.edge.answer(Rpc::GetPluginInfo, Subject::Service, work).await
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<csi::GetPluginCapabilitiesRequest>,
    ) -> Result<Response<csi::GetPluginCapabilitiesResponse>, Status> {
        let work = async { Ok(capabilities::plugin()) };
        self.edge.answer(Rpc::GetPluginCapabilities, Subject::Service, work).await
    }

    /// Ready when this process can answer: what is down behind it is not mended by restarting the pod.
    async fn probe(&self, _: Request<csi::ProbeRequest>) -> Result<Response<csi::ProbeResponse>, Status> {
        let work = async { Ok(csi::ProbeResponse { ready: Some(true) }) };
        self.edge.answer(Rpc::Probe, Subject::Service, work).await
    }
}
