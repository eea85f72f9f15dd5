//! The node: connect, format, mount, grow, measure; the only privileged service
