//! Until when an answer is of use. Read from the call (`grpc-timeout`), passed on with what is left.

use std::time::Duration;

use tokio::time::Instant;

/// A point in time after which the caller no longer waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// Header that carries a call's time limit (gRPC over HTTP/2 protocol).
pub(crate) const TIMEOUT_HEADER: &str = "grpc-timeout";

impl Deadline {
    /// `limit` from now.
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// The caller's deadline; `default` from now if it set none.
    pub fn of<T>(request: &tonic::Request<T>, default: Duration) -> Self {
        request.extensions().get::<Self>().copied().unwrap_or_else(|| Self::after(default))
    }

    /// What is left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// True when it has passed.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// The point in time.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// The earlier of this and `limit` from now.
    pub fn at_most(self, limit: Duration) -> Self {
        self.min(Self::after(limit))
    }

    /// A request that carries what is left, less a margin for the way back (5 %, at most half a second): the called
    /// service gives up first, so its answer is heard.
    pub fn request<T>(self, message: T) -> tonic::Request<T> {
        let remaining = self.remaining();
        let margin = (remaining / 20).min(Duration::from_millis(500));
        let mut request = tonic::Request::new(message);
        request.set_timeout(remaining - margin);
        request
    }
}

/// Reads `grpc-timeout`: at most eight digits and a unit. Anything else is no limit.
pub(crate) fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_header_is_a_limit_or_none(text in ".{0,12}") {
            let _ = parse_timeout(&text);
        }
    }

    #[test]
    fn units_are_those_of_the_grpc_protocol() {
        assert_eq!(parse_timeout("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parse_timeout("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_timeout("99999999S"), Some(Duration::from_secs(99_999_999)));
        for text in ["", "S", "1", "1s", "-1S", "123456789S", "1é"] {
            assert_eq!(parse_timeout(text), None, "{text:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_passed_on_is_less_than_what_is_left() {
        let deadline = Deadline::after(Duration::from_secs(10));
        let request = deadline.request(());
        let header = request.metadata().get(TIMEOUT_HEADER).expect("set").to_str().expect("ascii");
        let passed_on = parse_timeout(header).expect("a limit");
        assert!(passed_on >= Duration::from_secs(9) && passed_on < Duration::from_secs(10), "{passed_on:?}");
        assert_eq!(
            Deadline::of(&tonic::Request::new(()), Duration::from_secs(3)).remaining(),
            Duration::from_secs(3)
        );
    }
}
