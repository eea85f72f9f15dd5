//! The CSI protocol: parsing, capabilities, error codes, registration with kubelet
