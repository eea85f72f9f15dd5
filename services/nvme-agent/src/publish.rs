//! Publishing: the staged volume visible at a pod's path, and its opposite.
//!
//! A filesystem is bound from the staging path onto a folder, a block volume's device node onto a regular file. A
//! read-only bind takes two mounts: the bind, and a remount; when the second fails the first is taken back.

pub(crate) mod ensure;
pub(crate) mod plan;
