//! The contract between the services: the gRPC messages, and the vocabulary they are made of.
//!
//! No I/O, no runtime, no command line. The vocabulary ([`id`], [`nqn`], [`size`], [`fault`], [`event`]) is
//! pure: text becomes one of these types once, at the edge of a service, and stays one.

pub mod event;
pub mod fault;
pub mod id;
pub mod nqn;
pub mod size;

/// The Container Storage Interface, names and numbers as its specification 1.13 defines them.
pub mod csi {
    /// `csi.v1`
    #[expect(missing_docs, clippy::all, reason = "generated; the CSI specification documents these types")]
    pub mod v1 {
        tonic::include_proto!("csi.v1");
        include!(concat!(env!("OUT_DIR"), "/csi_debug.rs"));
    }
}

/// The project's own services.
pub mod rds {
    /// Volumes on the appliance: `rds.volume.v1`.
    pub mod volume {
        /// `rds.volume.v1`
        #[expect(missing_docs, clippy::all, reason = "generated; documented in volume.proto")]
        pub mod v1 {
            tonic::include_proto!("rds.volume.v1");
        }
    }
    /// Storage on a node: `rds.node.v1`.
    pub mod node {
        /// `rds.node.v1`
        #[expect(missing_docs, clippy::all, reason = "generated; documented in node.proto")]
        pub mod v1 {
            tonic::include_proto!("rds.node.v1");
        }
    }
    /// Kubernetes Events: `rds.event.v1`.
    pub mod event {
        /// `rds.event.v1`
        #[expect(missing_docs, clippy::all, reason = "generated; documented in event.proto")]
        pub mod v1 {
            tonic::include_proto!("rds.event.v1");
        }
    }
}

/// Kubelet's plugin registration.
#[expect(missing_docs, clippy::all, reason = "generated; documented in pluginregistration.proto")]
pub mod pluginregistration {
    tonic::include_proto!("pluginregistration");
}

/// Descriptors of everything above, for gRPC reflection and for tests.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
