//! The simulated appliance and the real services, for tests and for the demo.
//!
//! Two ways to run the same thing: [`Stack`] has everything in one process, with real sockets on port 0; [`demo`]
//! starts each service as a process of its own. Both give the services the same options, and both play Kubernetes
//! with [`orchestrator`]. What a run leaves in the kernel is found and cleared by [`leftovers`], below its own folder
//! only.
//!
//! Absent on purpose: a way to reach into a service. Tests see what a user sees: answers, the appliance, the node,
//! Events, traces and logs.

pub mod appliance;
pub mod collector;
pub mod demo;
pub mod events;
pub mod leftovers;
pub mod observatory;
pub mod orchestrator;
pub mod pki;
pub mod portal;
pub mod readiness;
pub mod settings;
pub mod trace;
pub mod world;

mod operator;
mod patience;
mod privileges;
mod stack;

pub use patience::{eventually, patience, within};
pub use privileges::{find_tool, loudly, needs_root, what_mounting_lacks};
pub use stack::Stack;
