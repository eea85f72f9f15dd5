//! The life of a volume: made, grown, read, removed.

pub(crate) mod ensure;
pub(crate) mod plan;
