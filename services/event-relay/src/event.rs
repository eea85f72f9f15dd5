//! One report of a sender, checked, and the core/v1 Event it becomes.
//!
//! Events are written the way client-go's recorder writes them: no `eventTime`, but `count`, `firstTimestamp` and
//! `lastTimestamp`. Then the API server checks the namespace of namespaced subjects as well, and `kubectl describe`
//! shows the newest message. The name is derived from what makes a series, so a repeat, a redelivery after a crash
//! and a second replica all meet the object that is already there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use proto::event::{EventReason, Sender, SubjectKind};
use proto::rds::event::v1 as wire;
use sha2::{Digest, Sha256};

use crate::fault::Refusal;
use crate::namespace::Placement;
use crate::subject::{self, MAX_NAME_BYTES, Object, Subject};

/// Most events in one request.
pub(crate) const MAX_BATCH: usize = 100;
/// Longest note that is written, in bytes: the limit of the Events API.
pub(crate) const MAX_NOTE_BYTES: usize = 1024;
/// Longest note that is accepted, in bytes; what is beyond [`MAX_NOTE_BYTES`] is cut.
const MAX_NOTE_ACCEPTED_BYTES: usize = 16 * 1024;
const MAX_ID_BYTES: usize = 64;
const MAX_INSTANCE_BYTES: usize = 128;
const MAX_CAUSE_BYTES: usize = 256;
/// Milliseconds of one series: repeats within it are counted in one Event.
pub(crate) const SERIES_MS: i64 = 6 * 60 * 1000;
/// Latest time a sender may give (the year 9999), in milliseconds: what Kubernetes can still print.
const MAX_TIME_MS: i64 = 253_402_300_799_000;

/// Annotation that carries the trace id of the operation.
pub(crate) const TRACE_ID: &str = "rds.csi/trace-id";
/// Annotation that carries the id of the newest event counted.
pub(crate) const EVENT_ID: &str = "rds.csi/event-id";

/// One event as a sender saw it, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Unique per occurrence.
    pub(crate) id: String,
    /// A reason of the catalogue that this sender may report about this subject.
    pub(crate) reason: EventReason,
    /// What it is about.
    pub(crate) subject: Subject,
    /// For people; at most [`MAX_NOTE_BYTES`], no control characters.
    pub(crate) note: String,
    /// When it happened, at the sender.
    pub(crate) time: Timestamp,
    /// What tells two series of one reason apart.
    pub(crate) cause: String,
    /// The service that reports.
    pub(crate) sender: Sender,
    /// Which instance of it.
    pub(crate) instance: String,
    /// Trace id of the operation, 32 hex digits.
    pub(crate) trace_id: Option<String>,
}

impl Report {
    /// Checks what came over the wire from `sender`.
    pub(crate) fn parse(event: wire::Event, sender: Sender) -> Result<Self, Refusal> {
        let reason: EventReason = event.reason.parse()?;
        let subject = Subject::parse(event.subject)?;
        subject::permit(reason, sender, &subject)?;
        let trace_id = parse_trace_id(event.trace_id)?;
        Ok(Self {
            id: bounded("id", event.id, 1, MAX_ID_BYTES)?,
            reason,
            subject,
            note: parse_note(&event.note, trace_id.as_deref())?,
            time: parse_time(event.time_unix_ms)?,
            cause: bounded("cause", event.cause, 0, MAX_CAUSE_BYTES)?,
            sender,
            instance: bounded("instance", event.instance, 1, MAX_INSTANCE_BYTES)?,
            trace_id,
        })
    }

    /// Service and instance, as one text.
    pub(crate) fn reporter(&self) -> String {
        format!("{}/{}", self.sender.as_str(), self.instance)
    }

    /// The Event of this report about `object`, as its first and only occurrence.
    pub(crate) fn compose(&self, object: &Object, placement: &Placement, driver: &str) -> Event {
        let entry = self.reason.entry();
        let time = Time(self.time);
        let trace = self.trace_id.iter().map(|id| (TRACE_ID.to_owned(), id.clone()));
        let id = (EVENT_ID.to_owned(), self.id.clone());
        Event {
            metadata: ObjectMeta {
                name: Some(self.series_name(object, placement)),
                namespace: Some(placement.namespace.to_string()),
                annotations: Some(trace.chain([id]).collect::<BTreeMap<_, _>>()),
                ..ObjectMeta::default()
            },
            involved_object: reference(object, placement),
            reason: Some(entry.name.to_owned()),
            action: Some(entry.action.to_owned()),
            type_: Some(entry.severity.as_str().to_owned()),
            message: Some(self.note.clone()),
            count: Some(1),
            first_timestamp: Some(time.clone()),
            last_timestamp: Some(time),
            source: Some(EventSource {
                component: Some(self.sender.as_str().to_owned()),
                host: Some(self.instance.clone()),
            }),
            reporting_component: Some(format!("{driver}/{}", self.sender.as_str())),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }

    /// Name of the Event object: the subject, and 16 hex digits of a hash over what makes a series.
    fn series_name(&self, object: &Object, placement: &Placement) -> String {
        let entry = self.reason.entry();
        let window = self.time.as_millisecond().div_euclid(SERIES_MS).to_string();
        let mut hash = Sha256::new();
        for part in [
            subject::kind_name(object.kind()),
            placement.namespace.as_str(),
            object.name(),
            object.uid().unwrap_or_default(),
            entry.severity.as_str(),
            entry.name,
            entry.action,
            &self.reporter(),
            &self.cause,
            &window,
        ] {
            // The length keeps two neighbours from being read as one.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let mut name = name_start(object.name(), MAX_NAME_BYTES - 17);
        name.push('.');
        for byte in hash.finalize().iter().take(8) {
            // Writing to a String does not fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}

fn reference(object: &Object, placement: &Placement) -> ObjectReference {
    let api_version = match object.kind() {
        SubjectKind::Claim | SubjectKind::Node | SubjectKind::PersistentVolume => "v1",
        SubjectKind::StorageClass => "storage.k8s.io/v1",
    };
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(subject::kind_name(object.kind()).to_owned()),
        name: Some(object.name().to_owned()),
        namespace: placement.reference.as_ref().map(ToString::to_string),
        uid: object.uid().map(ToOwned::to_owned),
        ..ObjectReference::default()
    }
}

/// The start of an object name as a DNS-1123 subdomain of at most `limit` bytes. A volume handle may stand in for a
/// name, so what does not belong there is replaced.
fn name_start(name: &str, limit: usize) -> String {
    let cleaned: String = name
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .take(limit)
        .collect();
    let labels: Vec<&str> =
        cleaned.split('.').map(|label| label.trim_matches('-')).filter(|label| !label.is_empty()).collect();
    match labels.is_empty() {
        true => "event".to_owned(),
        false => labels.join("."),
    }
}

fn bounded(field: &'static str, text: String, min: usize, max: usize) -> Result<String, Refusal> {
    if text.len() < min || text.len() > max {
        let problem = format!("is {} bytes long, {min} to {max} are allowed", text.len());
        return Err(Refusal::field(field, problem));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::field(field, "holds control characters"));
    }
    Ok(text)
}

fn parse_time(unix_ms: i64) -> Result<Timestamp, Refusal> {
    let wrong = || Refusal::field("time_unix_ms", format!("{unix_ms} is no time between 1970 and 9999"));
    if !(1..=MAX_TIME_MS).contains(&unix_ms) {
        return Err(wrong());
    }
    Timestamp::from_millisecond(unix_ms).map_err(|_| wrong())
}

fn parse_trace_id(text: String) -> Result<Option<String>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == 32 && text.bytes().all(hex) {
        return Ok(Some(text));
    }
    Err(Refusal::field("trace_id", "must be empty or 32 lower-case hex digits"))
}

fn parse_note(note: &str, trace_id: Option<&str>) -> Result<String, Refusal> {
    if note.chars().all(|c| c.is_control() || c.is_whitespace()) {
        return Err(Refusal::field("note", "must not be empty"));
    }
    if note.len() > MAX_NOTE_ACCEPTED_BYTES {
        let problem = format!("is {} bytes long, at most {MAX_NOTE_ACCEPTED_BYTES} are accepted", note.len());
        return Err(Refusal::field("note", problem));
    }
    Ok(bounded_note(note, trace_id))
}

/// The note as it is written: on one line, at most [`MAX_NOTE_BYTES`], cut on a character boundary, with the trace
/// id at its end if there is one.
pub(crate) fn bounded_note(note: &str, trace_id: Option<&str>) -> String {
    let on_one_line: String = note.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut text = on_one_line.trim().to_owned();
    let tail = trace_id.map(|id| format!(" (trace {id})")).unwrap_or_default();
    // A sender may have put it there already.
    if let Some(start) = trace_id.and_then(|id| text.strip_suffix(&format!("(trace {id})"))) {
        text.truncate(start.trim_end().len());
    }
    let room = MAX_NOTE_BYTES - tail.len();
    if text.len() > room {
        let ellipsis = '…';
        text.truncate(text.floor_char_boundary(room - ellipsis.len_utf8()));
        text.push(ellipsis);
    }
    text + &tail
}

#[cfg(test)]
pub(crate) mod tests;
