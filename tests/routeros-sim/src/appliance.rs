//! The state of the simulated appliance: disk rows, real files behind them, and who is connected.
//!
//! Truths kept here: a slot is unique and at most 32 characters (M); a file disk takes its whole size from the pool at
//! once (I); removing a row leaves the file (M); a file that exists is adopted by `add` as it is (I, to be measured on
//! a device); shrinking is refused (I); a row detaches without a flush (M).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::language::value::Value;

/// A pool of the appliance.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Slot of the row, also the first folder of its paths: `raid1` → `/raid1/…`.
    pub slot: String,
    /// `xfs` or `btrfs`.
    pub filesystem: String,
    /// Size in bytes.
    pub size: u64,
    /// `clean`, `active`, `degraded`, ….
    pub state: String,
    /// False: the pool is not mounted.
    pub mounted: bool,
}

/// What a disk row is.
pub(crate) type Row = BTreeMap<String, Value>;

/// How a connected host learns of a new size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Growth {
    /// Only when it connects anew: what was seen on a device (M).
    Reconnect,
    /// At once.
    Live,
}

/// Longest slot (M, 7.24.4). Earlier versions took longer ones: disks with 40 characters exist (M); how long is not
/// known (I).
const MAX_SLOT: usize = 32;
const MAX_SLOT_BEFORE_7_24: usize = 64;

/// The state.
#[derive(Debug)]
pub(crate) struct Appliance {
    pub(crate) version: String,
    pub(crate) flagged: bool,
    pub(crate) growth: Growth,
    pub(crate) pool_full: bool,
    root: PathBuf,
    rows: BTreeMap<u64, Row>,
    next_id: u64,
    /// Counts changes; portal sessions look again at each.
    changes: watch::Sender<u64>,
}

/// An export as the portal sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) id: u64,
    pub(crate) file: PathBuf,
    pub(crate) size: u64,
    pub(crate) allowed_host: String,
}

fn text(row: &Row, key: &str) -> String {
    row.get(key).map(Value::lossy).unwrap_or_default()
}

fn yes(row: &Row, key: &str) -> bool {
    row.get(key).and_then(Value::truth).unwrap_or(false)
}

/// `pool/x.img` reads back as `/pool/x.img` (M). `None` for a path that leaves its folder.
fn absolute(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let sound = !parts.is_empty() && parts.iter().all(|part| !matches!(*part, "." | ".."));
    sound.then(|| format!("/{}", parts.join("/")))
}

impl Appliance {
    /// Opens the state below `root`: pools become rows, their folders are made.
    pub(crate) fn new(root: PathBuf, version: String, growth: Growth, pools: &[Pool]) -> io::Result<Self> {
        let mut appliance = Self {
            version,
            flagged: false,
            growth,
            pool_full: false,
            root,
            rows: BTreeMap::new(),
            next_id: 1,
            changes: watch::Sender::new(0),
        };
        for pool in pools {
            std::fs::create_dir_all(appliance.host_path(&format!("/{}", pool.slot)))?;
            let mut row = Row::from([
                ("slot".to_owned(), Value::text(&*pool.slot)),
                ("type".to_owned(), Value::text("raid")),
                ("fs".to_owned(), Value::text(&*pool.filesystem)),
                ("size".to_owned(), Value::Num(pool.size as i64)),
                ("state".to_owned(), Value::text(&*pool.state)),
            ]);
            if pool.mounted {
                row.insert("mount-point".to_owned(), Value::text(&*pool.slot));
            }
            appliance.insert(row);
        }
        Ok(appliance)
    }

    fn insert(&mut self, row: Row) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.rows.insert(id, row);
        id
    }

    pub(crate) fn host_path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.rows.keys().copied().collect()
    }

    /// A row as `print` and `get` show it: with what is computed.
    pub(crate) fn row(&self, id: u64) -> Option<Row> {
        let mut row = self.rows.get(&id)?.clone();
        row.insert(".id".to_owned(), Value::text(format!("*{id:X}")));
        if text(&row, "type") == "raid" {
            let free = if self.pool_full { 0 } else { self.free_of(&row) };
            if row.contains_key("mount-point") {
                row.insert("free".to_owned(), Value::Num(free as i64));
            }
        } else {
            row.insert("size".to_owned(), row.get("file-size").cloned().unwrap_or(Value::Num(0)));
            row.insert("model".to_owned(), row.get("file-path").cloned().unwrap_or(Value::Nothing));
        }
        Some(row)
    }

    pub(crate) fn by_slot(&self, slot: &str) -> Option<u64> {
        self.rows.iter().find(|(_, row)| text(row, "slot") == slot).map(|(id, _)| *id)
    }

    /// `*1F` or a slot.
    pub(crate) fn resolve(&self, target: &str) -> Option<u64> {
        match target.strip_prefix('*') {
            Some(hex) => u64::from_str_radix(hex, 16).ok().filter(|id| self.rows.contains_key(id)),
            None => self.by_slot(target),
        }
    }

    fn free_of(&self, pool: &Row) -> u64 {
        let folder = format!("/{}/", text(pool, "slot"));
        let taken: u64 =
            self.files().iter().filter(|(path, _)| path.starts_with(&folder)).map(|(_, size)| size).sum();
        pool.get("size").and_then(Value::number).unwrap_or(0).max(0) as u64
            - taken.min(pool.get("size").and_then(Value::number).unwrap_or(0).max(0) as u64)
    }

    fn pool_of(&self, path: &str) -> Option<&Row> {
        let first = path.split('/').nth(1)?;
        self.rows.values().find(|row| {
            text(row, "type") == "raid" && text(row, "slot") == first && row.contains_key("mount-point")
        })
    }

    /// Every regular file with its size, by its path on the appliance.
    pub(crate) fn files(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(about) if about.is_dir() => folders.push(entry.path()),
                    Ok(about) => {
                        let path = entry.path();
                        let relative =
                            path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy().into_owned();
                        found.push((format!("/{relative}"), about.len()));
                    }
                    Err(_) => {}
                }
            }
        }
        found.sort();
        found
    }

    /// `/disk/add`; the texts are those of devices (M) where known.
    pub(crate) fn add(&mut self, properties: Row) -> Result<u64, String> {
        let slot = text(&properties, "slot");
        if text(&properties, "type") != "file" {
            return Err("input does not match any value of type".to_owned());
        }
        let most =
            if crate::menu::is_at_least(&self.version, (7, 24)) { MAX_SLOT } else { MAX_SLOT_BEFORE_7_24 };
        if slot.is_empty() || slot.len() > most {
            return Err("invalid value for argument slot".to_owned());
        }
        if self.by_slot(&slot).is_some() {
            return Err("failure: already have disk with this slot".to_owned());
        }
        let path = absolute(&text(&properties, "file-path")).ok_or("invalid value for argument file-path")?;
        let size =
            properties.get("file-size").and_then(Value::number).and_then(|size| u64::try_from(size).ok());
        let host = self.host_path(&path);
        let existing = std::fs::metadata(&host).ok().map(|about| about.len());
        let size = existing.or(size).ok_or("invalid value for argument file-size")?;
        let pool = self.pool_of(&path).ok_or("failure: no such directory")?;
        if existing.is_none() {
            if self.pool_full || self.free_of(pool) < size {
                return Err("failure: not enough space".to_owned());
            }
            preallocate(&host, size).map_err(|error| format!("failure: {error}"))?;
        }
        let mut row = Row::from(
            [("mount-filesystem", true), ("nvme-tcp-export", false)]
                .map(|(key, value)| (key.to_owned(), Value::Bool(value))),
        );
        row.insert("nvme-tcp-server-port".to_owned(), Value::Num(4420));
        row.extend(properties);
        row.insert("file-path".to_owned(), Value::text(path));
        row.insert("file-size".to_owned(), Value::Num(size as i64));
        let id = self.insert(row);
        self.changed();
        Ok(id)
    }

    /// `/disk/set`.
    pub(crate) fn set(&mut self, id: u64, properties: Row) -> Result<(), String> {
        if let Some(size) = properties.get("file-size") {
            self.grow(
                id,
                size.number()
                    .and_then(|size| u64::try_from(size).ok())
                    .ok_or("invalid value for argument file-size")?,
            )?;
        }
        let Some(row) = self.rows.get_mut(&id) else {
            return Err("no such item".to_owned());
        };
        row.extend(properties.into_iter().filter(|(key, _)| key != "file-size"));
        self.changed();
        Ok(())
    }

    fn grow(&mut self, id: u64, size: u64) -> Result<(), String> {
        let row = self.rows.get(&id).ok_or("no such item")?;
        let path = text(row, "file-path");
        let before = row.get("file-size").and_then(Value::number).unwrap_or(0) as u64;
        if size < before {
            return Err("failure: cannot shrink file".to_owned());
        }
        let pool = self.pool_of(&path).ok_or("failure: no such directory")?;
        if size > before && (self.pool_full || self.free_of(pool) < size - before) {
            return Err("failure: not enough space".to_owned());
        }
        preallocate(&self.host_path(&path), size).map_err(|error| format!("failure: {error}"))?;
        if let Some(row) = self.rows.get_mut(&id) {
            row.insert("file-size".to_owned(), Value::Num(size as i64));
        }
        Ok(())
    }

    /// `/disk/remove`: the row goes, the file stays (M).
    pub(crate) fn remove(&mut self, id: u64) -> Result<(), String> {
        let removed = self.rows.remove(&id).map(|_| ()).ok_or("no such item".to_owned());
        self.changed();
        removed
    }

    /// `/file/remove`.
    pub(crate) fn remove_file(&mut self, name: &str) -> Result<(), String> {
        let path = absolute(name).ok_or("no such item")?;
        if self.rows.values().any(|row| text(row, "file-path") == path) {
            return Err("failure: file is in use".to_owned());
        }
        std::fs::remove_file(self.host_path(&path)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "no such item".to_owned(),
            _ => format!("failure: {error}"),
        })
    }

    /// What is exported under an NQN now.
    pub(crate) fn export(&self, nqn: &str) -> Option<Export> {
        let (id, row) = self
            .rows
            .iter()
            .find(|(_, row)| yes(row, "nvme-tcp-export") && text(row, "nvme-tcp-server-nqn") == nqn)?;
        let size = row.get("file-size").and_then(Value::number).unwrap_or(0) as u64;
        let file = self.host_path(&text(row, "file-path"));
        Some(Export { id: *id, file, size, allowed_host: text(row, "nvme-tcp-server-allow-host-name") })
    }
}

/// Takes the size at once, as a sparse file: what matters to a host is the size.
fn preallocate(path: &Path, size: u64) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?.set_len(size)
}
