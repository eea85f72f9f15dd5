//! What does not fit together on an appliance: rows, images, subvolumes and marks. Finds and tells, removes nothing. Pure
//! but for the reads in [`crate::service`].

use std::collections::BTreeSet;

use proto::id::{ClusterId, Slot};
use proto::rds::volume::v1::Mismatch;
use proto::rds::volume::v1::mismatch::Kind;
use serde_json::Value;

use crate::mark::{Mark, MarkError};
use crate::routeros::disk::{DiskRow, Fields, RowError, absolute};
use crate::routeros::script::Place;

/// Files of the folders and subvolumes of the appliance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// Path and size in bytes.
    files: Vec<(String, u64)>,
    subvolumes: Vec<String>,
}

impl Files {
    /// Reads the answer of [`crate::routeros::script::status::files`].
    pub(crate) fn read(answer: &Value) -> Result<Self, RowError> {
        let answer = Fields::of(answer, "answer")?;
        let mut found = Self::default();
        let folders = answer.get("files").and_then(Value::as_object);
        for row in folders.into_iter().flatten().flat_map(|(_, rows)| rows.as_array().into_iter().flatten()) {
            let row = Fields::of(row, "files")?;
            if row.text("type")? != "directory" {
                found.files.push((absolute(&row.wanted("name")?), row.number("size").unwrap_or(0)));
            }
        }
        for row in answer.rows("subvolumes")? {
            found.subvolumes.push(row.wanted("name")?);
        }
        Ok(found)
    }
}

/// What was counted and what does not fit.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Inventory {
    pub(crate) volumes: u64,
    pub(crate) snapshots: u64,
    pub(crate) mismatches: Vec<Mismatch>,
}

/// Compares. Without `files` only the rows are looked at.
pub(crate) fn compare(
    disks: &[DiskRow],
    files: Option<&Files>,
    cluster: &ClusterId,
    places: &[Place],
) -> Inventory {
    let mut inventory = Inventory::default();
    for disk in disks {
        let slot = disk.slot.parse::<Slot>().ok();
        match (disk.comment.parse::<Mark>(), slot) {
            (Ok(mark), Some(slot)) if mark.cluster == cluster.mark() => {
                if slot.is_snapshot() {
                    inventory.snapshots += 1;
                } else {
                    inventory.volumes += 1;
                }
                inventory.own(disk, &mark, &slot, files, places);
            }
            (Ok(mark), _) => inventory.note(
                Kind::OtherCluster,
                &disk.slot,
                disk.size.bytes(),
                format!(
                    "it belongs to cluster {}; if that is this one as it was, use adopt-cluster",
                    mark.cluster
                ),
            ),
            (Err(error), Some(slot)) => inventory.unmarked(disk, &slot, &error),
            (Err(MarkError::Damaged(what)), None) => inventory.note(
                Kind::DamagedMark,
                &disk.slot,
                disk.size.bytes(),
                format!("its comment is a mark of which {what} cannot be read, and its slot is none of ours"),
            ),
            // Somebody else's disk.
            (Err(MarkError::Foreign), None) => {}
        }
    }
    if let Some(files) = files {
        inventory.leftovers(disks, files, places);
    }
    inventory
}

impl Inventory {
    fn note(&mut self, kind: Kind, what: &str, size_bytes: u64, note: String) {
        self.mismatches.push(Mismatch { kind: kind.into(), what: what.to_owned(), note, size_bytes });
    }

    fn own(&mut self, disk: &DiskRow, mark: &Mark, slot: &Slot, files: Option<&Files>, places: &[Place]) {
        let size = disk.size.bytes();
        let held = mark.holders().count() > 0;
        if held != disk.exported {
            let note = if held {
                "a node is recorded and it is not exported: detach and attach it again"
            } else {
                "it is exported and no node is recorded: rdsctl volumes detach --force turns that off"
            };
            self.note(Kind::ExportDiffers, &disk.slot, size, note.to_owned());
        }
        if !places.iter().any(|place| place.images(slot).contains(&disk.path)) {
            let note = format!("its image {} is in no configured folder, so it is not touched", disk.path);
            self.note(Kind::DamagedMark, &disk.slot, size, note);
        } else if files.is_some_and(|files| !files.files.iter().any(|(path, _)| *path == disk.path)) {
            let note =
                format!("its image {} was not found; look with /file/print on the appliance", disk.path);
            self.note(Kind::DiskWithoutImage, &disk.slot, size, note);
        }
    }

    fn unmarked(&mut self, disk: &DiskRow, slot: &Slot, error: &MarkError) {
        let size = disk.size.bytes();
        match (error, slot.is_legacy()) {
            (MarkError::Foreign, true) => {
                let note = format!("made by an earlier driver: rdsctl appliance adopt {slot}");
                self.note(Kind::NotAdopted, &disk.slot, size, note);
            }
            (error, _) => {
                let note = format!("{error}: rdsctl appliance repair-comment writes its mark anew");
                self.note(Kind::DamagedMark, &disk.slot, size, note);
            }
        }
    }

    /// Images and subvolumes with a name of ours that no row uses.
    fn leftovers(&mut self, disks: &[DiskRow], files: &Files, places: &[Place]) {
        let used: BTreeSet<&str> = disks.iter().map(|disk| disk.path.as_str()).collect();
        for (path, size) in &files.files {
            let in_folder =
                places.iter().find_map(|place| path.strip_prefix(&format!("{}/", place.directory)));
            let name = in_folder.and_then(|name| name.strip_suffix(".img"));
            if name.is_some_and(|name| name.parse::<Slot>().is_ok()) && !used.contains(path.as_str()) {
                let note =
                    "no disk uses it; if its volume is gone, remove it with /file/remove on the appliance";
                self.note(Kind::ImageWithoutDisk, path, *size, note.to_owned());
            }
        }
        let slots: BTreeSet<&str> = disks.iter().map(|disk| disk.slot.as_str()).collect();
        for name in &files.subvolumes {
            if name.parse::<Slot>().is_ok() && !slots.contains(name.as_str()) {
                let note =
                    "no disk uses it; if its volume is gone, remove it with /disk/btrfs/subvolume/remove";
                self.note(Kind::SubvolumeWithoutDisk, name, 0, note.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
