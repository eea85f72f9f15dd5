//! `rds-backend`: the only holder of the appliances' SSH.
//!
//! It owns the life of volumes and attachments on the appliances, and nothing else knows RouterOS. Path of a call:
//! [`service`] checks who calls and parses again → reserves the volume → [`volume`] or [`attachment`] renders one
//! command ([`routeros::script`]) → [`rounds`] sends it through [`appliance`] until an answer decides → `plan` judges the
//! rows that came back → [`report`] tells what happened → the answer, or a fault from [`fault`].
//!
//! Truth lives on the appliance: in the disk row and its comment ([`mark`]). Nothing outlives a call here but the
//! connections. When an appliance is down the service serves on, says so in readiness, and recovers by itself.
//!
//! Absent on purpose: a cache, a database, Kubernetes (except for the UID of kube-system, in [`cluster`]), and any way
//! to touch a disk without our mark. Snapshots, lists and adoption of older volumes are not here yet.

mod adoption;
mod appliance;
mod attachment;
mod capacity;
mod cluster;
mod config;
mod copies;
mod fault;
mod health;
mod inventory;
mod mark;
mod metrics;
mod ownership;
mod paging;
mod qualify;
mod report;
mod rounds;
mod routeros;
mod serve;
mod service;
mod snapshot;
mod volume;

pub use appliance::{HostKey, HostKeyError, UserKey};
pub use config::{ApplianceConfig, ApplianceConfigError, Config, Options, Wear};
pub use ownership::LeaseName;
pub use serve::{Listeners, serve};
