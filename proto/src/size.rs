//! Sizes in bytes. Nothing here ever rounds down: truncating a size destroys what lies behind it.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Neither a number nor a number with a known unit.
    #[error("{0:?} is not a size; write bytes, or a whole number with Ki, Mi, Gi or Ti, such as 2Gi")]
    Malformed(String),
    /// More than 2^64 - 1 bytes.
    #[error("{0:?} is larger than any volume can be")]
    TooLarge(String),
}

const UNITS: [(&str, u64); 5] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("", 1)];

impl ByteSize {
    /// One mebibyte: the granularity of volume sizes.
    pub const MIB: Self = Self(1 << 20);
    /// One gibibyte.
    pub const GIB: Self = Self(1 << 30);

    /// A size of exactly so many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The exact number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The smallest multiple of 1 MiB that is not smaller; `None` when it would not fit 64 bits.
    pub fn round_up_to_mib(self) -> Option<Self> {
        self.0.checked_next_multiple_of(Self::MIB.0).map(Self)
    }

    /// The sum; `None` when it would not fit 64 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// `2 GiB`, `1536 MiB`, `1000 bytes`: the largest unit that is exact.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((suffix, unit)) if !suffix.is_empty() => write!(f, "{} {suffix}B", self.0 / unit),
            Some(_) | None => write!(f, "{} bytes", self.0),
        }
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByteSize({self})")
    }
}

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let malformed = || SizeError::Malformed(text.chars().take(40).collect());
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
            .ok_or_else(malformed)?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        let too_large = || SizeError::TooLarge(text.chars().take(40).collect());
        let number: u64 = digits.parse().map_err(|_| too_large())?;
        number.checked_mul(unit).map(Self).ok_or_else(too_large)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rounding_never_loses_a_byte_and_adds_less_than_a_mebibyte(bytes in 0..u64::MAX - (1 << 20)) {
            let rounded = ByteSize(bytes).round_up_to_mib().expect("fits").bytes();
            prop_assert!(rounded >= bytes && rounded - bytes < 1 << 20 && rounded.is_multiple_of(1 << 20));
        }

        #[test]
        fn what_is_displayed_reads_back_as_the_same_size(bytes: u64) {
            let text = ByteSize(bytes).to_string();
            let text = text.replace(" bytes", "").replace(' ', "").replace("iB", "i");
            prop_assert_eq!(text.parse::<ByteSize>(), Ok(ByteSize(bytes)));
        }

        #[test]
        fn any_text_is_a_size_or_a_clear_error(text in ".*") {
            let _ = text.parse::<ByteSize>();
        }
    }

    #[test]
    fn a_size_that_does_not_fit_is_an_error_not_a_wrap() {
        assert_eq!(ByteSize(u64::MAX).round_up_to_mib(), None);
        assert!(matches!("17179869184Gi".parse::<ByteSize>(), Err(SizeError::TooLarge(_))));
        assert!(matches!("-1".parse::<ByteSize>(), Err(SizeError::Malformed(_))));
        assert!(matches!("2G".parse::<ByteSize>(), Err(SizeError::Malformed(_))));
    }
}
