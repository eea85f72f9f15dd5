//! `/file`: the tree of files, by name and without a leading slash.

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::table::{Row, id_text};
use super::{Appliance, absolute, extents};
use crate::language::value::Value;

/// One entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// On the appliance, with a leading slash.
    pub(crate) path: String,
    /// `None` for a folder.
    pub(crate) size: Option<u64>,
    pub(crate) modified: u64,
}

/// Everything below `root`, in order.
fn walk(root: &Path) -> Vec<Node> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            let path = entry.path();
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let modified = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let size = (!about.is_dir()).then_some(about.len());
            let modified = modified.map_or(0, |since| since.as_secs());
            found.push(Node { path: format!("/{relative}"), size, modified });
            if about.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Regular files with their sizes.
pub(super) fn regular(root: &Path) -> Vec<(String, u64)> {
    walk(root).into_iter().filter_map(|node| Some((node.path, node.size?))).collect()
}

impl Appliance {
    /// Every regular file with its size, by its path on the appliance.
    pub(crate) fn files(&self) -> Vec<(String, u64)> {
        regular(&self.root)
    }

    /// The tree as `/file` shows it: every look at it is a walk through all of it (M).
    pub(crate) fn tree(&mut self) -> Vec<Node> {
        let nodes = walk(&self.root);
        let files: Vec<(String, u64)> =
            nodes.iter().filter_map(|node| Some((node.path.clone(), node.size?))).collect();
        self.ledger.reconcile(&files);
        nodes
    }

    /// The row of an entry (D: names, types and properties as the documentation prints them).
    pub(crate) fn file_row(&mut self, node: &Node) -> Row {
        let next = self.file_ids.len() as u64 + 1;
        let id = *self.file_ids.entry(node.path.clone()).or_insert(next);
        let name = node.path.trim_start_matches('/');
        let leaf = name.rsplit('/').next().unwrap_or(name);
        let kind = match (node.size, leaf.rsplit_once('.')) {
            (None, _) if !name.contains('/') => "disk".to_owned(),
            (None, _) => "directory".to_owned(),
            (Some(_), Some((_, ending))) => format!(".{ending} file"),
            (Some(_), None) => "file".to_owned(),
        };
        let mut row = Row::from([
            (".id".to_owned(), Value::text(id_text(id))),
            ("name".to_owned(), Value::text(name)),
            ("type".to_owned(), Value::text(kind)),
            ("last-modified".to_owned(), Value::text(date(node.modified))),
        ]);
        if let Some(size) = node.size {
            row.insert("size".to_owned(), Value::Num(size as i64));
        }
        row
    }

    /// The path an id or a name means.
    pub(crate) fn file_path(&self, target: &str) -> Option<String> {
        match target.strip_prefix('*') {
            Some(hex) => {
                let id = u64::from_str_radix(hex, 16).ok()?;
                self.file_ids.iter().find(|(_, known)| **known == id).map(|(path, _)| path.clone())
            }
            None => absolute(target),
        }
    }

    /// One entry, found by its name without a walk.
    pub(crate) fn node(&self, path: &str) -> Option<Node> {
        let about = std::fs::symlink_metadata(self.host_path(path)).ok()?;
        let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH).duration_since(UNIX_EPOCH);
        Some(Node {
            path: path.to_owned(),
            size: (!about.is_dir()).then_some(about.len()),
            modified: modified.map_or(0, |since| since.as_secs()),
        })
    }

    /// What a small file holds (D: just under 60 KiB, of larger ones nothing).
    pub(crate) fn contents(&self, node: &Node) -> Option<Vec<u8>> {
        let small = node.size.is_some_and(|size| size < 60 << 10);
        if small { std::fs::read(self.host_path(&node.path)).ok() } else { None }
    }

    /// `/file/remove`: a file, or a folder with nothing in it (I).
    pub(crate) fn remove_file(&mut self, target: &str) -> Result<(), String> {
        let path = self.file_path(target).ok_or("no such item")?;
        if !self.disks.with("file-path", path.as_bytes()).is_empty() {
            return Err("failure: file is in use".to_owned());
        }
        let node = self.node(&path).ok_or("no such item")?;
        self.writable(&path)?;
        if self.is_mounted(&path) {
            return Err("failure: cannot remove a mount point".to_owned());
        }
        let host = self.host_path(&path);
        let removed = match node.size {
            Some(_) => std::fs::remove_file(host),
            None => std::fs::remove_dir(host),
        };
        removed.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "no such item".to_owned(),
            io::ErrorKind::DirectoryNotEmpty => format!("failure: directory not empty: {path}"),
            _ => format!("failure: {error}"),
        })?;
        let released = self.release(&path);
        self.keep(released.as_slice());
        Ok(())
    }

    /// A pool's folder or a subvolume.
    fn is_mounted(&self, path: &str) -> bool {
        path.matches('/').count() == 1 || !self.subvolumes.with("~path", path.as_bytes()).is_empty()
    }

    /// `/file/add` (D: `name`, `type`, `contents`).
    pub(crate) fn add_file(&mut self, name: &str, kind: &str, contents: &[u8]) -> Result<(), String> {
        let path = absolute(name).ok_or("invalid value for argument name")?;
        self.fits(&path, contents.len() as u64)?;
        let host = self.host_path(&path);
        let made = match kind {
            "directory" => std::fs::create_dir(host),
            "file" | "" => std::fs::write(host, contents),
            _ => return Err("input does not match any value of type".to_owned()),
        };
        made.map_err(|error| format!("failure: {error}"))?;
        if kind != "directory" {
            self.ledger.set(&path, contents.len() as u64);
        }
        self.keep(&[]);
        Ok(())
    }

    /// A new file or folder of this size may be made at `path`.
    fn fits(&self, path: &str, size: u64) -> Result<(), String> {
        self.room(path, size)?;
        self.writable(path)?;
        let host = self.host_path(path);
        if std::fs::symlink_metadata(&host).is_ok() {
            return Err("failure: already exists".to_owned());
        }
        if host.parent().is_some_and(Path::is_dir) {
            Ok(())
        } else {
            Err("failure: no such directory".to_owned())
        }
    }

    /// `/file/copy`: all bytes, as they are now, also of a file that a disk uses; folders with all in them (D). It needs
    /// their space (I: nobody has measured whether a device shares them).
    pub(crate) fn copy_file(&mut self, source: &str, target: &str) -> Result<(), String> {
        let source = self.file_path(source).ok_or("no such item")?;
        let target = absolute(target).ok_or("invalid value for argument name")?;
        let node = self.node(&source).ok_or("no such item")?;
        if format!("{target}/").starts_with(&format!("{source}/")) {
            return Err("failure: cannot copy into itself".to_owned());
        }
        let inside = |node: &Node| node.path.starts_with(&format!("{source}/"));
        let mut nodes = vec![node];
        if nodes[0].size.is_none() {
            nodes.extend(self.tree().into_iter().filter(inside));
        }
        self.fits(&target, nodes.iter().filter_map(|node| node.size).sum())?;
        for node in nodes {
            let copy = format!("{target}{}", node.path.strip_prefix(&source).unwrap_or_default());
            let (from, to) = (self.host_path(&node.path), self.host_path(&copy));
            let copied = match node.size {
                Some(_) => extents::copy(&from, &to).map(|size| self.ledger.set(&copy, size)),
                None => std::fs::create_dir(to),
            };
            copied.map_err(|error| format!("failure: {error}"))?;
        }
        self.keep(&[]);
        Ok(())
    }
}

/// `2024-11-25 13:14:28` (D).
fn date(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Days since 0000-03-01, in eras of 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second % 3600 / 60, second % 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_date_reads_as_the_documentation_prints_it() {
        assert_eq!(super::date(0), "1970-01-01 00:00:00");
        assert_eq!(super::date(1_732_540_468), "2024-11-25 13:14:28");
        assert_eq!(super::date(951_782_400), "2000-02-29 00:00:00");
    }
}
