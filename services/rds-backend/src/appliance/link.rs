//! Keeps one connection to an appliance, so that commands find it warm and readiness recovers by itself.
//!
//! [`Keeper::run`] is a task: connect, watch, and connect again. A connection that was of use is replaced at once; after
//! a failure it waits 1 s to 60 s with jitter, since firewalls ban reconnect storms. Callers never connect: they take
//! what is there, wait for an attempt that is under way, or are told at once why there is none.

use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use chassis::health::Condition;
use chassis::shutdown::Shutdown;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::census::Census;
use super::session::{ConnectError, Session};
use super::turns::Turns;
use super::user_key::UserKey;
use super::witness::Witness;
use super::{Known, RunError};
use crate::capacity;
use crate::config::ApplianceConfig;
use crate::metrics::Metrics;
use crate::routeros::disk::PoolRow;
use crate::routeros::probe::{self, Version};
use crate::routeros::script::{self, Place};

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What a caller does while the keeper waits between two attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Be told at once.
    None,
    /// Wait for the next attempt: something was sent before, and its outcome has to be found out.
    UntilDeadline,
}

#[derive(Debug, Clone)]
enum State {
    /// An attempt is under way; what the last one said.
    Connecting(Option<Failed>),
    Up(Arc<Session>),
    /// Waiting before the next attempt.
    Down(Failed),
}

#[derive(Debug, Clone)]
struct Failed {
    why: Arc<str>,
    needs_operator: bool,
}

impl Failed {
    fn of(error: &ConnectError) -> Self {
        Self { why: error.to_string().into(), needs_operator: error.needs_operator() }
    }

    fn into_error(self) -> RunError {
        if self.needs_operator {
            RunError::Unusable(self.why.to_string())
        } else {
            RunError::Unreachable(self.why.to_string())
        }
    }
}

/// The side of the callers.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    state: watch::Receiver<State>,
    attention: Arc<Notify>,
}

impl Link {
    /// A link, and the task that keeps it up.
    pub(crate) fn new() -> (Self, KeeperEnd) {
        let (sender, state) = watch::channel(State::Connecting(None));
        let attention = Arc::new(Notify::new());
        let end = KeeperEnd { state: sender, attention: Arc::clone(&attention) };
        (Self { state, attention }, end)
    }

    /// The live connection.
    pub(crate) async fn session(
        &self,
        deadline: Deadline,
        patience: Patience,
    ) -> Result<Arc<Session>, RunError> {
        let mut state = self.state.clone();
        loop {
            let now = state.borrow_and_update().clone();
            let last = match now {
                State::Up(session) => {
                    if session.is_live(deadline.instant()).await {
                        return Ok(session);
                    }
                    self.nudge();
                    None
                }
                State::Down(failed) if patience == Patience::None => return Err(failed.into_error()),
                State::Down(failed) => Some(failed),
                State::Connecting(last) => last,
            };
            let too_late = || match last {
                Some(failed) => failed.into_error(),
                None => RunError::Unreachable("no connection within the deadline".to_owned()),
            };
            match timeout_at(deadline.instant(), state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(RunError::Unreachable("this process is stopping".to_owned())),
                Err(_) => return Err(too_late()),
            }
        }
    }

    /// Asks the keeper to look at the connection now.
    pub(crate) fn nudge(&self) {
        self.attention.notify_one();
    }

    /// The version of the connected appliance.
    pub(crate) fn version(&self) -> Option<Version> {
        match &*self.state.borrow() {
            State::Up(session) => Some(session.version().clone()),
            State::Connecting(_) | State::Down(_) => None,
        }
    }
}

/// The side of the keeper.
#[derive(Debug)]
pub(crate) struct KeeperEnd {
    state: watch::Sender<State>,
    attention: Arc<Notify>,
}

/// Keeps the connection of one appliance.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) config: ApplianceConfig,
    pub(crate) key: UserKey,
    pub(crate) turns: Arc<Turns>,
    pub(crate) known: Known,
    pub(crate) witness: Witness,
    pub(crate) require_patched: bool,
    pub(crate) condition: Condition,
    pub(crate) metrics: Metrics,
    pub(crate) end: KeeperEnd,
}

impl Keeper {
    /// Connects and reconnects until asked to stop.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        tokio::select! {
            () = self.keep() => {}
            () = shutdown.requested() => {}
        }
        // Commands in flight keep their connection; nobody gets a new one.
        self.end.state.send_replace(State::Down(Failed {
            why: "this process is stopping".into(),
            needs_operator: false,
        }));
    }

    async fn keep(&self) {
        let mut waits = chassis::backoff::exponential(BACKOFF_MIN, BACKOFF_MAX);
        loop {
            match self.connect().await {
                Ok(session) => {
                    self.look_around(&session).await;
                    if self.watch(session).await {
                        waits = chassis::backoff::exponential(BACKOFF_MIN, BACKOFF_MAX);
                        self.down(None, "the connection was lost, connecting again");
                        continue;
                    }
                    let failed = Failed {
                        why: "the connection ended before it was of use".into(),
                        needs_operator: false,
                    };
                    self.wait(failed, waits.next()).await;
                }
                Err(error) => {
                    self.witness.failed(&error);
                    self.wait(Failed::of(&error), waits.next()).await;
                }
            }
        }
    }

    async fn connect(&self) -> Result<Arc<Session>, ConnectError> {
        Session::connect(&self.config, &self.key, self.require_patched).await.map(Arc::new)
    }

    /// Reads everything once after connecting: which pools are btrfs, and whose volumes there are.
    async fn look_around(&self, session: &Session) {
        let places: Vec<_> =
            self.config.directories.iter().map(|directory| super::place(directory)).collect();
        let deadline = Deadline::after(super::census::LIMIT);
        match super::ask::<Census>(session, &script::status::census(&places), None, deadline).await {
            Ok(census) => {
                self.known.census(&census);
                self.pools(&places, &census.pools);
            }
            // Whether the connection is of use is found out by those who use it.
            Err(error) => {
                tracing::warn!(appliance = %self.config.name, %error, "the disks could not be read")
            }
        }
    }

    /// Reads the pools, for the metrics.
    async fn measure(&self, session: &Session) {
        let places: Vec<_> =
            self.config.directories.iter().map(|directory| super::place(directory)).collect();
        let deadline = Deadline::after(super::OWN_LIMIT);
        let Ok(_turn) = self.turns.take(None, false, deadline).await else {
            return;
        };
        let answer = super::ask::<Value>(session, &script::status::pools(&places), None, deadline).await;
        let read = answer
            .map_err(|error| error.to_string())
            .and_then(|answer| probe::read_pools(&answer).map_err(|error| error.to_string()));
        match read {
            Ok(rows) => {
                self.known.pools(&rows);
                self.pools(&places, &rows);
            }
            // Whether the connection is of use is found out by those who use it.
            Err(error) => tracing::warn!(appliance = %self.config.name, error, "the pools could not be read"),
        }
    }

    fn pools(&self, places: &[Place], rows: &[PoolRow]) {
        self.metrics.pools(&self.config.name, places, rows);
        self.witness.pools(&capacity::pools(&self.config, places, rows));
    }

    fn up(&self, session: &Arc<Session>) {
        let version = session.version();
        self.witness.connected(version);
        tracing::info!(appliance = %self.config.name, address = self.config.ssh, version = version.as_str(), "connected");
        for warning in version.warnings() {
            tracing::warn!(appliance = %self.config.name, warning, "the appliance needs attention");
        }
        self.condition.ready();
        self.metrics.connected(&self.config.name, true);
        self.end.state.send_replace(State::Up(Arc::clone(session)));
    }

    fn down(&self, failed: Option<Failed>, why: &str) {
        self.metrics.connected(&self.config.name, false);
        self.condition.not_ready(why);
        self.end.state.send_replace(match failed {
            Some(failed) => State::Down(failed),
            None => State::Connecting(None),
        });
    }

    async fn wait(&self, failed: Failed, wait: Option<Duration>) {
        let wait = wait.unwrap_or(BACKOFF_MAX);
        let advice = if failed.needs_operator { "" } else { "; it is tried again" };
        self.down(Some(failed.clone()), &format!("{}{advice}", failed.why));
        self.metrics.backoff(&self.config.name, wait);
        tokio::time::sleep(wait).await;
        self.metrics.backoff(&self.config.name, Duration::ZERO);
        self.end.state.send_replace(State::Connecting(Some(failed)));
    }

    /// Looks after a connection until it must be given up; true when it was of use.
    async fn watch(&self, mut session: Arc<Session>) -> bool {
        self.up(&session);
        loop {
            tokio::select! {
                () = session.closed() => return session.was_useful(),
                () = self.end.attention.notified() => {}
                () = tokio::time::sleep(self.config.wear.look) => self.measure(&session).await,
            }
            if !session.is_live(Instant::now() + super::OWN_LIMIT).await {
                session.disconnect().await;
                return session.was_useful();
            }
            if session.is_old()
                && let Ok(new) = self.connect().await
            {
                tracing::debug!(appliance = %self.config.name, "connection replaced because of its age");
                // The old one ends when its last command has ended.
                session = new;
                self.up(&session);
            }
        }
    }
}
