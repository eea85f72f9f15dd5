//! What every service stands on: options, telemetry, gRPC over mutual TLS and unix sockets, health, shutdown.
//!
//! It knows no volume, no disk and no event, and does not depend on the contract: what is here would serve any
//! set of services. A service's `main` is [`run`] and nothing else.

pub mod admin;
pub mod backoff;
pub mod channel;
pub mod deadline;
pub mod health;
pub mod metrics;
pub mod options;
pub mod outbox;
pub mod reservation;
pub mod secret;
pub mod server;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;
pub mod tls;

mod process;
#[cfg(test)]
mod testing;

pub use process::{StartError, run};
