//! The operator's commands against the services as they are: the real backend, a simulated appliance behind it, a real
//! Kubernetes API where the cluster is asked.

mod deciding;
mod leftovers;
mod looking;
mod program;
mod qualifying;
