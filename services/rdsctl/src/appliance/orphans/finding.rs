//! What is left over: a comparison of what the appliance has, what the backend says of it, and what the cluster names.
//! Pure.

use std::collections::BTreeSet;
use std::fmt;

use proto::id::{Slot, VolumeRef};
use proto::rds::volume::v1::{GetInventoryResponse, Mismatch, Volume, mismatch};

use crate::persistent::Persistent;
use crate::{message, volumes};

/// What kind of thing was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A volume that no PersistentVolume names.
    VolumeWithoutPersistent,
    /// A PersistentVolume whose volume the appliance does not have.
    PersistentWithoutVolume,
    /// A PersistentVolume of which it could not be found out.
    PersistentNotKnown,
    /// A PersistentVolume that is Released or Failed.
    PersistentWaits,
    /// What the backend said does not fit.
    Mismatch(i32),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VolumeWithoutPersistent => f.write_str("volume-without-pv"),
            Self::PersistentWithoutVolume => f.write_str("pv-without-volume"),
            Self::PersistentNotKnown => f.write_str("pv-not-known"),
            Self::PersistentWaits => f.write_str("pv-waits"),
            Self::Mismatch(kind) => f.write_str(&message::mismatch(*kind)),
        }
    }
}

impl serde::Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One thing that is left over.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    /// The volume's handle, the PersistentVolume's name, the row's slot or the path of a file.
    pub(super) what: String,
    /// Handle of the volume; empty when it has none.
    pub(super) handle: String,
    /// In bytes; 0 = not known.
    pub(super) size_bytes: u64,
    /// `namespace/name`, or `-`.
    pub(super) claim: String,
    /// What it means.
    pub(super) note: String,
    /// What would deal with it; empty when the note says all there is to say.
    pub(super) command: String,
}

impl Finding {
    /// The same PersistentVolume when the backend could not say whether its volume exists.
    pub(super) fn not_known(self, why: &str) -> Self {
        let note = format!("whether its volume exists could not be found out: {why}");
        Self { kind: Kind::PersistentNotKnown, note, command: String::new(), ..self }
    }
}

/// What was seen of one appliance.
pub(super) struct Sight<'a> {
    pub(super) appliance: &'a str,
    pub(super) volumes: &'a [Volume],
    pub(super) inventory: &'a GetInventoryResponse,
    /// The cluster's PersistentVolumes of our driver; `None` when it was not asked.
    pub(super) cluster: Option<&'a [Persistent]>,
}

impl Sight<'_> {
    /// Everything that is left over: volumes, PersistentVolumes, then what the backend found.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let cluster = self.cluster.unwrap_or_default();
        let mut found = Vec::new();
        if self.cluster.is_some() {
            let named: BTreeSet<&str> = cluster.iter().map(|persistent| persistent.handle.as_str()).collect();
            let is_named = |volume: &Volume| {
                named.contains(volume.handle.as_str()) || named.contains(slot_of(&volume.handle))
            };
            found.extend(self.volumes.iter().filter(|volume| !is_named(volume)).map(without_persistent));
        }
        let slots = self.slots();
        found.extend(cluster.iter().filter_map(|persistent| self.about(persistent, &slots)));
        found.extend(self.inventory.mismatches.iter().map(|mismatch| self.of_mismatch(mismatch)));
        found
    }

    /// Slots that are on the appliance, whatever state they are in.
    fn slots(&self) -> BTreeSet<&str> {
        let volumes = self.volumes.iter().map(|volume| slot_of(&volume.handle));
        let mismatches = self.inventory.mismatches.iter().map(|mismatch| slot_of_path(&mismatch.what));
        volumes.chain(mismatches).collect()
    }

    fn about(&self, persistent: &Persistent, slots: &BTreeSet<&str>) -> Option<Finding> {
        let here = match persistent.handle.parse::<VolumeRef>() {
            Ok(VolumeRef::Handle(handle)) => handle.appliance.as_str() == self.appliance,
            // These name no appliance, or one with a slot of the earlier driver.
            Ok(VolumeRef::Legacy(_) | VolumeRef::NeverIssued) | Err(_) => {
                persistent.handle.split_once('/').is_none_or(|(appliance, _)| appliance == self.appliance)
            }
        };
        if !here {
            return None;
        }
        if !slots.contains(slot_of(&persistent.handle)) {
            return Some(without_volume(persistent));
        }
        match persistent.phase.as_str() {
            "Released" => Some(released(persistent)),
            "Failed" => Some(failed(persistent)),
            _ => None,
        }
    }

    fn of_mismatch(&self, mismatch: &Mismatch) -> Finding {
        let appliance = self.appliance;
        let handle = handle_of_row(appliance, &mismatch.what);
        let command = match mismatch::Kind::try_from(mismatch.kind) {
            Ok(mismatch::Kind::DamagedMark) => with(handle.as_deref(), |handle| {
                format!("rdsctl appliance repair-comment {handle} --access-class CLASS --dry-run")
            }),
            Ok(mismatch::Kind::OtherCluster) => {
                let mark = cluster_mark(&mismatch.note).unwrap_or("MARK");
                format!("rdsctl appliance adopt-cluster {} --from {mark} --dry-run", quoted(appliance))
            }
            Ok(mismatch::Kind::NotAdopted) => {
                format!("rdsctl appliance adopt {} --from-cluster --dry-run", quoted(&mismatch.what))
            }
            Ok(mismatch::Kind::ExportDiffers) => {
                with(handle.as_deref(), |handle| format!("rdsctl volumes show {handle}"))
            }
            // What to do about a file stands in the note: it is done on the appliance.
            Ok(
                mismatch::Kind::Unspecified
                | mismatch::Kind::ImageWithoutDisk
                | mismatch::Kind::DiskWithoutImage
                | mismatch::Kind::SubvolumeWithoutDisk,
            )
            | Err(_) => String::new(),
        };
        Finding {
            kind: Kind::Mismatch(mismatch.kind),
            what: mismatch.what.clone(),
            handle: handle.unwrap_or_default(),
            size_bytes: mismatch.size_bytes,
            claim: "-".to_owned(),
            note: mismatch.note.clone(),
            command,
        }
    }
}

fn without_persistent(volume: &Volume) -> Finding {
    let handle = quoted(&volume.handle);
    let (note, command) = if volume.attachments.is_empty() {
        let note = "no PersistentVolume names it; one that is just being made looks the same, so look again before \
                    its data is removed";
        (note.to_owned(), format!("rdsctl csi delete {handle} --socket unix:///PATH"))
    } else {
        let holders = volumes::holders(volume);
        let note =
            format!("no PersistentVolume names it, and {holders} holds it: find out who uses it first");
        (note, format!("rdsctl volumes detach {handle} --force"))
    };
    Finding {
        kind: Kind::VolumeWithoutPersistent,
        what: volume.handle.clone(),
        handle: volume.handle.clone(),
        size_bytes: volume.size_bytes,
        claim: volumes::claim(volume),
        note,
        command,
    }
}

fn of_persistent(persistent: &Persistent, kind: Kind, note: String, command: String) -> Finding {
    let claim = persistent.claim.as_ref();
    Finding {
        kind,
        what: persistent.name.clone(),
        handle: persistent.handle.clone(),
        size_bytes: persistent.size_bytes,
        claim: claim.map_or("-".to_owned(), |(namespace, name)| format!("{namespace}/{name}")),
        note,
        command,
    }
}

fn without_volume(persistent: &Persistent) -> Finding {
    let note = format!("the appliance has no volume {}: its data is gone", persistent.handle);
    let command = format!("kubectl delete persistentvolume {}", quoted(&persistent.name));
    of_persistent(persistent, Kind::PersistentWithoutVolume, note, command)
}

fn released(persistent: &Persistent) -> Finding {
    let name = quoted(&persistent.name);
    let (note, command) = if persistent.reclaim == "Retain" {
        let note = format!(
            "its claim is gone and its policy keeps volume {}; the command has the driver remove it, data and all",
            persistent.handle
        );
        let patch = r#"'{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}'"#;
        (note, format!("kubectl patch persistentvolume {name} -p {patch}"))
    } else {
        let note = format!("its claim is gone and volume {} waits to be removed", persistent.handle);
        (note, format!("kubectl describe persistentvolume {name}"))
    };
    of_persistent(persistent, Kind::PersistentWaits, note, command)
}

fn failed(persistent: &Persistent) -> Finding {
    let note = format!("volume {} could not be removed; its events say why", persistent.handle);
    let command = format!("kubectl describe persistentvolume {}", quoted(&persistent.name));
    of_persistent(persistent, Kind::PersistentWaits, note, command)
}

/// Handle of the volume that a row with this slot is, or was before its mark was damaged. A snapshot has none, and neither
/// has a row whose slot is none of ours.
fn handle_of_row(appliance: &str, slot: &str) -> Option<String> {
    // A volume of the earlier driver keeps its handle, which names no appliance.
    let legacy = Slot::legacy(slot).map(|slot| slot.to_string());
    legacy.or_else(|| Slot::volume(slot).map(|slot| format!("{appliance}/{slot}")))
}

/// A command about a volume; none where there is no volume.
fn with(handle: Option<&str>, command: impl Fn(&str) -> String) -> String {
    handle.map(quoted).as_deref().map(command).unwrap_or_default()
}

/// `slot` of `appliance/slot`; a handle that names no appliance is a slot.
fn slot_of(handle: &str) -> &str {
    handle.split_once('/').map_or(handle, |(_, slot)| slot)
}

/// `slot` of `/folder/slot.img`; a slot is one already.
fn slot_of_path(what: &str) -> &str {
    let name = what.rsplit('/').next().unwrap_or(what);
    name.strip_suffix(".img").unwrap_or(name)
}

/// The first word of eight hex digits.
fn cluster_mark(note: &str) -> Option<&str> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    note.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.len() == 8 && word.bytes().all(hex))
}

/// A word as a shell takes it for one, whatever it holds: names come from others.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@=".contains(&b);
    let is_option = word.starts_with('-');
    if !word.is_empty() && !is_option && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
