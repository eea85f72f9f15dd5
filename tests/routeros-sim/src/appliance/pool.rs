//! Pools, their filesystems and the physical disks below them: rows that come from the configuration.

use std::io;

use serde::Deserialize;

use super::store::Change;
use super::table::{Row, count, text};
use super::{Appliance, yes};
use crate::config::{Config, Member, Pool};
use crate::language::value::Value;

/// What is to change about a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PoolChange {
    /// Which pool.
    pub slot: String,
    /// `clean`, `active`, `degraded`, `resyncing`, ….
    #[serde(default)]
    pub state: Option<String>,
    /// Whether it is mounted.
    #[serde(default)]
    pub mounted: Option<bool>,
    /// No free byte left.
    #[serde(default)]
    pub full: Option<bool>,
    /// Size in bytes.
    #[serde(default)]
    pub size: Option<u64>,
}

impl Appliance {
    pub(super) fn add_pools(&mut self, config: &Config) -> io::Result<()> {
        for pool in &config.pools {
            std::fs::create_dir_all(self.host_path(&format!("/{}", pool.slot)))?;
            self.disks.insert(pool_row(pool));
            if pool.filesystem == "btrfs" {
                self.add_root(&pool.slot);
            }
        }
        for member in &config.members {
            self.disks.insert(member_row(member));
        }
        Ok(())
    }

    pub(super) fn pools(&self) -> impl Iterator<Item = &Row> {
        self.disks.with("type", b"raid").into_iter().filter_map(|id| self.disks.get(id))
    }

    /// Sets state, mount, fullness or size. False when there is no such pool.
    pub(crate) fn change_pool(&mut self, change: &PoolChange) -> bool {
        let id = self.disks.with("slot", change.slot.as_bytes()).first().copied();
        let pool = id.filter(|id| self.disks.get(*id).is_some_and(|row| text(row, "type") == "raid"));
        let Some(id) = pool else { return false };
        self.disks.update(id, |row| {
            if let Some(state) = &change.state {
                row.insert("state".to_owned(), Value::text(state.as_str()));
            }
            match change.mounted {
                Some(true) => drop(row.insert("mount-point".to_owned(), Value::text(change.slot.as_str()))),
                Some(false) => drop(row.remove("mount-point")),
                None => {}
            }
            if let Some(full) = change.full {
                row.insert("~full".to_owned(), Value::Bool(full));
            }
            if let Some(size) = change.size {
                row.insert("size".to_owned(), Value::Num(size as i64));
            }
        });
        true
    }

    pub(super) fn free_of(&self, pool: &Row) -> u64 {
        if self.pool_full || yes(pool, "~full") {
            return 0;
        }
        count(pool, "size").saturating_sub(self.ledger.used(&text(pool, "slot")))
    }

    /// The mounted pool a path lies on.
    pub(super) fn pool_of(&self, path: &str) -> Option<&Row> {
        let first = path.split('/').nth(1)?;
        self.pools().find(|row| text(row, "slot") == first && row.contains_key("mount-point"))
    }

    /// Room for `size` more bytes at `path`.
    pub(super) fn room(&self, path: &str, size: u64) -> Result<(), String> {
        let pool = self.pool_of(path).ok_or("failure: no such directory")?;
        if self.free_of(pool) < size { Err("failure: not enough space".to_owned()) } else { Ok(()) }
    }

    pub(super) fn labels(&self) -> Vec<Change> {
        let labelled = self.pools().filter(|row| row.contains_key("fs-label"));
        labelled.map(|row| Change::Label(text(row, "slot"), text(row, "fs-label"))).collect()
    }

    pub(super) fn relabel(&mut self, pool: &str, label: &str) {
        let before = self.label_of(pool);
        if let Some(id) = self.disks.with("slot", pool.as_bytes()).first() {
            self.disks.update(*id, |row| drop(row.insert("fs-label".to_owned(), Value::text(label))));
        }
        for id in self.subvolumes.ids() {
            self.subvolumes.update(id, |row| {
                if text(row, "fs") == before {
                    row.insert("fs".to_owned(), Value::text(label));
                }
            });
        }
    }

    /// The btrfs filesystems as rows of `/disk/btrfs/filesystem`.
    pub(crate) fn filesystems(&self) -> Vec<Row> {
        let btrfs = self.pools().filter(|row| text(row, "fs") == "btrfs");
        btrfs
            .enumerate()
            .map(|(at, row)| {
                Row::from(
                    [
                        (".id", Value::text(format!("*{:X}", at + 1))),
                        ("label", Value::text(text(row, "fs-label"))),
                        ("uuid", Value::text(text(row, "fs-uuid"))),
                        ("devs", Value::text(text(row, "slot"))),
                        ("present-devs", Value::text(text(row, "slot"))),
                        ("default-subvolume", Value::text("<FS_ROOT>")),
                        ("total-devs", Value::Num(1)),
                        ("balance-status", Value::text("")),
                        ("scrub-status", Value::text("")),
                    ]
                    .map(|(key, value)| (key.to_owned(), value)),
                )
            })
            .collect()
    }

    /// `/disk/btrfs/filesystem/set … label=…`: subvolumes name their filesystem by its label.
    pub(crate) fn set_label(&mut self, pool: &str, label: &str) {
        self.relabel(pool, label);
        let changed = self
            .subvolumes
            .rows()
            .filter(|(_, row)| !yes(row, "default"))
            .map(|(id, row)| Change::Subvolume(id, Some(row.clone())));
        let mut changes: Vec<Change> = changed.collect();
        changes.push(Change::Label(pool.to_owned(), label.to_owned()));
        self.keep(&changes);
    }

    pub(super) fn label_of(&self, pool: &str) -> String {
        self.pools()
            .find(|row| text(row, "slot") == pool)
            .map(|row| text(row, "fs-label"))
            .unwrap_or_default()
    }
}

fn pool_row(pool: &Pool) -> Row {
    let mut row = Row::from(
        [
            ("slot", Value::text(&*pool.slot)),
            ("type", Value::text("raid")),
            ("fs", Value::text(&*pool.filesystem)),
            ("size", Value::Num(pool.size as i64)),
            ("state", Value::text(&*pool.state)),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    if pool.mounted {
        row.insert("mount-point".to_owned(), Value::text(&*pool.slot));
    }
    if pool.filesystem == "btrfs" {
        // The label a format gives by itself (D).
        row.insert("fs-label".to_owned(), Value::text(format!("{}-fs", pool.slot)));
        row.insert("fs-uuid".to_owned(), Value::text(super::subvolume::uuid_of(&pool.slot)));
    }
    row
}

fn member_row(member: &Member) -> Row {
    Row::from(
        [
            ("slot", Value::text(&*member.slot)),
            ("type", Value::text("hardware")),
            ("interface", Value::text("NVMe")),
            ("model", Value::text("Simulated NVMe SSD")),
            ("serial", Value::text(format!("SIM-{}", member.slot.to_uppercase()))),
            ("state", Value::text("ok")),
            ("size", Value::Num(member.size as i64)),
            ("temperature", Value::Num(member.temperature)),
            ("raid-master", Value::text(&*member.pool)),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    )
}
