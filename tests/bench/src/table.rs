//! Figures of many measurements.

use std::time::Duration;

/// The middle one.
pub(crate) fn median(taken: &[Duration]) -> Duration {
    percentile(taken, 50)
}

/// The one that so many percent stay below.
pub(crate) fn percentile(taken: &[Duration], percent: usize) -> Duration {
    let mut sorted = taken.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}
