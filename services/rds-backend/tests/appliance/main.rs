//! The service as it runs, over mutual TLS, against a simulated appliance over real SSH.

mod attachment;
mod outage;
mod volume;
mod world;
