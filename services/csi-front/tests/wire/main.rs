//! csi-front over real sockets, between a caller that speaks CSI and services that answer what a test tells them.

mod bad_input;
mod controller;
mod fakes;
mod node;
mod outage;
mod registration;
mod unadvertised;
mod world;
