//! The life of a snapshot: made, read, removed. On the appliance it is a disk like a volume, never exported, whose mark
//! names the volume it was made of.

pub(crate) mod ensure;
pub(crate) mod plan;
