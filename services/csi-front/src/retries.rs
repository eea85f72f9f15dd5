//! Which trace a call is another try of. Callers begin a new trace with every try; a link leads from each to the last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chassis::telemetry::TraceContext;

use crate::rpc::Rpc;

/// Failed calls that are remembered. The oldest goes first.
const MAX_FAILED: usize = 256;

/// The last failed calls of one process. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Retries(Arc<Mutex<VecDeque<Failed>>>);

#[derive(Debug)]
struct Failed {
    rpc: Rpc,
    subject: String,
    trace: TraceContext,
}

impl Retries {
    /// Remembers that a call about `subject` has failed.
    pub(crate) fn failed(&self, rpc: Rpc, subject: &str, trace: TraceContext) {
        // Without a subject nothing says which call is a retry of which.
        if subject.is_empty() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_FAILED {
            kept.pop_front();
        }
        kept.push_back(Failed { rpc, subject: subject.to_owned(), trace });
    }

    /// The trace of the last try, which is forgotten.
    pub(crate) fn last_try(&self, rpc: Rpc, subject: &str) -> Option<TraceContext> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|failed| failed.rpc == rpc && failed.subject == subject)?;
        kept.remove(at).map(|failed| failed.trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_call_about_the_same_volume_is_a_retry() {
        let retries = Retries::default();
        retries.failed(Rpc::CreateVolume, "a", TraceContext::default());
        retries.failed(Rpc::GetPluginInfo, "", TraceContext::default());
        assert!(retries.last_try(Rpc::CreateVolume, "b").is_none());
        assert!(retries.last_try(Rpc::DeleteVolume, "a").is_none());
        assert!(retries.last_try(Rpc::GetPluginInfo, "").is_none());
        assert!(retries.last_try(Rpc::CreateVolume, "a").is_some());
        assert!(retries.last_try(Rpc::CreateVolume, "a").is_none(), "it is told once");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let retries = Retries::default();
        for number in 0..MAX_FAILED + 10 {
            retries.failed(Rpc::CreateVolume, &number.to_string(), TraceContext::default());
        }
        assert!(retries.last_try(Rpc::CreateVolume, "9").is_none());
        assert!(retries.last_try(Rpc::CreateVolume, "10").is_some());
        assert_eq!(retries.0.lock().unwrap().len(), MAX_FAILED - 1);
    }
}
