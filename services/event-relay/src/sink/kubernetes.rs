//! Events in a cluster, through the typed API of core/v1.
//!
//! ```text
//! new series: POST ─► created           known series: GET ─► PATCH with resourceVersion ─► counted
//!               └ AlreadyExists ─► GET …                └ 404 ─► POST      └ Conflict ─► GET …
//! ```
//!
//! Failure: what may pass (no answer, 429, 5xx, missing rights) is [`SinkError::Unavailable`], and the sender keeps the
//! event; what will not is a [`Refusal`]. A reply that was lost is met again as AlreadyExists, and the id of the newest
//! occurrence tells that it was counted. Absent on purpose: kube's `Recorder`, which loses changed notes and patches
//! on every repeat.

use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client};
use tokio::time::Instant;

use self::lookup::Lookup;
use super::{SinkError, Written};
use crate::correlate::{Draft, SeriesKey, count_of, event_id};
use crate::fault::Refusal;
use crate::metrics::Metrics;
use crate::subject::{Object, Subject};

mod lookup;

/// Longest wait for one answer of the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Rounds of one write: each is at most a GET and a PATCH, or a POST. Conflicts with another replica cost one.
const MAX_ROUNDS: usize = 5;
/// How long the API server is left alone after a 429 that names no time.
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause that is honoured as asked.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Writes Events to a cluster.
#[derive(Debug)]
pub(crate) struct KubernetesSink {
    api: Requests,
    lookup: Lookup,
}

impl KubernetesSink {
    pub(crate) fn new(client: Client, driver: &str, metrics: Metrics) -> Self {
        let api = Requests { client, metrics, paused_until: Mutex::new(None) };
        Self { api, lookup: Lookup::new(driver) }
    }

    pub(super) async fn resolve(&self, subject: &Subject) -> Result<Object, SinkError> {
        self.lookup.resolve(&self.api, subject).await
    }

    pub(super) async fn probe(&self) -> Result<(), SinkError> {
        self.api
            .ask("version", self.api.client.apiserver_version())
            .await
            .map(drop)
            .map_err(|failure| failure.into_sink_error("asking the Kubernetes API for its version"))
    }

    pub(super) async fn write(&self, draft: &Draft) -> Result<Written, SinkError> {
        let key = SeriesKey::of(&draft.event);
        let events: Api<Event> = Api::namespaced(self.api.client.clone(), &key.namespace);
        let doing = format!("writing Event {}/{}", key.namespace, key.name);
        let mut create = draft.is_new();
        for _ in 0..MAX_ROUNDS {
            let round = match create {
                true => self.create(&events, draft).await,
                false => self.count(&events, &key.name, draft).await,
            };
            match round {
                Ok(written) => return Ok(written),
                Err(Failure::Status(status)) if status.reason == "AlreadyExists" => create = false,
                Err(Failure::Status(status)) if status.reason == "Conflict" => {}
                // It has expired or was deleted: the series goes on in a new object.
                Err(Failure::Status(status)) if status.code == 404 && !create => create = true,
                Err(failure) => return Err(failure.into_sink_error(&doing)),
            }
        }
        Err(SinkError::unavailable(format!("{doing}: other writers were faster in {MAX_ROUNDS} rounds")))
    }

    async fn create(&self, events: &Api<Event>, draft: &Draft) -> Result<Written, Failure> {
        let params = PostParams::default();
        self.api.ask("create", events.create(&params, &draft.event)).await?;
        Ok(Written::Created)
    }

    async fn count(&self, events: &Api<Event>, name: &str, draft: &Draft) -> Result<Written, Failure> {
        let existing = self.api.ask("get", events.get(name)).await?;
        // The same occurrence again: its earlier write succeeded and the reply was lost, or another replica wrote it.
        let known = u32::from(event_id(&existing).is_some() && event_id(&existing) == event_id(&draft.event));
        let more = draft.unwritten.saturating_sub(known);
        if more > 0 {
            let patch = Patch::Merge(count_patch(&existing, &draft.event, more));
            let params = PatchParams::default();
            self.api.ask("patch", events.patch(name, &params, &patch)).await?;
        }
        Ok(Written::Counted)
    }
}

/// What changes in an Event when `more` occurrences are added. With the resourceVersion of what was read, so that a
/// count another replica added in between is never lost.
fn count_patch(existing: &Event, newest: &Event, more: u32) -> serde_json::Value {
    let count = existing.count.unwrap_or(1).saturating_add(count_of(more));
    serde_json::json!({
        "metadata": {
            "resourceVersion": existing.metadata.resource_version,
            "annotations": newest.metadata.annotations,
        },
        "count": count,
        "message": newest.message,
        "lastTimestamp": newest.last_timestamp.as_ref().max(existing.last_timestamp.as_ref()),
    })
}

/// Requests to the API: each with a deadline, measured, and none while the server wants to be left alone.
pub(crate) struct Requests {
    pub(crate) client: Client,
    pub(crate) metrics: Metrics,
    paused_until: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("paused_until", &self.paused_until).finish_non_exhaustive()
    }
}

impl Requests {
    pub(crate) async fn ask<T>(
        &self,
        verb: &'static str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        if let Some(left) = self.pause_left(begun) {
            return Err(Failure::Paused(left));
        }
        let result = match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => Err(Failure::Status(status)),
            Ok(Err(error)) => Err(Failure::NoAnswer(chain(&error))),
            Err(_) => Err(Failure::NoAnswer(format!("no answer within {REQUEST_TIMEOUT:?}"))),
        };
        let code = match &result {
            Ok(_) => 200,
            Err(Failure::Status(status)) => status.code,
            Err(Failure::NoAnswer(_) | Failure::Paused(_)) => 0,
        };
        self.metrics.api_request(verb, code, begun.elapsed());
        if let Err(Failure::Status(status)) = &result
            && status.code == 429
        {
            *self.paused() = Some(Instant::now() + pause_of(status));
        }
        result
    }

    fn pause_left(&self, now: Instant) -> Option<Duration> {
        let mut paused = self.paused();
        let left = paused.map(|until| until.saturating_duration_since(now))?;
        if left.is_zero() {
            *paused = None;
            return None;
        }
        Some(left)
    }

    fn paused(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.paused_until.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn pause_of(status: &Status) -> Duration {
    match status.details.as_ref().map(|details| details.retry_after_seconds) {
        Some(seconds) if seconds > 0 => Duration::from_secs(u64::from(seconds)).min(MAX_PAUSE),
        Some(_) | None => DEFAULT_PAUSE,
    }
}

/// Why a request brought no object.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The API server said why.
    Status(Box<Status>),
    /// It did not answer, or not in its language.
    NoAnswer(String),
    /// It was not asked: it wants to be left alone for this long.
    Paused(Duration),
}

impl Failure {
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 404)
    }

    /// `doing` says what was tried, and on which object.
    pub(crate) fn into_sink_error(self, doing: &str) -> SinkError {
        match self {
            Self::Status(status) => status_error(&status, doing),
            Self::NoAnswer(problem) => SinkError::unavailable(format!("{doing}: {problem}")),
            Self::Paused(left) => SinkError::Unavailable {
                problem: format!("{doing}: the API server asked to be left alone"),
                retry_after: Some(left),
            },
        }
    }
}

fn status_error(status: &Status, doing: &str) -> SinkError {
    let ending = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .any(|cause| cause.reason == "NamespaceTerminating");
    match status.code {
        // POST to a namespace that does not exist; 403 to one that is being deleted.
        404 => Refusal::NamespaceGone(named_in(status)).into(),
        403 if ending => Refusal::NamespaceGone(named_in(status)).into(),
        400 | 405 | 422 => Refusal::Rejected { code: status.code, message: status.message.clone() }.into(),
        429 => SinkError::Unavailable {
            problem: format!("{doing}: 429 {}", status.message),
            retry_after: Some(pause_of(status)),
        },
        code => SinkError::unavailable(format!("{doing}: {code} {}", status.message)),
    }
}

fn named_in(status: &Status) -> String {
    let name = status.details.as_ref().map(|details| details.name.clone());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| status.message.clone())
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
