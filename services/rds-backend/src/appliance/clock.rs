//! The appliance's clock: the time since its start, against which commands expire.
//!
//! A command that hangs on the appliance and runs after its answer was given up could undo what was done since. So each
//! one that changes something carries the uptime after which it must not begin. How far the two clocks are apart is read
//! when the connection is made; uptime has whole seconds, and never runs backwards while a command can be alive.

use std::time::Duration;

use tokio::time::Instant;

/// Uptime counts whole seconds, so twice a second may be lost: when it was read, and when it is compared.
const ROUNDING: Duration = Duration::from_secs(2);

/// What was read, and between which moments of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    uptime: u64,
    asked: Instant,
    told: Instant,
}

/// Until when a command may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// By the appliance's clock, in seconds since its start.
    pub(crate) uptime: u64,
    /// By ours: at this moment it certainly begins no more.
    pub(crate) certain: Instant,
}

impl Clock {
    /// The uptime that was read by a command sent at `asked` and answered now.
    pub(crate) fn read(uptime: u64, asked: Instant) -> Self {
        Self { uptime, asked, told: Instant::now() }
    }

    /// The expiry of a command that is sent now and may begin within `limit`.
    pub(crate) fn expiry(&self, limit: Duration) -> Expiry {
        let now = Instant::now();
        let limit = Duration::from_secs(limit.as_secs().max(1));
        let since = now.saturating_duration_since(self.asked).as_secs();
        let apart = self.told.saturating_duration_since(self.asked);
        Expiry { uptime: self.uptime + since + 1 + limit.as_secs(), certain: now + apart + limit + ROUNDING }
    }
}

/// Reads an uptime in whole seconds: `1w2d03:04:05`, `04:05`, `2d3h4m5s`.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let (dated, clock) = match text.find(':') {
        // The last number before the first colon is the hour, or the minute when there is only one colon.
        Some(colon) => {
            text.split_at(text[..colon].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1))
        }
        None => (text, ""),
    };
    let mut total = 0u64;
    if !clock.is_empty() {
        let mut parts = 0;
        for part in clock.split(':') {
            parts += 1;
            total = total.checked_mul(60)?.checked_add(part.parse().ok()?)?;
        }
        if !(2..=3).contains(&parts) {
            return None;
        }
    }
    let mut number = String::new();
    for c in dated.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            'w' => 604_800,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    (number.is_empty() && !text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_uptime_is_read_and_nothing_else() {
        let good = [
            ("1w2d03:04:05", 604_800 + 2 * 86_400 + 3 * 3_600 + 4 * 60 + 5),
            ("00:00:17", 17),
            ("2d3h4m5s", 2 * 86_400 + 3 * 3_600 + 4 * 60 + 5),
            ("45s", 45),
            ("10:30", 630),
        ];
        for (text, wanted) in good {
            assert_eq!(seconds(text), Some(wanted), "{text}");
        }
        for text in ["", "soon", "5", "1:2:3:4", "3x", "::", "99999999999999999999w"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_may_begin_within_its_limit_and_certainly_not_later() {
        let asked = Instant::now();
        tokio::time::advance(Duration::from_millis(300)).await;
        let clock = Clock::read(1000, asked);
        tokio::time::advance(Duration::from_secs(60)).await;
        let expiry = clock.expiry(Duration::from_secs(5));
        // The uptime is 1060 or 1061 now.
        assert_eq!(expiry.uptime, 1066);
        let latest = expiry.certain.saturating_duration_since(Instant::now());
        assert!(latest >= Duration::from_secs(7) && latest < Duration::from_secs(8), "{latest:?}");
    }
}
