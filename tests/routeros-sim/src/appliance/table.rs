//! Rows of a menu: by id, and by the properties that are looked up often.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::language::value::Value;

/// What a row is. Properties whose names begin with `~` are the simulator's own and shown to nobody.
pub(crate) type Row = BTreeMap<String, Value>;

pub(crate) fn text(row: &Row, key: &str) -> String {
    row.get(key).map(Value::lossy).unwrap_or_default()
}

pub(crate) fn yes(row: &Row, key: &str) -> bool {
    row.get(key).and_then(Value::truth).unwrap_or(false)
}

pub(crate) fn count(row: &Row, key: &str) -> u64 {
    row.get(key).and_then(Value::number).and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

/// An id as RouterOS writes it.
pub(crate) fn id_text(id: u64) -> String {
    format!("*{id:X}")
}

#[derive(Debug)]
pub(crate) struct Table {
    rows: BTreeMap<u64, Row>,
    next: u64,
    indexed: &'static [&'static str],
    index: HashMap<(usize, Vec<u8>), BTreeSet<u64>>,
}

impl Table {
    pub(crate) fn new(indexed: &'static [&'static str]) -> Self {
        Self { rows: BTreeMap::new(), next: 1, indexed, index: HashMap::new() }
    }

    fn keys(&self, row: &Row) -> Vec<(usize, Vec<u8>)> {
        let key = |(at, name): (usize, &&str)| row.get(*name).map(|value| (at, value.bytes()));
        self.indexed.iter().enumerate().filter_map(key).collect()
    }

    fn note(&mut self, id: u64, row: &Row) {
        for key in self.keys(row) {
            self.index.entry(key).or_default().insert(id);
        }
    }

    fn forget(&mut self, id: u64, row: &Row) {
        for key in self.keys(row) {
            if let Some(ids) = self.index.get_mut(&key) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
    }

    pub(crate) fn insert(&mut self, row: Row) -> u64 {
        let id = self.next;
        self.next += 1;
        self.note(id, &row);
        self.rows.insert(id, row);
        id
    }

    pub(crate) fn update(&mut self, id: u64, change: impl FnOnce(&mut Row)) -> bool {
        let Some(mut row) = self.rows.remove(&id) else { return false };
        self.forget(id, &row);
        change(&mut row);
        self.note(id, &row);
        self.rows.insert(id, row);
        true
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Row> {
        let row = self.rows.remove(&id)?;
        self.forget(id, &row);
        Some(row)
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Row> {
        self.rows.get(&id)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (u64, &Row)> {
        self.rows.iter().map(|(id, row)| (*id, row))
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.rows.keys().copied().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Which row of all it is, from 0.
    pub(crate) fn position(&self, id: u64) -> usize {
        self.rows.range(..id).count()
    }

    /// Ids of the rows whose indexed property is this text.
    pub(crate) fn with(&self, name: &str, value: &[u8]) -> Vec<u64> {
        let Some(at) = self.indexed.iter().position(|indexed| *indexed == name) else {
            return Vec::new();
        };
        self.index.get(&(at, value.to_vec())).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    /// `*1F`, or the text of the property `name`.
    pub(crate) fn resolve(&self, target: &str, name: &str) -> Option<u64> {
        match target.strip_prefix('*') {
            Some(hex) => u64::from_str_radix(hex, 16).ok().filter(|id| self.rows.contains_key(id)),
            None => self.with(name, target.as_bytes()).first().copied(),
        }
    }

    /// Every row gets an id that no row had before, in the order they had (I: what a reboot does to ids).
    pub(crate) fn renumber(&mut self) {
        self.index.clear();
        for (_, row) in std::mem::take(&mut self.rows) {
            self.insert(row);
        }
    }
}
