//! rdsctl: the operator's command line, and the CSI client it is made of.
//!
//! `rdsctl csi …` speaks CSI to a socket, as a sidecar or kubelet would: for people who debug a driver, and for
//! whoever plays the orchestrator ([`csi::Csi`]). `rdsctl appliance …`, `volumes …` and `snapshots …` ask the backend;
//! `rdsctl certificates …` and `rdsctl uninstall …` are what the chart's jobs run, and ask the Kubernetes API.
//! Path: `cli` (options become a request) → the client (`csi`, `backend`, `kubernetes`) → `message` (all fields) or
//! `table` (for people) → `output`. What changes something asks first (`prompt`).
//! Failure: the code and the message on standard error, and an exit code that tells an answer from a mistake.
//! Absent on purpose: any knowledge of how an appliance is told to do things. The backend has it.

mod appliance;
mod backend;
mod certificates;
mod cli;
pub mod csi;
mod input;
mod kubernetes;
mod message;
mod outcome;
mod output;
mod persistent;
mod prompt;
mod snapshots;
mod table;
mod uninstall;
mod volumes;

pub use cli::Cli;
pub use outcome::run;
