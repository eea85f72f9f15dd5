//! A backend that says what a test wants, and a relay that remembers what it was told. Both over unix sockets.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use chassis::health::Health;
use chassis::server::{Listener, Server};
use chassis::shutdown::{Shutdown, ShutdownHandle};
use proto::fault::{Fault, Reason};
use proto::rds::event::v1 as event;
use proto::rds::event::v1::event_relay_server::{EventRelay, EventRelayServer};
use proto::rds::volume::v1 as volume;
use proto::rds::volume::v1::volume_facts_server::{VolumeFacts, VolumeFactsServer};
use tonic::{Request, Response, Status};

/// What the appliance knows.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) size: u64,
    pub(crate) epoch: u64,
    pub(crate) attached: bool,
    pub(crate) formatted: bool,
    pub(crate) source: String,
    /// Nobody answers.
    pub(crate) down: bool,
    /// Marks are not taken.
    pub(crate) deaf: bool,
    /// How often facts were asked for.
    pub(crate) asked: usize,
    /// Written to at this place whenever facts are asked for.
    pub(crate) meddle: Option<(PathBuf, u64)>,
}

#[derive(Clone)]
struct Facts(Arc<Mutex<Known>>);

#[derive(Clone)]
struct Relay(Arc<Mutex<Vec<event::Event>>>);

/// Both.
pub(crate) struct Others {
    known: Arc<Mutex<Known>>,
    told: Arc<Mutex<Vec<event::Event>>>,
    _stop: ShutdownHandle,
}

impl Others {
    pub(crate) async fn start(folder: &Path, known: Known) -> Self {
        let (known, told) = (Arc::new(Mutex::new(known)), Arc::new(Mutex::new(Vec::new())));
        let (stop, shutdown) = Shutdown::manual();
        let facts = VolumeFactsServer::new(Facts(Arc::clone(&known)));
        let relay = EventRelayServer::new(Relay(Arc::clone(&told)));
        let listen =
            |name: &str| format!("unix://{}", folder.join(name).display()).parse().expect("a socket");
        let facts_at = Listener::bind(&listen("backend.sock"), None).await.expect("bound");
        let relay_at = Listener::bind(&listen("relay.sock"), None).await.expect("bound");
        let both = [Server::new(facts_at).add(facts), Server::new(relay_at).add(relay)];
        for server in both {
            let shutdown = shutdown.clone();
            tokio::spawn(async move { server.serve(&Health::new(), shutdown).await });
        }
        Self { known, told, _stop: stop }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("not poisoned")
    }

    /// Reasons of the events so far.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().expect("not poisoned").iter().map(|event| event.reason.clone()).collect()
    }
}

#[tonic::async_trait]
impl VolumeFacts for Facts {
    async fn get_facts(
        &self,
        _: Request<volume::GetFactsRequest>,
    ) -> Result<Response<volume::GetFactsResponse>, Status> {
        let mut known = self.0.lock().expect("not poisoned");
        known.asked += 1;
        if let Some((image, at)) = &known.meddle {
            let file = std::fs::OpenOptions::new().write(true).open(image).expect("a file");
            file.write_all_at(b"x", *at).expect("written");
        }
        if known.down {
            return Err(
                Fault::unsettled(Reason::ApplianceUnreachable, "the appliance does not answer").into()
            );
        }
        Ok(Response::new(volume::GetFactsResponse {
            size_bytes: known.size,
            epoch: known.epoch,
            attached: known.attached,
            formatted: known.formatted,
            content_source: known.source.clone(),
        }))
    }

    async fn mark_formatted(
        &self,
        request: Request<volume::MarkFormattedRequest>,
    ) -> Result<Response<volume::MarkFormattedResponse>, Status> {
        let mut known = self.0.lock().expect("not poisoned");
        if known.down || known.deaf {
            return Err(
                Fault::unsettled(Reason::ApplianceUnreachable, "the appliance does not answer").into()
            );
        }
        assert_eq!(request.into_inner().epoch, known.epoch);
        known.formatted = true;
        Ok(Response::new(volume::MarkFormattedResponse {}))
    }
}

#[tonic::async_trait]
impl EventRelay for Relay {
    async fn publish(
        &self,
        request: Request<event::PublishRequest>,
    ) -> Result<Response<event::PublishResponse>, Status> {
        let events = request.into_inner().events;
        let outcome = |event: &event::Event| event::Outcome {
            id: event.id.clone(),
            disposition: event::Disposition::Written.into(),
            ..event::Outcome::default()
        };
        let outcomes = events.iter().map(outcome).collect();
        self.0.lock().expect("not poisoned").extend(events);
        Ok(Response::new(event::PublishResponse { outcomes }))
    }
}
