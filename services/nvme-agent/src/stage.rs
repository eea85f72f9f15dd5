//! Staging: connected, formatted if proven blank, checked, mounted at the staging path. And its opposite.
//!
//! ```text
//! record -> connect -> await live -> await device -> (identity)
//!   block:       -> staged
//!   filesystem:  -> probe -+- blank -> ask backend -> record attempt -> format -> acknowledge --+
//!                          +- ours  -> check / grow unmounted -------------------------------- -+-> mount -> grow -> staged
//! ```
//! [`plan`] decides one step from what was observed, purely; [`ensure`] observes, does that one step, and observes
//! again. A crash anywhere, and the next call carries on from what it sees. [`facts`] is the seeing.

pub(crate) mod effects;
pub(crate) mod ensure;
pub(crate) mod facts;
pub(crate) mod plan;
pub(crate) mod session;
pub(crate) mod unstage;
