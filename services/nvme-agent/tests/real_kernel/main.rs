//! The agent against the real kernel: loop devices, mkfs, mounts. Needs root; without it every test says that it was
//! left out, and passes.

mod appliance;
mod backend;
mod dead_mount;
mod fencing;
mod formatting;
mod growing;
mod life;
mod matrix;
mod ownership;
mod publishing;
mod restart;
mod watching;
mod world;
