//! Who looks after an appliance, played: calls that only an operator may make.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use chassis::channel::{Channel, Endpoint, Upstream};
use chassis::tls::{Tls, TlsFiles};
use proto::rds::volume::v1::appliances_client::AppliancesClient;
use proto::rds::volume::v1::{
    GetApplianceHealthRequest, GetApplianceHealthResponse, GetInventoryRequest, GetInventoryResponse,
};

use crate::orchestrator::call;
use crate::pki::IdentityFiles;

/// A channel to a backend with an identity.
pub(crate) fn backend_channel(backend: SocketAddr, files: &IdentityFiles) -> Result<Channel> {
    let files =
        TlsFiles { cert: files.certificate.clone(), key: files.key.clone(), ca: files.authority.clone() };
    let tls = Tls::load(&files).context("the identity cannot be read")?;
    Ok(Upstream::new("rds-backend", Endpoint::Tcp(backend.to_string()), Some(tls))?.channel())
}

/// An operator with a channel of the role `rdsctl`.
pub(crate) struct Operator(AppliancesClient<Channel>);

impl Operator {
    /// Calls go over `channel`.
    pub(crate) fn new(channel: Channel) -> Self {
        Self(AppliancesClient::new(channel))
    }

    /// Health and inventory of an appliance.
    pub(crate) async fn look(
        &mut self,
        appliance: &str,
    ) -> Result<(GetApplianceHealthResponse, GetInventoryResponse)> {
        let request = GetApplianceHealthRequest { appliance: appliance.to_owned() };
        let health = self.0.get_appliance_health(call(request)).await.context("GetApplianceHealth")?;
        let request = GetInventoryRequest { appliance: appliance.to_owned() };
        let inventory = self.0.get_inventory(call(request)).await.context("GetInventory")?;
        Ok((health.into_inner(), inventory.into_inner()))
    }
}
