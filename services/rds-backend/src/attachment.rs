//! Who holds a volume: attach, detach, facts, and the mark that it is formatted.

pub(crate) mod ensure;
pub(crate) mod plan;
