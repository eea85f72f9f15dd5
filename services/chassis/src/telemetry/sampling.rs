//! Which traces leave the process when not all do: those that were chosen, and those in which something failed.
//!
//! A trace that was not chosen is recorded all the same, and kept until the part of it that ran here has ended. If a
//! span of that part failed, the part is sent as if it had been chosen: the caller's part fails by the same answer and
//! is sent by the caller. What waits is bounded; the oldest goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SamplingDecision, SamplingResult, ShouldSample, Span, SpanData, SpanProcessor,
};

/// Traces that were not chosen and have not ended.
const MAX_TRACES: usize = 512;
/// Spans of one of them. More are not kept.
const MAX_SPANS: usize = 256;

/// Records everything; chooses a share of the traces that begin here, and follows the caller's choice otherwise.
#[derive(Debug, Clone)]
pub(super) struct RecordAll(Sampler);

impl RecordAll {
    pub(super) fn choosing(ratio: f64) -> Self {
        Self(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
    }
}

impl ShouldSample for RecordAll {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self.0.should_sample(parent, trace, name, kind, attributes, links);
        if result.decision == SamplingDecision::Drop {
            result.decision = SamplingDecision::RecordOnly;
        }
        result
    }
}

/// Passes on what was chosen, and what failed.
#[derive(Debug)]
pub(super) struct KeepFailures<P> {
    next: P,
    open: Mutex<Open>,
}

/// Parts of traces that were not chosen, the oldest first.
#[derive(Debug, Default)]
struct Open {
    parts: HashMap<TraceId, Vec<SpanData>>,
    order: VecDeque<TraceId>,
}

impl Open {
    /// Keeps the span. With the last one of a part, answers the part if anything in it failed.
    fn keep(&mut self, span: SpanData) -> Vec<SpanData> {
        let trace = span.span_context.trace_id();
        let ended = span.parent_span_is_remote || span.parent_span_id == SpanId::INVALID;
        if !self.parts.contains_key(&trace) {
            self.make_room();
            self.order.push_back(trace);
        }
        let part = self.parts.entry(trace).or_default();
        // The last one says how it ended; it always fits.
        if ended || part.len() < MAX_SPANS {
            part.push(span);
        }
        if !ended {
            return Vec::new();
        }
        self.order.retain(|kept| *kept != trace);
        let part = self.parts.remove(&trace).unwrap_or_default();
        if part.iter().any(|span| matches!(span.status, Status::Error { .. })) { part } else { Vec::new() }
    }

    fn make_room(&mut self) {
        while self.order.len() >= MAX_TRACES {
            if let Some(oldest) = self.order.pop_front() {
                self.parts.remove(&oldest);
            }
        }
    }
}

impl<P: SpanProcessor> KeepFailures<P> {
    pub(super) fn before(next: P) -> Self {
        Self { next, open: Mutex::default() }
    }
}

impl<P: SpanProcessor> SpanProcessor for KeepFailures<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            return self.next.on_end(span);
        }
        let failed = self.open.lock().unwrap_or_else(PoisonError::into_inner).keep(span);
        for mut span in failed {
            span.span_context = chosen(&span.span_context);
            self.next.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// The same place in the trace, marked as chosen: exporters pass over what is not.
fn chosen(place: &SpanContext) -> SpanContext {
    SpanContext::new(
        place.trace_id(),
        place.span_id(),
        place.trace_flags() | TraceFlags::SAMPLED,
        place.is_remote(),
        place.trace_state().clone(),
    )
}

#[cfg(test)]
mod tests;
