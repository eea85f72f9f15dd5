//! `/disk`: rows over files.

use super::store::Change;
use super::table::{Row, count, text, yes};
use super::{Appliance, absolute, preallocate, shown};
use crate::language::value::Value;
use crate::menu::spec;

/// Longest slot (M, 7.24.4). Earlier versions took longer ones: disks with 40 characters exist (M); since when, and how
/// long they may have been, is not known (I).
const MAX_SLOT: usize = 32;
const MAX_SLOT_BEFORE_7_24: usize = 64;

/// Longest slot of this version.
fn longest_slot(version: &str) -> usize {
    if spec::version_of(version) >= (7, 24) { MAX_SLOT } else { MAX_SLOT_BEFORE_7_24 }
}

impl Appliance {
    /// A row as `print` and `get` show it: with what is computed.
    pub(crate) fn row(&self, id: u64) -> Option<Row> {
        let row = self.disks.get(id)?;
        let mut seen = shown(id, row);
        match text(row, "type").as_str() {
            "raid" if row.contains_key("mount-point") => {
                let (free, size) = (self.free_of(row), count(row, "size"));
                seen.insert("free".to_owned(), Value::Num(free as i64));
                // Percent (D).
                let used = size.saturating_sub(free).saturating_mul(100).checked_div(size);
                seen.insert("use".to_owned(), Value::Num(used.unwrap_or(0) as i64));
            }
            "file" => {
                seen.insert("size".to_owned(), row.get("file-size").cloned().unwrap_or(Value::Num(0)));
                seen.insert("model".to_owned(), row.get("file-path").cloned().unwrap_or(Value::Nothing));
            }
            _ => {}
        }
        Some(seen)
    }

    /// `/disk/add`; the texts are those of devices (M) where known.
    pub(crate) fn add(&mut self, properties: Row) -> Result<u64, String> {
        let slot = text(&properties, "slot");
        if text(&properties, "type") != "file" {
            return Err("input does not match any value of type".to_owned());
        }
        if slot.is_empty() || slot.len() > longest_slot(&self.version) {
            return Err("invalid value for argument slot".to_owned());
        }
        if !self.disks.with("slot", slot.as_bytes()).is_empty() {
            return Err("failure: already have disk with this slot".to_owned());
        }
        self.check_comment(&properties)?;
        let path = absolute(&text(&properties, "file-path")).ok_or("invalid value for argument file-path")?;
        let size =
            properties.get("file-size").and_then(Value::number).and_then(|size| u64::try_from(size).ok());
        let host = self.host_path(&path);
        let existing = std::fs::metadata(&host).ok();
        if existing.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            return Err("failure: is a directory".to_owned());
        }
        let existing = existing.map(|about| about.len());
        let size = existing.or(size).ok_or("invalid value for argument file-size")?;
        self.writable(&path)?;
        self.room(&path, if existing.is_none() { size } else { 0 })?;
        if existing.is_none() {
            preallocate(&host, size).map_err(|error| format!("failure: {error}"))?;
        }
        if existing.is_none() || !self.ledger.knows(&path) {
            self.ledger.set(&path, size);
        }
        let mut row = defaults();
        row.extend(properties);
        row.insert("file-path".to_owned(), Value::text(path.as_str()));
        row.insert("file-size".to_owned(), Value::Num(size as i64));
        // Before it could be set, the name of an export was the slot (C).
        if crate::menu::spec::version_of(&self.version) < crate::menu::spec::NQN {
            row.insert("nvme-tcp-server-nqn".to_owned(), Value::text(slot));
        }
        let exported = yes(&row, "nvme-tcp-export");
        let id = self.disks.insert(row);
        if exported {
            self.own(&path);
        }
        self.keep_disk(id);
        Ok(id)
    }

    fn check_comment(&self, properties: &Row) -> Result<(), String> {
        let long = properties.get("comment").is_some_and(|comment| comment.len() > self.max_comment);
        if long { Err("invalid value for argument comment".to_owned()) } else { Ok(()) }
    }

    /// What is exported may be written to: its data is its own from now on (I).
    fn own(&mut self, path: &str) {
        if self.ledger.part(path) {
            self.keep(&[Change::Group(path.to_owned(), None)]);
        }
    }

    /// `/disk/set`.
    pub(crate) fn set(&mut self, id: u64, properties: Row) -> Result<(), String> {
        let row = self.disks.get(id).ok_or("no such item")?;
        if text(row, "type") != "file" {
            let known = |key: &str| matches!(key, "comment" | "disabled");
            if !properties.keys().all(|key| known(key)) {
                return Err("failure: cannot change this disk".to_owned());
            }
        }
        self.check_comment(&properties)?;
        self.check_slot(id, &properties)?;
        if let Some(size) = properties.get("file-size") {
            let size = size.number().and_then(|size| u64::try_from(size).ok());
            self.grow(id, size.ok_or("invalid value for argument file-size")?)?;
        }
        self.disks.update(id, |row| row.extend(properties.into_iter().filter(|(key, _)| key != "file-size")));
        if let Some(row) = self.disks.get(id).filter(|row| yes(row, "nvme-tcp-export")) {
            self.own(&text(row, "file-path"));
        }
        self.keep_disk(id);
        Ok(())
    }

    fn check_slot(&self, id: u64, properties: &Row) -> Result<(), String> {
        if properties.contains_key("file-path") {
            return Err("failure: file-path cannot be changed".to_owned());
        }
        let Some(slot) = properties.get("slot").map(Value::lossy) else { return Ok(()) };
        if slot.is_empty() || slot.len() > longest_slot(&self.version) {
            return Err("invalid value for argument slot".to_owned());
        }
        if self.disks.with("slot", slot.as_bytes()).iter().any(|other| *other != id) {
            return Err("failure: already have disk with this slot".to_owned());
        }
        Ok(())
    }

    fn grow(&mut self, id: u64, size: u64) -> Result<(), String> {
        let row = self.disks.get(id).ok_or("no such item")?;
        let (path, before) = (text(row, "file-path"), count(row, "file-size"));
        if size < before {
            return Err("failure: cannot shrink file".to_owned());
        }
        if size == before {
            return Ok(());
        }
        self.writable(&path)?;
        self.room(&path, size - before)?;
        preallocate(&self.host_path(&path), size).map_err(|error| format!("failure: {error}"))?;
        self.own(&path);
        self.ledger.set(&path, size);
        self.disks.update(id, |row| drop(row.insert("file-size".to_owned(), Value::Num(size as i64))));
        Ok(())
    }

    /// `/disk/remove`: the row goes, the file stays (M).
    pub(crate) fn remove(&mut self, id: u64) -> Result<(), String> {
        let row = self.disks.get(id).ok_or("no such item")?;
        if text(row, "type") != "file" {
            return Err("failure: cannot remove this disk".to_owned());
        }
        self.disks.remove(id);
        self.keep_disk(id);
        Ok(())
    }
}

/// Whether hosts see it.
pub(super) fn is_exported(row: &Row) -> bool {
    yes(row, "nvme-tcp-export") && !yes(row, "disabled")
}

/// What a file disk has that was not given (D/M).
fn defaults() -> Row {
    Row::from(
        [
            ("mount-filesystem", Value::Bool(true)),
            ("mount-read-only", Value::Bool(false)),
            ("compress", Value::Bool(false)),
            ("nvme-tcp-export", Value::Bool(false)),
            ("nvme-tcp-server-port", Value::Num(4420)),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    )
}
