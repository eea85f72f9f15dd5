//! rdsctl: the operator's command line, and the CSI client it is made of.
//!
//! `rdsctl csi …` speaks CSI to a socket, as a sidecar or kubelet would: for people who debug a driver, and for
//! whoever plays the orchestrator ([`csi::Csi`]). `rdsctl appliance …` asks the backend; `rdsctl certificates …` and
//! `rdsctl uninstall …` are what the chart's jobs run, and ask the Kubernetes API.
//! Path: `cli` (options become a request) → the client → one JSON object, or a table, on standard output.
//! Failure: the code and the message on standard error, and an exit code that tells an answer from a mistake.

mod adoption;
mod appliance;
mod backend;
mod certificates;
mod cli;
mod confirm;
pub mod csi;
mod input;
mod kubernetes;
mod orphans;
mod outcome;
mod qualify;
mod show;
mod uninstall;
mod volumes;

pub use cli::Cli;
pub use outcome::run;
