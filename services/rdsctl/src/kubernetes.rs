//! The Kubernetes API, with a deadline for every request.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

/// Longest time for one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// What the API did not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiFailure {
    /// There are no credentials for it.
    #[error("no access to the Kubernetes API: {0}; run in a pod, or give --kubeconfig")]
    NoAccess(String),
    /// It answered an error.
    #[error("{what}: {error}")]
    Answer {
        what: String,
        #[source]
        error: kube::Error,
    },
    /// It did not answer.
    #[error("{what}: no answer of the Kubernetes API within {} s", REQUEST_LIMIT.as_secs())]
    TimedOut { what: String },
}

impl ApiFailure {
    /// True when somebody else wrote first.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Answer { error: kube::Error::Api(status), .. } if status.code == 409)
    }
}

/// A client with the credentials of a file, of the environment, or of the pod.
pub(crate) async fn client(kubeconfig: Option<&Path>) -> Result<kube::Client, ApiFailure> {
    fn wrong(error: impl std::error::Error) -> ApiFailure {
        ApiFailure::NoAccess(error.to_string())
    }
    let config = match kubeconfig {
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path).map_err(wrong)?;
            kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
                .await
                .map_err(wrong)?
        }
        None => kube::Config::infer().await.map_err(wrong)?,
    };
    kube::Client::try_from(config).map_err(wrong)
}

/// Waits for an answer, not for ever. `what` is what the request is about.
pub(crate) async fn ask<T>(
    what: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiFailure> {
    match tokio::time::timeout(REQUEST_LIMIT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ApiFailure::Answer { what: what.to_owned(), error }),
        Err(_) => Err(ApiFailure::TimedOut { what: what.to_owned() }),
    }
}
