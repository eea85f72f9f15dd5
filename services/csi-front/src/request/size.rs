//! Capacity ranges.

use proto::csi::v1 as csi;
use proto::size::ByteSize;

use super::Problems;

/// A wished size. Zero = not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Capacity {
    /// Smallest size, in bytes.
    pub(crate) required: u64,
    /// Largest size, in bytes.
    pub(crate) limit: u64,
}

/// Reads a capacity range; a missing one leaves both open.
pub(crate) fn parse(range: Option<&csi::CapacityRange>, problems: &mut Problems) -> Capacity {
    let Some(range) = range else {
        return Capacity::default();
    };
    let mut bytes = |field: &str, value: i64| match u64::try_from(value) {
        Ok(bytes) => bytes,
        Err(_) => {
            problems.note(
                format_args!("capacity_range.{field}"),
                format_args!("{value} is negative; bytes, 0 = not given"),
            );
            0
        }
    };
    let capacity = Capacity {
        required: bytes("required_bytes", range.required_bytes),
        limit: bytes("limit_bytes", range.limit_bytes),
    };
    if range.required_bytes == 0 && range.limit_bytes == 0 {
        problems
            .note("capacity_range", "required_bytes and limit_bytes are both 0; at least one must be given");
    }
    if capacity.limit != 0 && capacity.required > capacity.limit {
        problems.note(
            "capacity_range.limit_bytes",
            format_args!(
                "{} is below required_bytes {}; it must be 0 (no limit) or at least as large",
                ByteSize::from_bytes(capacity.limit),
                ByteSize::from_bytes(capacity.required)
            ),
        );
    }
    capacity
}

/// Reads a capacity range that must be there.
pub(crate) fn parse_given(range: Option<&csi::CapacityRange>, problems: &mut Problems) -> Capacity {
    if range.is_none() {
        problems.note("capacity_range", "is missing; required_bytes says the wanted size");
    }
    parse(range, problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(required_bytes: i64, limit_bytes: i64) -> Result<Capacity, String> {
        let mut problems = Problems::default();
        let range = csi::CapacityRange { required_bytes, limit_bytes };
        let capacity = parse(Some(&range), &mut problems);
        problems.finish().map(|()| capacity).map_err(|fault| fault.message)
    }

    #[test]
    fn a_wrong_size_is_named_with_what_is_allowed() {
        assert!(read(-1, 0).unwrap_err().contains("capacity_range.required_bytes: -1 is negative"));
        assert!(read(0, 0).unwrap_err().contains("at least one"));
        assert!(read(2 << 30, 1 << 30).unwrap_err().contains("1 GiB is below required_bytes 2 GiB"));
    }

    proptest! {
        #[test]
        fn a_range_that_is_accepted_keeps_every_byte(required in 0..i64::MAX, limit in 0..i64::MAX) {
            if let Ok(capacity) = read(required, limit) {
                prop_assert_eq!((capacity.required, capacity.limit), (required as u64, limit as u64));
                prop_assert!(capacity.limit == 0 || capacity.required <= capacity.limit);
            }
        }
    }
}
