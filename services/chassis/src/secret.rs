//! Text that must never be printed: it has no `Display`, its `Debug` shows nothing, and it is wiped when dropped.

pub use secrecy::{ExposeSecret, SecretString};
