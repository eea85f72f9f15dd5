//! Rows of `/disk`, as `print as-value` through `:serialize` gives them.
//!
//! Properties this version does not know are ignored; one that it needs and does not find is an error that names it.
//! Numbers may come as numbers or as text, booleans as `true`, `"true"` or `"yes"`.

use proto::size::ByteSize;
use serde_json::{Map, Value};

/// Why a row could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowError {
    /// A property is not there.
    #[error("the answer has no {0:?}")]
    Missing(&'static str),
    /// A property has a value of another kind.
    #[error("{property:?} is {value}, which is not {wanted}")]
    Malformed {
        /// Its name.
        property: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
}

/// One object of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// The object itself; a list of exactly one is taken as that one (singleton menus come either way).
    pub(crate) fn of(value: &'a Value, name: &'static str) -> Result<Self, RowError> {
        let single = match value {
            Value::Array(items) if items.len() == 1 => &items[0],
            other => other,
        };
        single.as_object().map(Fields).ok_or_else(|| malformed(name, value, "an object"))
    }

    pub(crate) fn get(self, name: &'static str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A list of objects; nothing, `""` and `[]` are the empty list.
    pub(crate) fn rows(self, name: &'static str) -> Result<Vec<Fields<'a>>, RowError> {
        match self.0.get(name) {
            None => Err(RowError::Missing(name)),
            Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| Fields::of(item, name)).collect(),
            Some(other) => Err(malformed(name, other, "a list of rows")),
        }
    }

    /// A text; absent is empty, as RouterOS leaves unset properties out.
    pub(crate) fn text(self, name: &'static str) -> Result<String, RowError> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(other) => Err(malformed(name, other, "a text")),
        }
    }

    /// A text that must be there.
    pub(crate) fn wanted(self, name: &'static str) -> Result<String, RowError> {
        self.get(name).ok_or(RowError::Missing(name))?;
        self.text(name)
    }

    pub(crate) fn number(self, name: &'static str) -> Result<u64, RowError> {
        let value = self.get(name).ok_or(RowError::Missing(name))?;
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.ok_or_else(|| malformed(name, value, "a whole number"))
    }

    pub(crate) fn flag(self, name: &'static str) -> Result<bool, RowError> {
        let value = self.get(name).ok_or(RowError::Missing(name))?;
        match value {
            Value::Bool(flag) => Ok(*flag),
            Value::String(text) if text == "true" || text == "yes" => Ok(true),
            Value::String(text) if text == "false" || text == "no" => Ok(false),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                Err(malformed(name, value, "yes or no"))
            }
        }
    }
}

fn malformed(property: &'static str, value: &Value, wanted: &'static str) -> RowError {
    RowError::Malformed { property, value: value.to_string().chars().take(80).collect(), wanted }
}

/// A disk row that may be a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskRow {
    /// Its unique name.
    pub(crate) slot: String,
    /// `file` for a volume.
    pub(crate) kind: String,
    /// Image file, with a leading slash.
    pub(crate) path: String,
    /// Exact size.
    pub(crate) size: ByteSize,
    /// Where our mark lives; empty when unset.
    pub(crate) comment: String,
    /// `nvme-tcp-export`
    pub(crate) exported: bool,
    /// `nvme-tcp-server-nqn`; empty when unset.
    pub(crate) nqn: String,
}

impl DiskRow {
    /// Reads one row.
    pub(crate) fn read(fields: Fields<'_>) -> Result<Self, RowError> {
        let size = match fields.number("file-size") {
            Ok(size) => size,
            Err(_) => fields.number("size")?,
        };
        Ok(Self {
            slot: fields.wanted("slot")?,
            kind: fields.wanted("type")?,
            path: absolute(&fields.text("file-path")?),
            size: ByteSize::from_bytes(size),
            comment: fields.text("comment")?,
            exported: fields.flag("nvme-tcp-export")?,
            nqn: fields.text("nvme-tcp-server-nqn")?,
        })
    }

    /// The configured folder of the image: that of its subvolume, if it has one of its own.
    pub(crate) fn directory(&self) -> &str {
        let parent = |path: &str| path.rsplit_once('/').map_or(0, |(directory, _)| directory.len());
        let folder = &self.path[..parent(&self.path)];
        match folder.rsplit_once('/') {
            Some((directory, own)) if own == self.slot => directory,
            Some(_) | None => folder,
        }
    }
}

/// RouterOS shows the same path with and without its leading slash.
pub(crate) fn absolute(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!("/{}", path.trim_start_matches('/')),
    }
}

/// The disk row of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PoolRow {
    /// Its slot.
    pub(crate) slot: String,
    /// `xfs`, `btrfs`.
    pub(crate) filesystem: String,
    /// Size of the filesystem.
    pub(crate) size: ByteSize,
    /// Free space.
    pub(crate) free: ByteSize,
    /// Empty when it is not mounted.
    pub(crate) mount_point: String,
    /// State of the RAID; empty for a plain disk.
    pub(crate) state: String,
}

impl PoolRow {
    /// Reads one row. An unmounted pool has no free space to tell.
    pub(crate) fn read(fields: Fields<'_>) -> Result<Self, RowError> {
        let mount_point = fields.text("mount-point")?;
        let free = match fields.number("free") {
            Err(RowError::Missing(_)) if mount_point.is_empty() => 0,
            other => other?,
        };
        Ok(Self {
            slot: fields.wanted("slot")?,
            filesystem: fields.text("fs")?,
            size: ByteSize::from_bytes(fields.number("size")?),
            free: ByteSize::from_bytes(free),
            mount_point,
            state: fields.text("state")?,
        })
    }

    /// Mounted, and its RAID (if it is one) works.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.mount_point.is_empty() && matches!(self.state.as_str(), "" | "clean" | "active")
    }
}

#[cfg(test)]
mod tests;
