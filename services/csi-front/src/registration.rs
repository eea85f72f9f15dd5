//! Registration with kubelet: a socket in its `plugins_registry` folder, which kubelet finds and calls.
//!
//! The socket appears only after the agent has been ready once, so that kubelet never learns of a node that cannot
//! work. It is **never withdrawn for health**, nor at the end of the process: kubelet would forget the driver, could
//! not even unpublish, and every pod of it would stick in Terminating. The next process puts its own socket in place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chassis::backoff;
use chassis::health::Health;
use chassis::server::{BindError, Listen, Listener, Server};
use chassis::shutdown::Shutdown;
use proto::pluginregistration as kubelet;
use proto::pluginregistration::registration_server::{Registration, RegistrationServer};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use crate::metrics::Metrics;
use crate::readiness::wait;
use crate::request::path::KubeletDir;

/// What kubelet calls a CSI driver.
const PLUGIN_TYPE: &str = "CSIPlugin";
/// Version of kubelet's interface for CSI drivers, not that of CSI.
const VERSION: &str = "1.0.0";
/// Kubelet's two calls take milliseconds.
const GRACE: Duration = Duration::from_secs(1);
const MIN_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Where kubelet looks for the socket of `driver`.
pub(crate) fn socket(kubelet: &KubeletDir, driver: &str) -> PathBuf {
    kubelet.as_path().join("plugins_registry").join(format!("{driver}-reg.sock"))
}

/// What it takes to register.
pub(crate) struct Registrar {
    pub(crate) socket: PathBuf,
    pub(crate) driver: String,
    /// Path of the socket that serves CSI.
    pub(crate) endpoint: String,
    pub(crate) metrics: Metrics,
}

#[derive(Debug, thiserror::Error)]
enum RegistrationError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot put the registration socket in place at {path}: {source}")]
    Place { path: String, source: std::io::Error },
    #[error(transparent)]
    Serve(#[from] chassis::server::ServeError),
}

impl Registrar {
    /// Registers once `agent_ready` says so, and serves until asked to stop. What fails is tried again.
    pub(crate) async fn run(self, agent_ready: oneshot::Receiver<()>, shutdown: Shutdown) {
        tokio::select! {
            ready = agent_ready => if ready.is_err() { return },
            () = shutdown.requested() => return,
        }
        for pause in backoff::exponential(MIN_PAUSE, MAX_PAUSE) {
            match self.serve(shutdown.clone()).await {
                Ok(()) => return,
                Err(error) => {
                    let socket = self.socket.display();
                    tracing::error!(%socket, %error, "cannot register with kubelet, trying again");
                }
            }
            if !wait(pause, &shutdown).await {
                return;
            }
        }
    }

    async fn serve(&self, shutdown: Shutdown) -> Result<(), RegistrationError> {
        // Kubelet dials every socket that appears under its final name, and ignores names that begin with a dot.
        let hidden = hidden(&self.socket);
        let listener = Listener::bind(&Listen::Unix(hidden.clone()), None).await?;
        std::fs::rename(&hidden, &self.socket)
            .map_err(|source| RegistrationError::Place { path: self.socket.display().to_string(), source })?;
        tracing::info!(socket = %self.socket.display(), endpoint = self.endpoint, "offering registration to kubelet");
        let service = KubeletFacing {
            driver: self.driver.clone(),
            endpoint: self.endpoint.clone(),
            metrics: self.metrics.clone(),
        };
        // Its own, empty health: this socket is in service as long as the process is.
        let server = Server::new(listener).grace(GRACE);
        Ok(server.add(RegistrationServer::new(service)).serve(&Health::new(), shutdown).await?)
    }
}

fn hidden(socket: &Path) -> PathBuf {
    let name = socket.file_name().unwrap_or_default().to_string_lossy();
    socket.with_file_name(format!(".{name}"))
}

struct KubeletFacing {
    driver: String,
    endpoint: String,
    metrics: Metrics,
}

#[tonic::async_trait]
impl Registration for KubeletFacing {
    async fn get_info(
        &self,
        _: Request<kubelet::InfoRequest>,
    ) -> Result<Response<kubelet::PluginInfo>, Status> {
        Ok(Response::new(kubelet::PluginInfo {
            r#type: PLUGIN_TYPE.to_owned(),
            name: self.driver.clone(),
            endpoint: self.endpoint.clone(),
            supported_versions: vec![VERSION.to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<kubelet::RegistrationStatus>,
    ) -> Result<Response<kubelet::RegistrationStatusResponse>, Status> {
        let status = request.into_inner();
        self.metrics.registration(status.plugin_registered);
        if status.plugin_registered {
            tracing::info!(driver = self.driver, "kubelet has registered the driver");
        } else {
            tracing::error!(driver = self.driver, error = status.error, "kubelet refused the registration");
        }
        Ok(Response::new(kubelet::RegistrationStatusResponse {}))
    }
}
