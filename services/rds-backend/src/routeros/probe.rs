//! What the appliance says of itself, and what follows from its version.

use std::cmp::Ordering;

use serde_json::Value;

use crate::routeros::disk::{Fields, PoolRow, RowError};

/// Oldest version that can set an NVMe name (`nvme-tcp-server-nqn`); without it there is no fence.
const FLOOR: [u32; 3] = [7, 21, 0];

/// A RouterOS version, e.g. `7.24.4 (stable)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    text: String,
    /// Major, minor, patch; `None` when the text has another form.
    numbers: Option<[u32; 3]>,
}

impl Version {
    pub(crate) fn parse(text: &str) -> Self {
        let first = text.split_whitespace().next().unwrap_or_default();
        // `7.25beta2`, `7.24rc1`: what follows the digits says how early it is, not how high.
        let end = first.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(first.len());
        let mut numbers = [0; 3];
        let mut parts = first[..end].split('.');
        let mut well_formed = !first.is_empty();
        for number in &mut numbers {
            if let Some(part) = parts.next() {
                match part.parse() {
                    Ok(parsed) => *number = parsed,
                    Err(_) => well_formed = false,
                }
            }
        }
        Self { text: text.to_owned(), numbers: well_formed.then_some(numbers) }
    }

    /// As the appliance prints it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// True when it is known to be too old. A version of unknown form is not refused: its commands will tell.
    pub(crate) fn is_below_floor(&self) -> bool {
        self.numbers.is_some_and(|numbers| numbers.cmp(&FLOOR) == Ordering::Less)
    }

    /// True when its SSH server is remotely exploitable: below 7.23.4, and 7.24.0 to 7.24.1
    /// (CVE-2026-67276, CVE-2026-67279, CVE-2026-86060).
    pub(crate) fn has_known_holes(&self) -> bool {
        self.numbers
            .is_some_and(|numbers| numbers < [7, 23, 4] || ([7, 24, 0]..=[7, 24, 1]).contains(&numbers))
    }

    /// What an operator should know about it.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.numbers.is_none() {
            warnings.push(format!(
                "the version {:?} cannot be read; RouterOS 7.21 or newer is needed",
                self.text
            ));
        }
        if self.is_below_floor() {
            warnings.push(format!(
                "RouterOS {} is below 7.21, which cannot name exports; upgrade, nothing is attached from it",
                self.text
            ));
        }
        if self.has_known_holes() {
            warnings.push(format!(
                "RouterOS {} has a remotely exploitable SSH server (CVE-2026-67276, CVE-2026-67279, CVE-2026-86060); \
                 upgrade to 7.23.4 or to 7.24.2 or newer",
                self.text
            ));
        }
        warnings
    }
}

/// `/system/resource`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) version: Version,
    pub(crate) board: String,
    pub(crate) uptime: String,
}

impl Resource {
    /// Reads `resource` of an answer.
    pub(crate) fn read(answer: &Value) -> Result<Self, RowError> {
        let answer = Fields::of(answer, "answer")?;
        let resource = answer.get("resource").ok_or(RowError::Missing("resource"))?;
        let resource = Fields::of(resource, "resource")?;
        Ok(Self {
            version: Version::parse(&resource.wanted("version")?),
            board: resource.text("board-name")?,
            uptime: resource.text("uptime")?,
        })
    }
}

/// The answer to the first command on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) resource: Resource,
    /// Uptimes can be compared in a script.
    pub(crate) comparable: bool,
}

impl Hello {
    /// Reads the answer of [`crate::routeros::script::status::hello`].
    pub(crate) fn read(answer: &Value) -> Result<Self, RowError> {
        let comparable = Fields::of(answer, "answer")?.flag("comparable")?;
        Ok(Self { resource: Resource::read(answer)?, comparable })
    }
}

/// The answer to a status command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) resource: Resource,
    /// Rows that begin with the mark of this cluster.
    pub(crate) volumes: u64,
    /// The pools that were asked for, as far as they exist.
    pub(crate) pools: Vec<PoolRow>,
}

impl Status {
    /// Reads the answer of [`crate::routeros::script::status::status`].
    pub(crate) fn read(answer: &Value) -> Result<Self, RowError> {
        let volumes = Fields::of(answer, "answer")?.number("volumes");
        Ok(Self { resource: Resource::read(answer)?, volumes: volumes?, pools: read_pools(answer)? })
    }
}

/// Reads the pools in the answer of [`crate::routeros::script::status::pools`] or of a status command.
pub(crate) fn read_pools(answer: &Value) -> Result<Vec<PoolRow>, RowError> {
    rows_of_pools(Fields::of(answer, "answer")?.get("pools").ok_or(RowError::Missing("pools"))?)
}

/// Reads pools by their slots.
pub(crate) fn rows_of_pools(pools: &Value) -> Result<Vec<PoolRow>, RowError> {
    let rows = pools.as_object().into_iter().flat_map(serde_json::Map::values);
    let rows = rows.flat_map(|rows| rows.as_array().into_iter().flatten());
    rows.map(|row| PoolRow::read(Fields::of(row, "pools")?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_floor_and_the_holes_are_where_the_advisories_put_them() {
        let below = ["7.20.8 (stable)", "7.2", "6.49.10 (long-term)", "7.17rc1"];
        let holes = ["7.21 (stable)", "7.23.3", "7.24 (stable)", "7.24.1 (stable)", "7.24rc1 (testing)"];
        let good = ["7.23.4 (long-term)", "7.24.2", "7.24.4 (stable)", "7.25beta3 (development)", "8.0"];
        for text in below {
            assert!(Version::parse(text).is_below_floor(), "{text}");
        }
        for text in holes {
            let version = Version::parse(text);
            assert!(!version.is_below_floor() && version.has_known_holes(), "{text}");
            assert!(version.warnings().iter().any(|w| w.contains("CVE-2026-67276")), "{text}");
        }
        for text in good {
            assert!(Version::parse(text).warnings().is_empty(), "{text}");
        }
    }

    #[test]
    fn a_version_of_another_form_is_a_warning_not_a_refusal() {
        for text in ["", "next", "v7"] {
            let version = Version::parse(text);
            assert!(!version.is_below_floor() && !version.warnings().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn a_status_is_read_and_a_missing_pool_is_simply_not_there() {
        let answer = json!({
            "resource": {"version": "7.24.4 (stable)", "board-name": "RDS2216", "uptime": "1w2d", "cpu": 1},
            "volumes": 3,
            "pools": {
                "raid1": [{"slot": "raid1", "fs": "xfs", "size": 100, "free": 40, "mount-point": "raid1", "state": "clean"}],
                "raid2": []
            }
        });
        let status = Status::read(&answer).expect("a status");
        assert_eq!(status.resource.board, "RDS2216");
        assert_eq!((status.volumes, status.pools.len()), (3, 1));
        assert_eq!(Status::read(&json!({"volumes": 1, "pools": {}})), Err(RowError::Missing("resource")));
    }
}
