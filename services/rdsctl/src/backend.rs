//! The way to rds-backend, the same for every command.

use std::time::Duration;

use chassis::channel::{Channel, Endpoint, Upstream};
use chassis::options::Mistakes;
use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::appliances_client::AppliancesClient;
use proto::rds::volume::v1::snapshots_client::SnapshotsClient;
use proto::rds::volume::v1::volumes_client::VolumesClient;
use tonic::{Request, Status};

use crate::cli::BackendOptions;
use crate::outcome::Failure;

/// Name of the backend, and of the role in its certificate.
const BACKEND: &str = "rds-backend";

/// A connection that is made when the first call needs it.
pub(crate) struct Backend {
    channel: Channel,
    limit: Duration,
}

impl Backend {
    /// From the command line.
    pub(crate) fn of(options: BackendOptions) -> Result<Self, Failure> {
        let mut mistakes = Mistakes::new();
        let tls = match options.backend {
            Endpoint::Tcp(_) => options.tls.load(&mut mistakes),
            Endpoint::Unix(_) => None,
        };
        mistakes.finish().map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
        let upstream = Upstream::new(BACKEND, options.backend, tls)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Self { channel: upstream.channel(), limit: Duration::from_secs(options.timeout) })
    }

    pub(crate) fn appliances(&self) -> AppliancesClient<Channel> {
        AppliancesClient::new(self.channel.clone())
    }

    pub(crate) fn volumes(&self) -> VolumesClient<Channel> {
        VolumesClient::new(self.channel.clone())
    }

    pub(crate) fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel.clone())
    }

    /// A request with the deadline of the command line.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.limit);
        request
    }
}

impl From<Status> for Failure {
    /// A status without our details comes from the transport: nobody answered.
    fn from(status: Status) -> Self {
        if Fault::from_status(&status, BACKEND).reason == Reason::ServiceUnreachable {
            return Self::Usage(status.message().to_owned());
        }
        Self::Answer(status)
    }
}
