//! One module per promise. Each test starts the simulated appliance and the real services for itself, plays
//! Kubernetes, and looks at what a user would look at: answers, the appliance, the node, Events, traces, logs.
//!
//! Tests that mount need root and say so, loudly, when they are left out.
#![cfg(test)]

mod appliance_down;
mod attach_conflict;
mod bad_input;
mod event_namespaces;
mod fencing;
mod format_safety;
mod idempotency;
mod identities;
mod life;
mod lost_reply;
mod metrics;
mod one_trace;
mod ownership;
mod round_trips;
mod secrets;
mod shutdown;
mod unimplemented;

use harness::orchestrator::{Access, Wish};

const GIB: i64 = 1 << 30;
const MIB: i64 = 1 << 20;
/// A pod's UID.
const POD: &str = "33333333-cccc-4000-8000-000000000003";

/// A claim for 1 GiB of xfs.
fn wish(claim: &str) -> Wish {
    Wish::new(claim, Access::Filesystem("xfs"), GIB)
}
