//! Which occurrences are one series, and when the series is written.
//!
//! ```text
//! observe: new series ─► Write ─► settle(written) ─► repeats fold ─► Write at 2, 4, 8, … and on the heartbeat
//!                          └────► settle(failed): as if the occurrence had never been seen
//! ```
//!
//! The key of a series is the namespace and name of its Event, which already hold subject, type, reason, action,
//! reporter, cause and the six-minute window of the sender's clock. Pure: the time is passed in. Bounded: series
//! whose counts are all written are forgotten first; what was forgotten early is found again by its derived name.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use tokio::time::Instant;

use crate::event::{EVENT_ID, SERIES_MS, TRACE_ID};
use crate::recent::Recent;

/// Most series that are remembered. One takes about 2 kB.
const MAX_SERIES: usize = 2048;
/// Most ids of occurrences that are remembered, to know a redelivery.
const MAX_IDS: usize = 16_384;
/// For how long a series is remembered after its last occurrence, and an id after its arrival.
const KEEP: Duration = Duration::from_millis(2 * SERIES_MS as u64);
/// After this long an unwritten count is written, doubled or not.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(60);

/// Namespace and name of the Event of a series.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SeriesKey {
    /// Namespace of the Event.
    pub(crate) namespace: String,
    /// Name of the Event.
    pub(crate) name: String,
}

impl SeriesKey {
    /// The series an Event belongs to.
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            namespace: event.metadata.namespace.clone().unwrap_or_default(),
            name: event.metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// Who reported an occurrence, and the id it gave.
pub(crate) type OccurrenceId = (String, String);

/// A write to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    /// The series as one Event, `count` being all occurrences known here.
    pub(crate) event: Event,
    /// How many of them the API server has not been told of.
    pub(crate) unwritten: u32,
}

impl Draft {
    /// True when this relay has not written the series yet.
    pub(crate) fn is_new(&self) -> bool {
        self.event.count.unwrap_or_default() == count_of(self.unwritten)
    }
}

/// What to do about an occurrence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// It was counted before: a redelivery.
    Redelivered,
    /// Counted; nothing is written now.
    Fold,
    /// Counted; to be written, and settled after.
    Write(Box<Draft>),
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The API server has the draft's count.
    Written,
    /// Not written, or not known: the occurrence will be sent again, and is not counted meanwhile.
    Failed,
    /// Never to be written: counts of the series that were not written are given up.
    Dropped,
    /// Not now: the occurrence stays counted and goes out with a later write.
    Postponed,
}

#[derive(Debug)]
struct Series {
    /// The newest occurrence, with the earliest first time.
    event: Event,
    count: u32,
    written: u32,
    in_flight: bool,
    tried: Instant,
    touched: Instant,
}

impl Series {
    fn draft(&mut self, now: Instant) -> Draft {
        self.in_flight = true;
        self.tried = now;
        let mut event = self.event.clone();
        event.count = Some(count_of(self.count));
        let unwritten = self.count - self.written;
        Draft { event, unwritten }
    }

    /// At its start and whenever the count has doubled.
    fn is_due(&self) -> bool {
        !self.in_flight && (self.written == 0 || self.count >= self.written.saturating_mul(2))
    }

    fn absorb(&mut self, mut event: Event, now: Instant) {
        let first = [event.first_timestamp.take(), self.event.first_timestamp.take()];
        event.first_timestamp = first.into_iter().flatten().min();
        let newest = event.last_timestamp >= self.event.last_timestamp;
        if newest {
            self.event = event;
        } else {
            self.event.first_timestamp = event.first_timestamp;
        }
        self.count = self.count.saturating_add(1);
        self.touched = now;
    }
}

/// Memory of the running series.
#[derive(Debug)]
pub(crate) struct Correlator {
    series: HashMap<SeriesKey, Series>,
    seen: Recent<OccurrenceId, ()>,
}

impl Default for Correlator {
    fn default() -> Self {
        Self { series: HashMap::new(), seen: Recent::new(MAX_IDS, KEEP) }
    }
}

impl Correlator {
    /// Counts one occurrence and says what to do. After [`Step::Write`], [`Correlator::settle`] must follow.
    pub(crate) fn observe(&mut self, event: Event, id: &OccurrenceId, now: Instant) -> Step {
        if self.seen.get(id, now).is_some() {
            return Step::Redelivered;
        }
        self.make_room(now);
        self.seen.insert(id.clone(), (), now);
        let key = SeriesKey::of(&event);
        let series = match self.series.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => {
                let series = entry.into_mut();
                series.absorb(event, now);
                series
            }
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Series {
                event,
                count: 1,
                written: 0,
                in_flight: false,
                tried: now,
                touched: now,
            }),
        };
        if series.is_due() { Step::Write(Box::new(series.draft(now))) } else { Step::Fold }
    }

    /// Records how the write of `draft` ended. `id` is the occurrence that caused it, if one did.
    pub(crate) fn settle(&mut self, draft: &Draft, id: Option<&OccurrenceId>, settled: Settled) {
        let key = SeriesKey::of(&draft.event);
        let Some(series) = self.series.get_mut(&key) else {
            return;
        };
        series.in_flight = false;
        match settled {
            Settled::Written => series.written = series.written.saturating_add(draft.unwritten),
            Settled::Postponed => {}
            Settled::Failed => {
                if let Some(id) = id {
                    series.count -= 1;
                    self.seen.remove(id);
                }
            }
            Settled::Dropped => series.count = series.written,
        }
        if series.count == 0 {
            self.series.remove(&key);
        }
    }

    /// Series whose counts wait to be written: those older than `age` since their last write. Each must be settled.
    pub(crate) fn due(&mut self, now: Instant, age: Duration) -> Vec<Draft> {
        self.series
            .values_mut()
            .filter(|series| series.count > series.written && !series.in_flight)
            .filter(|series| now.saturating_duration_since(series.tried) >= age)
            .map(|series| series.draft(now))
            .collect()
    }

    /// Running series.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    fn make_room(&mut self, now: Instant) {
        if self.series.len() < MAX_SERIES {
            return;
        }
        let complete = |series: &Series| series.count == series.written && !series.in_flight;
        self.series
            .retain(|_, series| !complete(series) || now.saturating_duration_since(series.touched) < KEEP);
        if self.series.len() < MAX_SERIES {
            return;
        }
        let oldest = self
            .series
            .iter()
            .filter(|(_, series)| !series.in_flight)
            .min_by_key(|(_, series)| (!complete(series), series.touched))
            .map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.series.remove(&key);
        }
    }
}

/// A count as the API has it.
pub(crate) fn count_of(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The annotation `name` of an Event.
pub(crate) fn annotation<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    let annotations = event.metadata.annotations.as_ref()?;
    annotations.get(name).map(String::as_str)
}

/// Id of the newest occurrence an Event has counted.
pub(crate) fn event_id(event: &Event) -> Option<&str> {
    annotation(event, EVENT_ID)
}

/// Trace id of the newest occurrence an Event has counted.
pub(crate) fn trace_id(event: &Event) -> Option<&str> {
    annotation(event, TRACE_ID)
}

#[cfg(test)]
mod tests;
