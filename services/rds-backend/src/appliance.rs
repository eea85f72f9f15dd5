//! One appliance: where it is, and how a command gets there and back.
//!
//! Path of a command: [`Appliance::run`] takes the live [`session`] from the [`link`], which a task of its own keeps
//! connected, sends one line, and reads the answer. What it returns says precisely what is known: not sent, refused,
//! answered, or lost (sent, and nobody knows what happened). Deciding what to do then is [`crate::rounds`]' business.

pub(crate) mod census;
pub(crate) mod clock;
mod host_key;
pub(crate) mod link;
pub(crate) mod pool;
mod session;
pub(crate) mod turns;
mod user_key;
pub(crate) mod witness;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::id::{ClusterId, Slot};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::Instrument as _;

pub use host_key::{HostKey, HostKeyError};
pub use user_key::UserKey;

use crate::config::ApplianceConfig;
use crate::mark::Mark;
use crate::metrics::{Metrics, Outcome};
use crate::ownership::Ownership;
use crate::routeros::disk::{DiskRow, PoolRow};
use crate::routeros::probe::Version;
use crate::routeros::rejection::Rejection;
use crate::routeros::reply::{self, ReplyError};
use crate::routeros::script::{MAX_LINE_BYTES, Place, Script, fresh_nonce, status};
use crate::volume::plan;
use census::{Census, Listed, PoolList, Shared};
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
    /// Another process changes the appliances. Nothing was sent.
    #[error("{0}")]
    NotOwner(String),
    /// It was sent, and what came back (if anything) does not say what happened.
    #[error("{0}")]
    Lost(String),
    /// The appliance refused it.
    #[error("{0}")]
    Rejected(Rejection),
}

impl From<ExecError> for RunError {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::NotSent(why) => Self::Unreachable(why),
            ExecError::Lost(why) => Self::Lost(why),
        }
    }
}

/// What a command printed.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Its lines, without the carriage returns and padding.
    pub(crate) text: String,
    /// Zero proves nothing.
    pub(crate) status: u32,
    pub(crate) took: Duration,
}

/// A configured appliance.
#[derive(Debug)]
pub(crate) struct Appliance {
    config: ApplianceConfig,
    known: Known,
    link: Link,
    turns: Arc<Turns>,
    /// Volumes with a command that was given up and may still begin, and until when.
    restless: Mutex<HashMap<Slot, Instant>>,
    /// Folders in which copies were seen to hold their data, and under which version.
    proven: Mutex<BTreeSet<(String, Option<String>)>>,
    /// The list that is about to be read or being read.
    census: Shared<Census>,
    pool_list: Shared<PoolList>,
    /// How long after it was sent a command that changes something may begin.
    expiry: Duration,
    /// Whether this process may change anything.
    ownership: Ownership,
    /// For how long it changes nothing when it may: commands of a process before it may still begin.
    takeover_wait: Duration,
    metrics: Metrics,
}

impl Appliance {
    /// An appliance whose connection is kept by somebody else through the same link.
    pub(crate) fn new(
        config: ApplianceConfig,
        link: Link,
        known: Known,
        turns: Arc<Turns>,
        expiry: Duration,
        (ownership, takeover_wait): (Ownership, Duration),
        metrics: Metrics,
    ) -> Self {
        Self {
            config,
            known,
            link,
            turns,
            restless: Mutex::default(),
            proven: Mutex::default(),
            census: Shared::default(),
            pool_list: Shared::default(),
            expiry,
            ownership,
            takeover_wait,
            metrics,
        }
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Commands that run and commands that wait.
    pub(crate) fn commands(&self) -> (u32, u32) {
        self.turns.counts()
    }

    /// True when copies in this folder were seen to hold their data, under the RouterOS that runs now.
    pub(crate) fn is_proven(&self, directory: &str) -> bool {
        let key = (directory.to_owned(), self.version().map(|version| version.as_str().to_owned()));
        self.proven.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    /// Remembers that they do.
    pub(crate) fn proved(&self, directory: &str) {
        let key = (directory.to_owned(), self.version().map(|version| version.as_str().to_owned()));
        self.proven.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// Waits until no command for the volume that was given up can begin any more. False: the deadline comes first.
    ///
    /// # Errors
    /// Why this process may change nothing.
    pub(crate) async fn rest(&self, slot: &Slot, deadline: Deadline) -> Result<bool, RunError> {
        let quiet_until = self.owned_since()? + self.takeover_wait;
        let until = self.restless.lock().unwrap_or_else(PoisonError::into_inner).get(slot).copied();
        let until = until.map_or(quiet_until, |until| until.max(quiet_until));
        if until > deadline.instant() {
            return Ok(false);
        }
        tokio::time::sleep_until(until).await;
        Ok(true)
    }

    fn owned_since(&self) -> Result<Instant, RunError> {
        self.ownership.since().map_err(RunError::NotOwner)
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

    /// The folders for images, in the order of the configuration. Where an image lies is told by its row, so whether a
    /// pool is btrfs need not be known here.
    pub(crate) fn places(&self) -> Vec<Place> {
        self.config.directories.iter().map(|directory| place(directory)).collect()
    }

    /// The folders, and what their pools were when they were read last: for commands that make or remove images.
    ///
    /// # Errors
    /// When there is no connection, or the pools could not be read yet.
    pub(crate) async fn known_places(&self, deadline: Deadline) -> Result<Vec<Place>, RunError> {
        self.link.session(deadline, Patience::None).await?;
        let mut places = self.places();
        for place in &mut places {
            place.btrfs = self.known.is_btrfs(&place.pool).ok_or_else(|| {
                RunError::Unreachable("its pools have not been read yet, they are read every 30 s".to_owned())
            })?;
        }
        Ok(places)
    }

    /// `<appliance>/<slot>`
    pub(crate) fn handle(&self, slot: &Slot) -> String {
        format!("{}/{slot}", self.config.name)
    }

    /// The disks that are proven ours, in the order of their handles.
    pub(crate) fn ours(&self, disks: &[DiskRow], cluster: &ClusterId) -> Vec<Listed> {
        let places = self.places();
        let own = |row: &DiskRow| {
            let slot: Slot = row.slot.parse().ok()?;
            let volume = plan::own(row.clone(), cluster, &slot, &places).ok()?;
            let handle = if slot.is_legacy() { slot.to_string() } else { self.handle(&slot) };
            Some(Listed { handle, slot, volume })
        };
        let mut ours: Vec<Listed> = disks.iter().filter_map(own).collect();
        ours.sort_unstable_by(|a, b| a.handle.cmp(&b.handle));
        ours
    }

    /// The version of the appliance, when it is connected.
    pub(crate) fn version(&self) -> Option<Version> {
        self.link.version()
    }

    /// Every disk and pool, from a read that begins after this call; all who ask before it begins share it.
    pub(crate) async fn census(self: &Arc<Self>, deadline: Deadline) -> Result<Arc<Census>, RunError> {
        self.census.read(self, status::census(&self.places()), deadline).await
    }

    /// What was seen at the last look.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// The pools, shared likewise.
    pub(crate) async fn pools(self: &Arc<Self>, deadline: Deadline) -> Result<Arc<PoolList>, RunError> {
        self.pool_list.read(self, status::pools(&self.places()), deadline).await
    }

    /// Sends one command and reads its answer, within `deadline`.
    pub(crate) async fn run<A: DeserializeOwned>(
        &self,
        script: &Script,
        deadline: Deadline,
        patience: Patience,
    ) -> Result<A, RunError> {
        let span = tracing::info_span!(
            "ssh.exec",
            otel.kind = "client",
            appliance = %self.config.name,
            server.address = self.config.ssh,
            routeros.verb = script.verb().as_str(),
            volume.id = script.slot().map(|slot| self.handle(slot)),
            routeros.command = script.outline(),
            bytes.sent = tracing::field::Empty,
            bytes.received = tracing::field::Empty,
            outcome = tracing::field::Empty,
            rejection = tracing::field::Empty,
        );
        async {
            let started = tokio::time::Instant::now();
            let result = self.converse(script, deadline, patience).await;
            let outcome = match &result {
                Ok(_) => Outcome::Ok,
                Err(RunError::Rejected(_)) => Outcome::Rejected,
                Err(RunError::Lost(_)) => Outcome::Lost,
                Err(RunError::Unreachable(_) | RunError::Unusable(_) | RunError::NotOwner(_)) => {
                    Outcome::NotSent
                }
            };
            tracing::Span::current().record("outcome", outcome.as_str());
            self.metrics.command(&self.config.name, script.verb(), outcome, started.elapsed());
            self.metrics.queue(&self.config.name, self.turns.counts());
            if let Err(error) = &result {
                tracing::debug!(%error, "command without an answer");
                tracing::Span::current().record("rejection", tracing::field::display(error));
            }
            result
        }
        .instrument(span)
        .await
    }

    /// Executes one line as it is and gives what came back: for questions about the appliance itself.
    pub(crate) async fn hear(&self, line: &str, deadline: Deadline) -> Result<Heard, RunError> {
        let session = self.link.session(deadline, Patience::None).await?;
        let _turn = self.turns.take(None, true, deadline).await.map_err(RunError::Unreachable)?;
        self.owned_since()?;
        let began = Instant::now();
        let finished = session.exec(line, deadline.instant()).await?;
        Ok(Heard { text: finished.output.text(), status: finished.status, took: began.elapsed() })
    }

    async fn converse<A: DeserializeOwned>(
        &self,
        script: &Script,
        deadline: Deadline,
        patience: Patience,
    ) -> Result<A, RunError> {
        let session = self.link.session(deadline, patience).await?;
        let mutates = script.verb().mutates();
        let turn = self.turns.take(script.slot(), mutates, deadline).await;
        let _turn = turn.map_err(RunError::Unreachable)?;
        if mutates {
            // Asked when its turn has come: the queue may have been long.
            self.owned_since()?;
        }
        self.metrics.queue(&self.config.name, self.turns.counts());
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
async fn ask<A: DeserializeOwned>(
    session: &Session,
    script: &Script,
    expiry: Option<Expiry>,
    deadline: Deadline,
) -> Result<A, RunError> {
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
    let finished = session.exec(&line, deadline.instant()).await?;
    let span = tracing::Span::current();
    span.record("bytes.sent", line.len()).record("bytes.received", finished.output.len());
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
    Place { directory, pool, btrfs: false }
}

/// What was seen when the appliance was looked at last. Nothing of it decides about a row: that is always read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// Pools that are btrfs; `None` before the first look.
    btrfs: Option<BTreeSet<String>>,
    /// Clusters whose marks were found.
    clusters: BTreeSet<String>,
}

impl Known {
    fn pools(&self, rows: &[PoolRow]) {
        let btrfs = rows.iter().filter(|row| row.filesystem == "btrfs").map(|row| row.slot.clone()).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).btrfs = Some(btrfs);
    }

    /// Takes in everything that was read.
    pub(crate) fn census(&self, census: &Census) {
        let marks = census.disks.iter().filter_map(|disk| disk.comment.parse::<Mark>().ok());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clusters =
            marks.map(|mark| mark.cluster).collect();
        self.pools(&census.pools);
    }

    fn is_btrfs(&self, pool: &str) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.btrfs.as_ref().map(|btrfs| btrfs.contains(pool))
    }

    /// The clusters that have volumes here, when `cluster` is none of them.
    pub(crate) fn only_others(&self, cluster: &ClusterId) -> Option<Vec<String>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = !known.clusters.is_empty() && !known.clusters.contains(&cluster.mark());
        others.then(|| known.clusters.iter().cloned().collect())
    }
}

/// How long a command that nobody waits for may take.
pub(crate) const OWN_LIMIT: Duration = Duration::from_secs(10);
