//! The service as it runs, over mutual TLS, against a simulated appliance over real SSH.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod attachment;
mod content;
mod crash;
mod injection;
mod late;
mod lease;
mod model;
mod operator;
mod outage;
mod trouble;
mod volume;
mod wear;
mod world;
