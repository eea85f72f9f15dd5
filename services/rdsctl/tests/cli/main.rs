//! The program itself, against a driver, a backend and a Kubernetes API on real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod changing;
mod csi;
mod encrypted;
mod fake;
mod hostile;
mod orphans;
mod program;
mod qualify;
mod reading;
