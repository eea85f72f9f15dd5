//! How long to wait before trying again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Waits that double from `min` to `max`, each with jitter so that many callers do not return at once. Never ends.
pub fn exponential(min: Duration, max: Duration) -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(min)
        .with_max_delay(max)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_bounded_and_never_end() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(60));
        let waits: Vec<_> = exponential(min, max).take(200).collect();
        assert_eq!(waits.len(), 200);
        assert!(waits[0] >= min && waits[0] <= min * 2, "{:?}", waits[0]);
        assert!(waits.iter().all(|wait| *wait <= max * 2), "jitter adds less than the wait itself");
    }
}
