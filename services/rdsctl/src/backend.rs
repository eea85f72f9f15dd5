//! The client of rds-backend: one channel, a deadline and a span per call, lists followed to their end.
//!
//! Failure: what the backend answers is passed on as it is. A status without its details comes from the transport:
//! nobody answered.

use std::time::Duration;

use chassis::channel::{Channel, Endpoint, Upstream};
use chassis::options::Mistakes;
use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::appliances_client::AppliancesClient;
use proto::rds::volume::v1::snapshots_client::SnapshotsClient;
use proto::rds::volume::v1::volumes_client::VolumesClient;
use proto::rds::volume::v1::{
    ApplianceStatus, GetApplianceStatusRequest, ListSnapshotsRequest, ListVolumesRequest, Snapshot, Volume,
};
use tonic::{Code, Request, Response, Status};
use tracing::Instrument as _;

use crate::cli::BackendOptions;
use crate::outcome::Failure;

/// Name of the backend, and of the role in its certificate.
const BACKEND: &str = "rds-backend";
/// Time for a call that only reads or changes a row.
pub(crate) const SHORT: Duration = Duration::from_secs(30);
/// Time for a call that walks all files of an appliance, changes many rows, or tries it out.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// Largest answer: lists of what does not fit have no pages.
const MAX_ANSWER: usize = 64 << 20;

/// rds-backend.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    channel: Channel,
    limit: Duration,
}

impl Backend {
    /// A client of the backend that the options name. Connects when first called.
    pub(crate) fn of(options: BackendOptions, limit: Duration) -> Result<Self, Failure> {
        let mut mistakes = Mistakes::new();
        let tls = match options.backend {
            Endpoint::Tcp(_) => options.tls.load(&mut mistakes),
            Endpoint::Unix(_) => None,
        };
        mistakes.finish().map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
        let upstream = Upstream::new(BACKEND, options.backend, tls)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let limit = options.timeout.map_or(limit, Duration::from_secs);
        Ok(Self { channel: upstream.channel(), limit })
    }

    /// The same, with more time for each call.
    pub(crate) fn patient(&self, more: Duration) -> Self {
        Self { channel: self.channel.clone(), limit: self.limit + more }
    }

    /// Time a call may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn appliances(&self) -> AppliancesClient<Channel> {
        AppliancesClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub(crate) fn volumes(&self) -> VolumesClient<Channel> {
        VolumesClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub(crate) fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Makes one call. What it answers is an answer or a fault.
    pub(crate) async fn call<M, T>(
        &self,
        method: &'static str,
        message: M,
        send: impl AsyncFnOnce(Request<M>) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        let span =
            tracing::info_span!("backend call", otel.name = format!("rdsctl {method}"), rpc.method = method);
        let mut request = Request::new(message);
        request.set_timeout(self.limit);
        let answer = send(request).instrument(span).await;
        answer.map(Response::into_inner).map_err(failure)
    }

    /// What each appliance says of itself; of all when none is named.
    pub(crate) async fn status(&self, appliance: &str) -> Result<Vec<ApplianceStatus>, Failure> {
        let message = GetApplianceStatusRequest { appliance: appliance.to_owned() };
        let send = async |m| self.appliances().get_appliance_status(m).await;
        Ok(self.call("GetApplianceStatus", message, send).await?.appliances)
    }

    /// All volumes, page after page.
    pub(crate) async fn all_volumes(&self, appliance: &str) -> Result<Vec<Volume>, Failure> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let appliance = appliance.to_owned();
            let message = ListVolumesRequest { appliance, page_size: 0, page_token: page_token.clone() };
            let page =
                self.call("ListVolumes", message, async |m| self.volumes().list_volumes(m).await).await?;
            all.extend(page.volumes);
            if !goes_on(&mut page_token, page.next_page_token)? {
                return Ok(all);
            }
        }
    }

    /// All snapshots, page after page; those of one volume when a source is named.
    pub(crate) async fn all_snapshots(
        &self,
        appliance: &str,
        source: &str,
    ) -> Result<Vec<Snapshot>, Failure> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let (appliance, source) = (appliance.to_owned(), source.to_owned());
            let message =
                ListSnapshotsRequest { appliance, source, page_size: 0, page_token: page_token.clone() };
            let page = self
                .call("ListSnapshots", message, async |m| self.snapshots().list_snapshots(m).await)
                .await?;
            all.extend(page.snapshots);
            if !goes_on(&mut page_token, page.next_page_token)? {
                return Ok(all);
            }
        }
    }
}

/// True when there is another page, which `token` then names. A list that names the same page again would never end.
fn goes_on(token: &mut String, next: String) -> Result<bool, Failure> {
    if next.is_empty() {
        return Ok(false);
    }
    if next == *token {
        return Err(Failure::Refused("rds-backend repeats a page of the list: a defect of it".to_owned()));
    }
    *token = next;
    Ok(true)
}

/// What was concluded, in the words of our services.
pub(crate) fn reason(status: &Status) -> Reason {
    Fault::from_status(status, BACKEND).reason
}

/// An answer is exit code 1; nobody there is exit code 2.
pub(crate) fn failure(status: Status) -> Failure {
    if reason(&status) == Reason::ServiceUnreachable {
        Failure::Usage(status.message().to_owned())
    } else if status.code() == Code::Unimplemented && status.message().is_empty() {
        Failure::Refused(format!(
            "{BACKEND} does not know this call: it is older than this rdsctl; upgrade it"
        ))
    } else {
        Failure::Answer(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_repeats_a_page_is_an_error_and_not_endless() {
        let mut token = String::new();
        assert!(goes_on(&mut token, "a".to_owned()).unwrap());
        assert_eq!(token, "a");
        assert!(matches!(goes_on(&mut token, "a".to_owned()), Err(Failure::Refused(_))));
        assert!(!goes_on(&mut token, String::new()).unwrap());
    }
}
