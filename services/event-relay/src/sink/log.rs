//! The sink of development and of the demo: each Event that would have been written becomes one JSON line in the
//! log and, if wanted, in a file. Nobody can be asked here, so subjects are taken at their word and UIDs are absent.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use k8s_openapi::api::core::v1::Event;
use serde::Serialize;

use super::{SinkError, Written};
use crate::correlate::{Draft, trace_id};

/// Writes Events as lines.
#[derive(Debug)]
pub(crate) struct LogSink {
    file: Option<(PathBuf, Mutex<File>)>,
}

/// One line: an Event in the words of `kubectl get events`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    namespace: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    reason: &'a str,
    action: &'a str,
    regarding: Regarding<'a>,
    note: &'a str,
    count: i32,
    reporter: &'a str,
    instance: &'a str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Regarding<'a> {
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

impl LogSink {
    /// A sink that appends to `file` as well, if one is given.
    pub(crate) fn open(file: Option<&Path>) -> std::io::Result<Self> {
        let file = match file {
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                Some((path.to_owned(), Mutex::new(file)))
            }
            None => None,
        };
        Ok(Self { file })
    }

    pub(super) fn write(&self, draft: &Draft) -> Result<Written, SinkError> {
        let line = Line::of(&draft.event);
        let mut text =
            serde_json::to_string(&line).map_err(|error| SinkError::unavailable(error.to_string()))?;
        tracing::info!(
            event.namespace = line.namespace,
            event.name = line.name,
            event.reason = line.reason,
            event.json = text,
            "event"
        );
        if let Some((path, file)) = &self.file {
            text.push('\n');
            // One write call per line, to a file opened for appending: lines of two processes do not mix.
            let mut file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            file.write_all(text.as_bytes())
                .map_err(|error| SinkError::unavailable(format!("{}: {error}", path.display())))?;
        }
        Ok(if draft.is_new() { Written::Created } else { Written::Counted })
    }
}

impl<'a> Line<'a> {
    fn of(event: &'a Event) -> Self {
        fn text(field: &Option<String>) -> &str {
            field.as_deref().unwrap_or_default()
        }
        Self {
            namespace: text(&event.metadata.namespace),
            name: text(&event.metadata.name),
            kind: text(&event.type_),
            reason: text(&event.reason),
            action: text(&event.action),
            regarding: Regarding {
                kind: text(&event.involved_object.kind),
                name: text(&event.involved_object.name),
                namespace: event.involved_object.namespace.as_deref(),
                uid: event.involved_object.uid.as_deref(),
            },
            note: text(&event.message),
            count: event.count.unwrap_or_default(),
            reporter: text(&event.reporting_component),
            instance: text(&event.reporting_instance),
            time: event.last_timestamp.as_ref().map(|time| time.0.to_string()).unwrap_or_default(),
            trace_id: trace_id(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::Rules;
    use crate::subject::{Object, Subject};

    #[test]
    fn each_event_is_one_json_line_with_its_namespace_and_what_it_regards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let sink = LogSink::open(Some(&path)).unwrap();
        let report = crate::event::tests::report("Provisioned");
        let object = Object::unasked(&report.subject);
        let placement = Rules::default().place(&object).unwrap();
        let event = report.compose(&object, &placement, "rds.csi.srvlab.io");
        let draft = Draft { event, unwritten: 1 };
        assert_eq!(sink.write(&draft), Ok(Written::Created));
        assert_eq!(sink.write(&draft), Ok(Written::Created));

        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["namespace"], "demo");
        assert_eq!(lines[0]["reason"], "Provisioned");
        assert_eq!(lines[0]["type"], "Normal");
        assert_eq!(lines[0]["regarding"]["kind"], "PersistentVolumeClaim");
        assert_eq!(lines[0]["regarding"]["name"], "data");
        assert_eq!(lines[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn a_subject_is_taken_at_its_word_because_nobody_can_be_asked() {
        let subject = Subject::Claim { namespace: None, name: Some("data".into()), handle: None };
        assert_eq!(Object::unasked(&subject), Object::UnplacedClaim { name: "data".into() });
    }
}
