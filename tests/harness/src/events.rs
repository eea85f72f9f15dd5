//! The Events of a run, read from the relay's log sink.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// A Kubernetes Event as the relay would have written it.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// Namespace of the Event object.
    pub namespace: String,
    /// Name of the Event object: one per series.
    pub name: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Reason of the catalogue.
    pub reason: String,
    /// What it is about.
    pub regarding: Regarding,
    /// For people.
    pub note: String,
    /// Occurrences so far.
    pub count: u32,
    /// Component that reported it.
    pub reporter: String,
    /// Trace of the operation.
    #[serde(default)]
    pub trace_id: Option<String>,
}

/// The object an Event is about.
#[derive(Debug, Clone, Deserialize)]
pub struct Regarding {
    /// `PersistentVolumeClaim`, `PersistentVolume`, `Node`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; none for cluster-scoped objects.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// Reads the file of the log sink: one Event per series, in the order of their first lines, each as last written.
/// No file yet means no Events.
pub fn read(file: &Path) -> Result<Vec<Event>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let mut events: Vec<Event> = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let event: Event = serde_json::from_str(line).with_context(|| format!("not an Event: {line}"))?;
        match events
            .iter_mut()
            .find(|known| (&known.namespace, &known.name) == (&event.namespace, &event.name))
        {
            Some(known) => *known = event,
            None => events.push(event),
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_one_event_with_its_last_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("events");
        assert!(read(&file).expect("no file, no events").is_empty());
        let line = |name: &str, count: u32| {
            format!(
                "{{\"namespace\":\"demo\",\"name\":\"{name}\",\"type\":\"Normal\",\"reason\":\"Provisioned\",\
                 \"action\":\"CreateVolume\",\"regarding\":{{\"kind\":\"PersistentVolumeClaim\",\"name\":\"data\",\
                 \"namespace\":\"demo\"}},\"note\":\"n\",\"count\":{count},\"reporter\":\"r\",\"instance\":\"i\",\
                 \"time\":\"t\"}}\n"
            )
        };
        std::fs::write(&file, line("a", 1) + &line("b", 1) + &line("a", 3) + "{\"torn").expect("a file");
        let events = read(&file).expect("events");
        let seen: Vec<_> = events.iter().map(|event| (event.name.as_str(), event.count)).collect();
        assert_eq!(seen, [("a", 3), ("b", 1)]);
    }
}
