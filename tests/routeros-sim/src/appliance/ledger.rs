//! What the pools hold: sizes of files, and which of them share their data.
//!
//! A snapshot's files share their data with their source, and data that several files share takes its space once, as
//! long as one of them is left (D). A file leaves its group when it grows or is exported: from then on it may differ (I:
//! the real thing counts extents).

use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    size: u64,
    group: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    files: BTreeMap<String, Held>,
    /// Members and size of a group.
    groups: HashMap<u64, (usize, u64)>,
    used: HashMap<String, u64>,
    next_group: u64,
}

fn pool_of(path: &str) -> String {
    path.split('/').nth(1).unwrap_or_default().to_owned()
}

impl Ledger {
    pub(crate) fn used(&self, pool: &str) -> u64 {
        self.used.get(pool).copied().unwrap_or(0)
    }

    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn knows(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    pub(crate) fn group(&self, path: &str) -> Option<u64> {
        self.files.get(path)?.group
    }

    fn take(&mut self, path: &str, bytes: u64) {
        *self.used.entry(pool_of(path)).or_default() += bytes;
    }

    fn give(&mut self, path: &str, bytes: u64) {
        let used = self.used.entry(pool_of(path)).or_default();
        *used = used.saturating_sub(bytes);
    }

    /// A file has this size and shares nothing.
    pub(crate) fn set(&mut self, path: &str, size: u64) {
        self.remove(path);
        self.files.insert(path.to_owned(), Held { size, group: None });
        self.take(path, size);
    }

    pub(crate) fn remove(&mut self, path: &str) {
        let Some(held) = self.files.remove(path) else { return };
        match held.group {
            None => self.give(path, held.size),
            Some(group) => self.leave(path, group),
        }
    }

    fn leave(&mut self, path: &str, group: u64) {
        let Some((members, size)) = self.groups.get_mut(&group) else { return };
        let size = *size;
        *members -= 1;
        if *members == 0 {
            self.groups.remove(&group);
            self.give(path, size);
        }
    }

    /// `copy` shares the data of `source`.
    pub(crate) fn share(&mut self, source: &str, copy: &str) {
        let Some(held) = self.files.get(source).copied() else { return };
        let group = held.group.unwrap_or_else(|| {
            self.next_group += 1;
            self.next_group
        });
        self.join(source, held.size, group);
        self.join(copy, held.size, group);
    }

    /// Puts a file into a group; the first one pays.
    pub(crate) fn join(&mut self, path: &str, size: u64, group: u64) {
        if self.group(path) == Some(group) {
            return;
        }
        self.remove(path);
        self.next_group = self.next_group.max(group);
        self.files.insert(path.to_owned(), Held { size, group: Some(group) });
        let entry = self.groups.entry(group).or_insert((0, size));
        entry.0 += 1;
        if entry.0 == 1 {
            self.take(path, size);
        }
    }

    /// From now on the file has its data to itself. True if it shared it before.
    pub(crate) fn part(&mut self, path: &str) -> bool {
        let Some(Held { size, group: Some(_) }) = self.files.get(path).copied() else {
            return false;
        };
        self.set(path, size);
        true
    }

    /// Files below a folder.
    pub(crate) fn below(&self, folder: &str) -> Vec<String> {
        let prefix = format!("{folder}/");
        let from = self.files.range(prefix.clone()..);
        from.take_while(|(path, _)| path.starts_with(&prefix)).map(|(path, _)| path.clone()).collect()
    }

    /// Brings the ledger in line with what is really there.
    pub(crate) fn reconcile(&mut self, files: &[(String, u64)]) {
        let gone: Vec<String> = {
            let there: std::collections::BTreeSet<&str> =
                files.iter().map(|(path, _)| path.as_str()).collect();
            self.files.keys().filter(|path| !there.contains(path.as_str())).cloned().collect()
        };
        for path in gone {
            self.remove(&path);
        }
        for (path, size) in files {
            if self.files.get(path).is_none_or(|held| held.size != *size) {
                self.set(path, *size);
            }
        }
    }
}
