//! One appliance: where it is, and how a command gets there and back.
//!
//! Path of a command: [`Appliance::run`] takes the live [`session`] from the [`link`], which a task of its own keeps
//! connected, sends one line, and reads the answer. What it returns says precisely what is known: not sent, refused,
//! answered, or lost (sent, and nobody knows what happened). Deciding what to do then is [`crate::rounds`]' business.

mod clock;
mod host_key;
pub(crate) mod link;
pub(crate) mod pool;
mod session;
pub(crate) mod turns;
mod user_key;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::id::Slot;
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument as _;

pub use host_key::{HostKey, HostKeyError};
pub use user_key::UserKey;

use crate::config::ApplianceConfig;
use crate::metrics::{Metrics, Outcome};
use crate::routeros::probe::Version;
use crate::routeros::rejection::Rejection;
use crate::routeros::reply::{self, ReplyError};
use crate::routeros::script::{MAX_LINE_BYTES, Place, Script, fresh_nonce};
use clock::Expiry;
use link::{Link, Patience};
use session::{ExecError, Session};
use turns::Turns;

/// Why a command has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RunError {
    /// There is no connection, so nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// The appliance can be reached and is not used: its version, its host key, or our key. Nothing was sent.
    #[error("{0}")]
    Unusable(String),
    /// It was sent, and what came back (if anything) does not say what happened.
    #[error("{0}")]
    Lost(String),
    /// The appliance refused it.
    #[error("{0}")]
    Rejected(Rejection),
}

/// A configured appliance.
#[derive(Debug)]
pub(crate) struct Appliance {
    config: ApplianceConfig,
    places: Vec<Place>,
    link: Link,
    turns: Arc<Turns>,
    /// Volumes with a command that was given up and may still begin, and until when.
    restless: Mutex<HashMap<Slot, Instant>>,
    /// How long after it was sent a command that changes something may begin.
    expiry: Duration,
    metrics: Metrics,
}

impl Appliance {
    /// An appliance whose connection is kept by somebody else through the same link.
    pub(crate) fn new(
        config: ApplianceConfig,
        link: Link,
        turns: Arc<Turns>,
        expiry: Duration,
        metrics: Metrics,
    ) -> Self {
        let places = config.directories.iter().map(|directory| place(directory)).collect();
        Self { config, places, link, turns, restless: Mutex::default(), expiry, metrics }
    }

    /// Commands that run and commands that wait.
    pub(crate) fn commands(&self) -> (u32, u32) {
        self.turns.counts()
    }

    /// Waits until no command for the volume that was given up can begin any more. False: the deadline comes first.
    pub(crate) async fn rest(&self, slot: &Slot, deadline: Deadline) -> bool {
        let until = self.restless.lock().unwrap_or_else(PoisonError::into_inner).get(slot).copied();
        match until {
            Some(until) if until > deadline.instant() => false,
            Some(until) => {
                tokio::time::sleep_until(until).await;
                true
            }
            None => true,
        }
    }

    /// Remembers that a command for the volume was given up and may begin until then.
    fn disturb(&self, slot: &Slot, until: Instant) {
        let mut restless = self.restless.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        restless.retain(|_, until| *until > now);
        let known = restless.entry(slot.clone()).or_insert(until);
        *known = until.max(*known);
    }

    /// What is configured.
    pub(crate) fn config(&self) -> &ApplianceConfig {
        &self.config
    }

    /// The folders for images, in the order of the configuration.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// `<appliance>/<slot>`
    pub(crate) fn handle(&self, slot: &Slot) -> String {
        format!("{}/{slot}", self.config.name)
    }

    /// The version of the appliance, when it is connected.
    pub(crate) fn version(&self) -> Option<Version> {
        self.link.version()
    }

    /// Sends one command and reads its answer, within `deadline`.
    pub(crate) async fn run(
        &self,
        script: &Script,
        deadline: Deadline,
        patience: Patience,
    ) -> Result<Value, RunError> {
        let span = tracing::info_span!(
            "ssh.exec",
            otel.kind = "client",
            appliance = %self.config.name,
            server.address = self.config.ssh,
            routeros.verb = script.verb().as_str(),
            volume.id = script.slot().map(|slot| self.handle(slot)),
            outcome = tracing::field::Empty,
        );
        async {
            let started = tokio::time::Instant::now();
            let result = self.converse(script, deadline, patience).await;
            let outcome = match &result {
                Ok(_) => Outcome::Ok,
                Err(RunError::Rejected(_)) => Outcome::Rejected,
                Err(RunError::Lost(_)) => Outcome::Lost,
                Err(RunError::Unreachable(_) | RunError::Unusable(_)) => Outcome::NotSent,
            };
            tracing::Span::current().record("outcome", outcome.as_str());
            self.metrics.command(&self.config.name, script.verb(), outcome, started.elapsed());
            if let Err(error) = &result {
                tracing::debug!(%error, "command without an answer");
            }
            result
        }
        .instrument(span)
        .await
    }

    async fn converse(
        &self,
        script: &Script,
        deadline: Deadline,
        patience: Patience,
    ) -> Result<Value, RunError> {
        let session = self.link.session(deadline, patience).await?;
        let mutates = script.verb().mutates();
        let turn = self.turns.take(script.slot(), mutates, deadline).await;
        let _turn = turn.map_err(RunError::Unreachable)?;
        let limit = self.expiry.min(deadline.remaining());
        let expiry = session.clock().filter(|_| mutates).map(|clock| clock.expiry(limit));
        let answer = ask(&session, script, expiry, deadline).await;
        if let Err(RunError::Lost(_)) = &answer {
            if let (Some(slot), Some(expiry)) = (script.slot(), expiry) {
                self.disturb(slot, expiry.certain);
            }
            if session.is_closed() {
                self.link.nudge();
            }
        }
        answer
    }
}

/// One question on a session that is known to be live.
async fn ask(
    session: &Session,
    script: &Script,
    expiry: Option<Expiry>,
    deadline: Deadline,
) -> Result<Value, RunError> {
    let nonce = fresh_nonce();
    let line = script.line(&nonce, expiry.map(|expiry| expiry.uptime));
    if line.len() > MAX_LINE_BYTES {
        // Cannot happen with the limits of the configuration; RouterOS would cut it.
        let verb = script.verb();
        return Err(RunError::Unusable(format!(
            "the command {verb} would be {} bytes long, RouterOS takes {MAX_LINE_BYTES}; configure fewer folders",
            line.len()
        )));
    }
    let finished = session.exec(&line, deadline.instant()).await.map_err(|error| match error {
        ExecError::NotSent(why) => RunError::Unreachable(why),
        ExecError::Lost(why) => RunError::Lost(why),
    })?;
    let answer = reply::read(&finished.output, &nonce).map_err(|error| match error {
        ReplyError::Rejected(rejection) => RunError::Rejected(rejection),
        ReplyError::Unreadable(why) => RunError::Lost(why),
    })?;
    match finished.status {
        0 => Ok(answer),
        status => Err(RunError::Lost(format!("it answered, but with exit status {status}"))),
    }
}

/// A configured folder; its pool is the disk whose slot is the first segment of the path.
fn place(directory: &str) -> Place {
    let directory = format!("/{}", directory.trim_matches('/'));
    let pool = directory.split('/').find(|segment| !segment.is_empty()).unwrap_or_default().to_owned();
    Place { directory, pool }
}

/// How long a command that nobody waits for may take.
pub(crate) const OWN_LIMIT: Duration = Duration::from_secs(10);
