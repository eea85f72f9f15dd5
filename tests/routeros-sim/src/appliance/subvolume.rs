//! `/disk/btrfs/subvolume`: subvolumes are folders; with a parent, folders with a copy of its files as they are now (D).
//!
//! The documentation shows: `name=` may be a path relative to the root of the filesystem; read back, `name` is the leaf,
//! and rows also have `fullname`, `fs` (the label), `top-level` (where it lies), `parent` (what it was made from; empty
//! when that is gone) and `snapshots` (what was made from it). Each filesystem has a root, `<FS_ROOT>`, by itself. Texts
//! of refusals are inferred (I), except that a taken name is refused with words that hold `exists` (C).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::Path;

use super::store::Change;
use super::table::{Row, text, yes};
use super::{Appliance, absolute, extents, shown};
use crate::language::value::Value;

/// Unknown of devices; the same for all.
const CREATED: &str = "2026-01-02 03:04:05";

/// Name of what every filesystem has by itself (D).
const ROOT: &str = "<FS_ROOT>";

fn uuid() -> String {
    uuid_text(rand::random())
}

/// The same for the same pool, also after a restart.
pub(super) fn uuid_of(seed: &str) -> String {
    let half = |part: &str| {
        let mut hasher = DefaultHasher::new();
        (seed, part).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    uuid_text(half("first") << 64 | half("second"))
}

fn uuid_text(number: u128) -> String {
    let hex = format!("{number:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn row_of(properties: impl IntoIterator<Item = (&'static str, Value)>) -> Row {
    properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

impl Appliance {
    /// A row as `print` and `get` show it: with what is computed.
    pub(crate) fn subvolume_row(&self, id: u64) -> Option<Row> {
        let row = self.subvolumes.get(id)?;
        let mut seen = shown(id, row);
        let name = |id: &u64| self.subvolumes.get(*id).map(|row| text(row, "name"));
        let source = row.get("~source").map(Value::bytes).unwrap_or_default();
        let parent = self.subvolumes.with("uuid", &source).first().and_then(name);
        seen.insert("parent".to_owned(), Value::text(parent.unwrap_or_default()));
        let snapshots = self.subvolumes.with("~source", text(row, "uuid").as_bytes());
        seen.insert("snapshots".to_owned(), Value::list(snapshots.iter().filter_map(name).map(Value::text)));
        Some(seen)
    }

    /// The root of a btrfs pool, which comes with it.
    pub(super) fn add_root(&mut self, pool: &str) {
        self.subvolumes.insert(row_of([
            ("name", Value::text(ROOT)),
            ("fullname", Value::text(ROOT)),
            ("fs", Value::text(self.label_of(pool))),
            ("uuid", Value::text(uuid_of(&format!("{pool} root")))),
            ("top-level", Value::text("")),
            ("default", Value::Bool(true)),
            ("read-only", Value::Bool(false)),
            ("snapshot", Value::Bool(false)),
            ("dead", Value::Bool(false)),
            ("creation-time", Value::text(CREATED)),
            ("subvolume-id", Value::Num(5)),
            ("generation", Value::Num(5)),
            ("~path", Value::text(format!("/{pool}"))),
        ]));
    }

    /// Refuses what lies in a read-only subvolume.
    pub(super) fn writable(&self, path: &str) -> Result<(), String> {
        match self.surrounding(path) {
            Some(row) if yes(row, "read-only") => Err("failure: read-only file system".to_owned()),
            _ => Ok(()),
        }
    }

    /// The innermost subvolume a path lies in.
    fn surrounding(&self, path: &str) -> Option<&Row> {
        let mut folder = path;
        while let Some((outer, _)) = folder.rsplit_once('/') {
            if let Some(id) = self.subvolumes.with("~path", outer.as_bytes()).first() {
                return self.subvolumes.get(*id);
            }
            folder = outer;
        }
        None
    }

    /// The pool a filesystem's name means: its slot or its label.
    fn pool_named(&self, fs: &str) -> Result<String, String> {
        let pool = self.pools().find(|row| text(row, "slot") == fs || text(row, "fs-label") == fs);
        let pool = pool.ok_or("input does not match any value of fs")?;
        match text(pool, "fs").as_str() {
            "btrfs" if pool.contains_key("mount-point") => Ok(text(pool, "slot")),
            "btrfs" => Err("failure: filesystem is not mounted".to_owned()),
            _ => Err("failure: not a btrfs filesystem".to_owned()),
        }
    }

    /// The subvolume of a pool that `name` means: its path, or its leaf where only one has it.
    fn named(&self, label: &str, name: &str) -> Result<u64, String> {
        let of_fs = |id: &u64| self.subvolumes.get(*id).is_some_and(|row| text(row, "fs") == label);
        let by = |property: &str| -> Vec<u64> {
            self.subvolumes.with(property, name.as_bytes()).into_iter().filter(of_fs).collect()
        };
        match (by("fullname").as_slice(), by("name").as_slice()) {
            ([id], _) | ([], [id]) => Ok(*id),
            ([], []) => Err("input does not match any value of parent".to_owned()),
            _ => Err("failure: more than one subvolume has this name".to_owned()),
        }
    }

    /// `/disk/btrfs/subvolume/add`.
    pub(crate) fn add_subvolume(&mut self, properties: &Row) -> Result<u64, String> {
        let pool = self.pool_named(&text(properties, "fs"))?;
        let label = self.label_of(&pool);
        let name = absolute(&text(properties, "name")).ok_or("invalid value for argument name")?;
        let parent = match text(properties, "parent").as_str() {
            "" => None,
            parent => Some(self.named(&label, parent)?),
        };
        let path = format!("/{pool}{name}");
        self.writable(&path)?;
        let host = self.host_path(&path);
        if std::fs::symlink_metadata(&host).is_ok() {
            return Err("failure: File exists".to_owned());
        }
        if !host.parent().is_some_and(Path::is_dir) {
            return Err("failure: no such directory".to_owned());
        }
        let source = parent.and_then(|id| self.subvolumes.get(id)).map(|row| text(row, "~path"));
        let copied = self.fill(source.as_deref(), &path).map_err(|error| format!("failure: {error}"))?;

        let row = self.new_row(&path, &name, label, parent, properties);
        let id = self.subvolumes.insert(row.clone());
        let mut changes = vec![Change::Subvolume(id, Some(row))];
        for (source, copy) in copied {
            self.ledger.share(&source, &copy);
            changes.extend([source, copy].map(|path| {
                let group = self.ledger.group(&path);
                Change::Group(path, group)
            }));
        }
        self.keep(&changes);
        Ok(id)
    }

    fn new_row(&mut self, path: &str, name: &str, label: String, parent: Option<u64>, given: &Row) -> Row {
        let fullname = name.trim_start_matches('/');
        let leaf = fullname.rsplit('/').next().unwrap_or(fullname);
        let top = self.surrounding(path).map(|row| text(row, "name")).unwrap_or_default();
        let source = parent.and_then(|id| self.subvolumes.get(id)).map(|row| text(row, "uuid"));
        let object = self.next_object;
        self.next_object += 1;
        let mut row = row_of([
            ("name", Value::text(leaf)),
            ("fullname", Value::text(fullname)),
            ("fs", Value::text(label)),
            ("uuid", Value::text(uuid())),
            ("top-level", Value::text(top)),
            ("default", Value::Bool(false)),
            ("read-only", Value::Bool(yes(given, "read-only"))),
            ("snapshot", Value::Bool(parent.is_some())),
            ("dead", Value::Bool(false)),
            ("mount", Value::Bool(yes(given, "mount"))),
            ("mountpoint", given.get("mountpoint").cloned().unwrap_or_else(|| Value::text(leaf))),
            ("creation-time", Value::text(CREATED)),
            ("subvolume-id", Value::Num(object as i64)),
            ("generation", Value::Num(object as i64)),
            ("~path", Value::text(path)),
        ]);
        row.extend(source.map(|uuid| ("~source".to_owned(), Value::text(uuid))));
        row
    }

    /// Makes the folder of a subvolume, with the files of `source` in it. It appears whole or not at all.
    fn fill(&self, source: Option<&str>, path: &str) -> io::Result<Vec<(String, String)>> {
        let unfinished = self.root.with_file_name("unfinished");
        remove_tree(&unfinished)?;
        std::fs::create_dir_all(&unfinished)?;
        let mut copied = Vec::new();
        let mut folders = vec![String::new()];
        while let (Some(source), Some(folder)) = (source, folders.pop()) {
            for entry in std::fs::read_dir(self.host_path(&format!("{source}{folder}")))? {
                let entry = entry?;
                let below = format!("{folder}/{}", entry.file_name().to_string_lossy());
                let target = unfinished.join(below.trim_start_matches('/'));
                if entry.metadata()?.is_dir() {
                    std::fs::create_dir(&target)?;
                    // A subvolume in it is not part of the copy; an empty folder stands in its place (D of btrfs).
                    if self.subvolumes.with("~path", format!("{source}{below}").as_bytes()).is_empty() {
                        folders.push(below);
                    }
                } else {
                    extents::copy(&entry.path(), &target)?;
                    copied.push((format!("{source}{below}"), format!("{path}{below}")));
                }
            }
        }
        std::fs::rename(&unfinished, self.host_path(path))?;
        Ok(copied)
    }

    /// `/disk/btrfs/subvolume/set`: read-only and mounts.
    pub(crate) fn set_subvolume(&mut self, id: u64, properties: Row) -> Result<(), String> {
        if properties.keys().any(|key| matches!(key.as_str(), "fs" | "parent" | "name")) {
            return Err("failure: cannot change this property".to_owned());
        }
        if !self.subvolumes.update(id, |row| row.extend(properties)) {
            return Err("no such item".to_owned());
        }
        let row = self.subvolumes.get(id).cloned();
        self.keep(&[Change::Subvolume(id, row)]);
        Ok(())
    }

    /// `/disk/btrfs/subvolume/remove`: its files go with it, also of one that is read-only (D).
    pub(crate) fn remove_subvolume(&mut self, id: u64) -> Result<(), String> {
        let row = self.subvolumes.get(id).ok_or("no such item")?;
        if yes(row, "default") {
            return Err("failure: cannot remove the root subvolume".to_owned());
        }
        let path = text(row, "~path");
        let files = self.ledger.below(&path);
        let used = |file: &String| !self.disks.with("file-path", file.as_bytes()).is_empty();
        if files.iter().any(used) {
            return Err("failure: subvolume is in use".to_owned());
        }
        let inside = format!("{path}/");
        if self.subvolumes.rows().any(|(_, row)| text(row, "~path").starts_with(&inside)) {
            return Err("failure: directory not empty".to_owned());
        }
        remove_tree(&self.host_path(&path)).map_err(|error| format!("failure: {error}"))?;
        let mut changes: Vec<Change> = files.iter().filter_map(|file| self.release(file)).collect();
        self.subvolumes.remove(id);
        changes.push(Change::Subvolume(id, None));
        self.keep(&changes);
        Ok(())
    }
}

/// Removes a folder with what is in it. Links are not followed.
fn remove_tree(folder: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?
        } else {
            std::fs::remove_file(entry.path())?
        }
    }
    std::fs::remove_dir(folder)
}
