//! Which cluster we are: configured, or the UID of the namespace kube-system.
//!
//! Until it is known no slot can be derived and no mark be checked, so every call that touches a volume is refused.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chassis::health::Condition;
use chassis::shutdown::Shutdown;
use k8s_openapi::api::core::v1::Namespace;
use proto::fault::{Fault, Reason};
use proto::id::ClusterId;

const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The namespace whose UID stands for the cluster: it is there from the start and is never made anew.
const NAMESPACE: &str = "kube-system";

/// The cluster id, once it is known. Never changes after that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cluster(Arc<OnceLock<ClusterId>>);

impl Cluster {
    /// A configured one, or none yet.
    pub(crate) fn new(configured: Option<ClusterId>) -> Self {
        let cluster = Self::default();
        if let Some(id) = configured {
            // The cell is new: nobody has set it.
            let _ = cluster.0.set(id);
        }
        cluster
    }

    /// The id, or the fault for a call that needs it.
    pub(crate) fn id(&self) -> Result<&ClusterId, Fault> {
        self.0.get().ok_or_else(|| {
            Fault::unsettled(
                Reason::ServiceUnreachable,
                "the cluster id is not known yet: the Kubernetes API has not answered; set --cluster-id, or see /readyz",
            )
        })
    }

    /// Reads the id from the API until it is known.
    pub(crate) async fn find(self, condition: Condition, shutdown: Shutdown) {
        if self.0.get().is_some() {
            condition.ready();
            return;
        }
        let search = async {
            for wait in chassis::backoff::exponential(RETRY_MIN, RETRY_MAX) {
                match read().await {
                    Ok(id) => {
                        tracing::info!(cluster.id = id.as_str(), "cluster id read from the API");
                        // Only this task sets it.
                        let _ = self.0.set(id);
                        condition.ready();
                        return;
                    }
                    Err(why) => condition.not_ready(why),
                }
                tokio::time::sleep(wait).await;
            }
        };
        tokio::select! {
            () = search => {}
            () = shutdown.requested() => {}
        }
    }
}

async fn read() -> Result<ClusterId, String> {
    let client = kube::Client::try_default().await.map_err(|error| {
        format!("no access to the Kubernetes API ({error}); set --cluster-id to do without")
    })?;
    let namespace = kube::Api::<Namespace>::all(client)
        .get(NAMESPACE)
        .await
        .map_err(|error| format!("namespace {NAMESPACE} cannot be read: {error}"))?;
    let uid = namespace.metadata.uid.unwrap_or_default();
    uid.parse().map_err(|error| format!("the UID of namespace {NAMESPACE}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_id_calls_are_told_so_and_nothing_is_settled() {
        let fault = Cluster::new(None).id().map(ToString::to_string).expect_err("not known");
        assert_eq!((fault.reason, fault.settled), (Reason::ServiceUnreachable, false));
        let id: ClusterId = "demo".parse().expect("an id");
        assert_eq!(Cluster::new(Some(id.clone())).id(), Ok(&id));
    }
}
