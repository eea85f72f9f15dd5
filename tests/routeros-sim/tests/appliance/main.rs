//! The simulated appliance through its real sockets.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod client;
mod crash;
mod limits;
mod session;
mod shell;
mod transcripts;
