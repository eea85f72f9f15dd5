//! Which process may change anything on the appliances: the one that holds a Lease in Kubernetes.
//!
//! A command proves what it is about directly before it writes, but RouterOS knows no transactions: two processes that
//! change the same volume in the same moment could both believe what they read. So there is one at a time. A Deployment
//! of one replica does not promise that: a node that is cut off keeps its pod running while another one is started.
//!
//! Times, from the last renewal that was acknowledged: after [`CERTAIN`] the holder sends no change any more; what it sent
//! before is void after the command expiry (`--command-expiry`); after [`EXPIRES`] somebody else may take the Lease, and
//! waits `--takeover-wait` before its first change. Only spans of each process's own clock are compared.
//!
//! Reads are answered by every process. Without a Lease (`--lease` unset) there is nobody else, by the operator's word.

mod judge;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chassis::health::Condition;
use chassis::shutdown::Shutdown;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::time::{Instant, timeout};

use judge::{Observer, Step};

/// How long a Lease counts when it is not renewed.
pub(crate) const EXPIRES: Duration = Duration::from_secs(15);
/// How long its holder is certain of it after a renewal.
const CERTAIN: Duration = Duration::from_secs(10);
/// How often it is renewed, or looked at.
const EVERY: Duration = Duration::from_secs(3);
/// What one request to the API server may take.
const REQUEST: Duration = Duration::from_secs(3);

/// Namespace and name of a Lease: `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseName {
    namespace: String,
    name: String,
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for LeaseName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let label = |part: &str| {
            !part.is_empty()
                && part.len() <= 63
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        match text.split_once('/') {
            Some((namespace, name)) if label(namespace) && label(name) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            Some(_) | None => Err(format!("{text:?} is not <namespace>/<name> of a Lease")),
        }
    }
}

/// Whether this process may change anything. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Ownership(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    /// There is no other process.
    Alone { since: Instant },
    /// The Lease is ours.
    Holder { since: Instant, certain_until: Instant },
    /// It is not, or not known to be.
    Other(String),
}

impl Ownership {
    /// For a process without a Lease, or one that has to get it first.
    pub(crate) fn new(lease: Option<&LeaseName>) -> Self {
        let state = match lease {
            None => State::Alone { since: Instant::now() },
            Some(lease) => State::Other(format!("Lease {lease} has not been read yet")),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when this process may change things.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn since(&self) -> Result<Instant, String> {
        match &*self.state() {
            State::Alone { since } => Ok(*since),
            State::Holder { since, certain_until } if Instant::now() < *certain_until => Ok(*since),
            State::Holder { .. } => Err(format!(
                "its Lease could not be renewed for {} s, so another process may hold it; nothing is changed until the \
                 Kubernetes API answers",
                CERTAIN.as_secs()
            )),
            State::Other(why) => Err(why.clone()),
        }
    }
}

/// Gets and keeps the Lease.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) lease: LeaseName,
    /// This process: unique among the replicas.
    pub(crate) instance: String,
    pub(crate) ownership: Ownership,
    pub(crate) condition: Condition,
}

impl Keeper {
    /// Until `shutdown`; then the Lease is let go, so that nobody has to wait for its end. Nothing may be under way then.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut observer = Observer::new(self.instance.clone());
        loop {
            let began = Instant::now();
            let looked = match timeout(REQUEST, self.look(&mut observer)).await {
                Ok(looked) => looked,
                Err(_) => Err("the Kubernetes API does not answer".to_owned()),
            };
            self.learn(looked, began);
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.requested() => break,
            }
        }
        *self.ownership.state() = State::Other("this process is stopping".to_owned());
        if !matches!(timeout(REQUEST, self.release()).await, Ok(Ok(()))) {
            tracing::warn!(lease = %self.lease, "the Lease could not be let go, the next process waits for its end");
        }
    }

    async fn api(&self) -> Result<Api<Lease>, String> {
        let client = kube::Client::try_default()
            .await
            .map_err(|error| format!("no access to the Kubernetes API ({error})"))?;
        Ok(Api::namespaced(client, &self.lease.namespace))
    }

    /// One look, and what follows from it. `Ok(None)`: the Lease is ours.
    async fn look(&self, observer: &mut Observer) -> Result<Option<String>, String> {
        let api = self.api().await?;
        let failed = |error: kube::Error| format!("Lease {}: {error}", self.lease);
        let lease = api.get_opt(&self.lease.name).await.map_err(failed)?;
        let wanted =
            match observer.judge(lease.as_ref().and_then(|lease| lease.spec.as_ref()), Instant::now()) {
                Step::Wait(holder) => {
                    return Ok(Some(format!("{holder} holds Lease {}, this process stands by", self.lease)));
                }
                Step::Hold(spec) => spec,
            };
        let written = match lease {
            // The version that was read goes back with it: of two who write, one is refused.
            Some(mut lease) => {
                lease.spec = Some(wanted);
                api.replace(&self.lease.name, &PostParams::default(), &lease).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(self.lease.name.clone()), ..ObjectMeta::default() };
                api.create(&PostParams::default(), &Lease { metadata, spec: Some(wanted) }).await
            }
        };
        written.map_err(failed)?;
        Ok(None)
    }

    /// `began` is when the look began: the Lease was renewed no earlier.
    fn learn(&self, looked: Result<Option<String>, String>, began: Instant) {
        let mut state = self.ownership.state();
        match looked {
            Ok(None) => {
                let certain_until = began + CERTAIN;
                match &mut *state {
                    // Nobody else had it in between: they would have put their name there.
                    State::Holder { certain_until: until, .. } => *until = certain_until,
                    State::Alone { .. } | State::Other(_) => {
                        tracing::info!(lease = %self.lease, "this process changes the appliances");
                        *state = State::Holder { since: Instant::now(), certain_until };
                    }
                }
                drop(state);
                self.condition.ready();
            }
            Ok(Some(why)) => {
                if !matches!(&*state, State::Other(_)) {
                    tracing::warn!(why, "this process changes the appliances no more");
                }
                *state = State::Other(why.clone());
                drop(state);
                self.condition.not_ready(why);
            }
            Err(why) => {
                let certain =
                    matches!(&*state, State::Holder { certain_until, .. } if Instant::now() < *certain_until);
                if let State::Other(last) = &mut *state {
                    why.clone_into(last);
                }
                drop(state);
                tracing::debug!(why, "the Lease could not be renewed");
                if !certain {
                    self.condition.not_ready(why);
                }
            }
        }
    }

    /// Takes our name out, if it is there.
    async fn release(&self) -> Result<(), String> {
        let api = self.api().await?;
        let lease = api.get_opt(&self.lease.name).await.map_err(|error| error.to_string())?;
        let Some(mut lease) = lease else { return Ok(()) };
        match &mut lease.spec {
            Some(spec) if spec.holder_identity.as_deref() == Some(&self.instance) => {
                spec.holder_identity = None
            }
            Some(_) | None => return Ok(()),
        }
        let written = api.replace(&self.lease.name, &PostParams::default(), &lease).await;
        written.map(drop).map_err(|error| error.to_string())
    }
}

/// What the Lease says when it is ours, and was another's or nobody's before.
fn ours(instance: &str, before: Option<&LeaseSpec>) -> LeaseSpec {
    let now = MicroTime(jiff::Timestamp::now());
    let same = before.is_some_and(|before| before.holder_identity.as_deref() == Some(instance));
    let transitions = before.and_then(|before| before.lease_transitions).unwrap_or_default();
    LeaseSpec {
        holder_identity: Some(instance.to_owned()),
        lease_duration_seconds: i32::try_from(EXPIRES.as_secs()).ok(),
        acquire_time: if same {
            before.and_then(|before| before.acquire_time.clone())
        } else {
            Some(now.clone())
        },
        renew_time: Some(now),
        lease_transitions: Some(if same { transitions } else { transitions.saturating_add(1) }),
        ..LeaseSpec::default()
    }
}
