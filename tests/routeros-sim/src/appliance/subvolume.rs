//! `/disk/btrfs/subvolume`: subvolumes are folders; with a parent, folders with a copy of its files as they are now (D).
//!
//! The documentation shows: `name=` may be a path relative to the root of the filesystem, whose folder exists; read
//! back, `name` is the leaf, and rows also have `fullname`, `fs` (the label) and `top-level`. Texts of refusals are
//! inferred (I), except that a taken name is refused with words that hold `exists` (C).

use std::io;
use std::path::Path;

use super::store::Change;
use super::table::{Row, text, yes};
use super::{Appliance, absolute, extents, shown};
use crate::language::value::Value;

/// Unknown of devices; the same for all.
const CREATED: &str = "2026-01-02 03:04:05";

pub(super) fn uuid() -> String {
    let hex = format!("{:032x}", rand::random::<u128>());
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

impl Appliance {
    pub(crate) fn subvolume_row(&self, id: u64) -> Option<Row> {
        self.subvolumes.get(id).map(|row| shown(id, row))
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

        let fullname = name.trim_start_matches('/');
        let (folder, leaf) = fullname.rsplit_once('/').unwrap_or(("", fullname));
        let top = self.surrounding(&path).map(|row| text(row, "name")).unwrap_or_default();
        let read_only = yes(properties, "read-only");
        let object = self.next_object;
        self.next_object += 1;
        let source_name = parent.and_then(|id| self.subvolumes.get(id)).map(|row| text(row, "name"));
        let mut row = Row::from(
            [
                ("name", Value::text(leaf)),
                ("fullname", Value::text(fullname)),
                ("fs", Value::text(label)),
                ("uuid", Value::text(uuid())),
                ("parent", Value::text(source_name.unwrap_or_default())),
                ("top-level", Value::text(if folder.is_empty() { String::new() } else { top })),
                ("read-only", Value::Bool(read_only)),
                ("snapshot", Value::Bool(parent.is_some())),
                ("creation-time", Value::text(CREATED)),
                ("subvolume-id", Value::Num(object as i64)),
                ("generation", Value::Num(object as i64)),
                ("~path", Value::text(path.as_str())),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        let more = ["mount", "mountpoint"].into_iter();
        row.extend(more.filter_map(|key| Some((key.to_owned(), properties.get(key)?.clone()))));
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
        let path = self.subvolumes.get(id).map(|row| text(row, "~path")).ok_or("no such item")?;
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
        for file in files {
            self.ledger.remove(&file);
        }
        self.subvolumes.remove(id);
        self.keep(&[Change::Subvolume(id, None)]);
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
