//! The dialect: how a wish becomes one line of RouterOS script, and how its answer becomes typed rows.
//!
//! Pure: no socket, no clock. [`script`] renders, [`reply`] finds the answer between its sentinels, [`disk`] and
//! [`probe`] read rows, [`rejection`] reads error texts. Human output of RouterOS is never parsed.

pub(crate) mod disk;
pub(crate) mod probe;
pub(crate) mod quote;
pub(crate) mod rejection;
pub(crate) mod reply;
pub(crate) mod script;
