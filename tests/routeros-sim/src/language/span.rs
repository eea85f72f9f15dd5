//! Times: `1w2d03:04:05`. Whole milliseconds.

use std::fmt;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) i64);

impl Span {
    pub(crate) fn seconds(seconds: i64) -> Option<Self> {
        seconds.checked_mul(SECOND).map(Self)
    }

    /// Whole seconds: what `:tonum` makes of it (C: scripts of users take Unix times that way).
    pub(crate) fn whole_seconds(self) -> i64 {
        self.0 / SECOND
    }

    /// `10s`, `1w2d3h4m5s`, `250ms`, `00:01:00`, `1w2d03:04:05`, `00:00:05.003` (D). A bare number is not a time.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut total: i64 = 0;
        let mut pieces = 0;
        while !rest.is_empty() {
            if rest.contains(':') && !rest.contains(['w', 'd', 'h', 'm', 's']) {
                total = total.checked_add(clock(rest)?)?;
                pieces += 1;
                break;
            }
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: i64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let units = [("ms", 1), ("w", WEEK), ("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)];
            let (name, unit) = units.into_iter().find(|(name, _)| rest.starts_with(name))?;
            rest = &rest[name.len()..];
            total = total.checked_add(number.checked_mul(unit)?)?;
            pieces += 1;
        }
        (pieces > 0).then_some(Self(if negative { -total } else { total }))
    }
}

/// `03:04:05`, `03:04`, `03:04:05.25`.
fn clock(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = whole.split(':').collect();
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(|part| digits(part)) {
        return None;
    }
    let mut total: i64 = 0;
    for (part, unit) in parts.iter().zip([HOUR, MINUTE, SECOND]) {
        total = total.checked_add(part.parse::<i64>().ok()?.checked_mul(unit)?)?;
    }
    if !fraction.is_empty() {
        let padded = format!("{fraction:0<3}");
        total = total.checked_add(digits(fraction).then(|| padded[..3].parse::<i64>().ok())??)?;
    }
    Some(total)
}

/// As RouterOS prints durations: weeks and days only where there are some, then a clock (D).
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            write!(f, "-")?;
        }
        let total = self.0.saturating_abs();
        for (name, unit, above) in [("w", WEEK, i64::MAX), ("d", DAY, WEEK)] {
            let count = total % above / unit;
            if count > 0 {
                write!(f, "{count}{name}")?;
            }
        }
        write!(f, "{:02}:{:02}:{:02}", total % DAY / HOUR, total % HOUR / MINUTE, total % MINUTE / SECOND)?;
        match total % SECOND {
            0 => Ok(()),
            part => write!(f, ".{part:03}"),
        }
    }
}
