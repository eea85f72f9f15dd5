//! NVMe qualified names. A volume's name carries its epoch: that is the fence (docs/ARCHITECTURE.md, "Fencing").

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::id::{IdError, NodeId, text_type};

/// Longest NQN, in bytes (NVMe Base Specification 2.0, section 4.5).
pub const MAX_NQN_BYTES: usize = 223;

/// How often a volume has had a new owner. 0 = never attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(u64);

/// Largest epoch: nine decimal digits, what the ownership mark has room for.
pub const MAX_EPOCH: u64 = 999_999_999;

impl Epoch {
    /// `None` above [`MAX_EPOCH`].
    pub fn new(number: u64) -> Option<Self> {
        (number <= MAX_EPOCH).then_some(Self(number))
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The epoch of the next owner; `None` when the counter is used up.
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An NVMe qualified name: `nqn.` and letters, digits and `.:-`, at most 223 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nqn(String);
text_type!(Nqn);

impl FromStr for Nqn {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > MAX_NQN_BYTES {
            return Err(IdError::TooLong { length: text.len(), limit: MAX_NQN_BYTES });
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".:-".contains(&b);
        if text.len() > 4 && text.starts_with("nqn.") && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Malformed {
                value: text.chars().take(64).collect(),
                wanted: "an NQN: nqn. and letters, digits, '.', ':' and '-'",
            })
        }
    }
}

/// What the names of all our volumes begin with, e.g. `nqn.2026-09.io.srvlab:rds`. Leaves room for slot and epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NqnPrefix(Nqn);

/// Bytes a slot (40 for volumes of an earlier driver) and an epoch need: `:<slot>.e<epoch>`.
const SUFFIX_BYTES: usize = 1 + 40 + 2 + 9;

impl NqnPrefix {
    /// The name a volume is exported under in an epoch: `<prefix>:<slot>.e<epoch>`.
    pub fn volume(&self, slot: &str, epoch: Epoch) -> Result<Nqn, IdError> {
        format!("{}:{slot}.e{epoch}", self.0).parse()
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for NqnPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NqnPrefix {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let limit = MAX_NQN_BYTES - SUFFIX_BYTES;
        if text.len() > limit {
            return Err(IdError::TooLong { length: text.len(), limit });
        }
        text.parse().map(Self)
    }
}

/// Who a node is towards every appliance. The two always go together (Linux pairs them one to one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostIdentity {
    /// `nqn.2014-08.org.nvmexpress:uuid:<host_id>`
    pub host_nqn: Nqn,
    /// The host identifier.
    pub host_id: Uuid,
}

/// Name space of host identifiers; a random UUID, fixed for ever.
const HOST_ID_NAMESPACE: Uuid = Uuid::from_u128(0x9d1c_6a52_7a0e_4c43_9c1f_52ab_8d37_60e4);

impl HostIdentity {
    /// The identity of a node: a UUIDv5 of its id, so it is the same wherever it is computed.
    pub fn of(node: &NodeId) -> Result<Self, IdError> {
        let host_id = Uuid::new_v5(&HOST_ID_NAMESPACE, node.as_str().as_bytes());
        let host_nqn = format!("nqn.2014-08.org.nvmexpress:uuid:{host_id}").parse()?;
        Ok(Self { host_nqn, host_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix() -> NqnPrefix {
        "nqn.2026-09.io.srvlab:rds".parse().expect("a prefix")
    }

    proptest! {
        #[test]
        fn two_epochs_never_share_a_name(a in 0..=MAX_EPOCH, b in 0..=MAX_EPOCH) {
            prop_assume!(a != b);
            let name = |n| prefix().volume("csi-0000000000000000000000000000", Epoch::new(n).expect("in range")).expect("fits");
            prop_assert_ne!(name(a), name(b));
        }

        #[test]
        fn the_longest_prefix_still_leaves_room_for_slot_and_epoch(tail in "[a-z0-9]{167}") {
            let prefix: NqnPrefix = format!("nqn.{tail}").parse().expect("a prefix");
            let slot = "p".repeat(40);
            prop_assert!(prefix.volume(&slot, Epoch(MAX_EPOCH)).is_ok());
        }

        #[test]
        fn any_text_is_an_nqn_or_a_clear_error(text in ".*") {
            if let Ok(nqn) = text.parse::<Nqn>() {
                prop_assert_eq!(nqn.as_str(), text);
            }
        }
    }

    #[test]
    fn the_name_ends_in_the_epoch() {
        let nqn = prefix().volume("csi-0000000000000000000000000000", Epoch(7)).expect("fits");
        assert_eq!(nqn.as_str(), "nqn.2026-09.io.srvlab:rds:csi-0000000000000000000000000000.e7");
    }

    #[test]
    fn the_counter_of_owners_ends_instead_of_wrapping() {
        assert_eq!(Epoch(MAX_EPOCH).next(), None);
        assert_eq!(Epoch::default().next(), Some(Epoch(1)));
    }

    #[test]
    fn nothing_that_could_leave_an_option_string_is_an_nqn() {
        for text in ["nqn.a,hostnqn=b", "nqn.a b", "nqn.a\n", "nqn.", "iqn.a", "nqn.$x"] {
            assert!(text.parse::<Nqn>().is_err(), "{text:?}");
        }
    }
}
