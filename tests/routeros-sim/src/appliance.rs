//! The state of the simulated appliance: rows, real files behind them, and what is kept of them on disk.
//!
//! Truths kept here: a slot is unique and at most 32 characters (M); a file disk takes its whole size from the pool at
//! once (I); removing a row leaves the file (M); a file that exists is adopted by `add` as it is (I, to be measured on
//! a device); shrinking is refused (I); a row detaches without a flush (M). Rows survive a restart, ids do not (I).

mod disk;
mod extents;
mod file;
mod ledger;
mod pool;
mod store;
mod subvolume;
pub(crate) mod table;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::sync::watch;

use ledger::Ledger;
pub use pool::PoolChange;
use store::{Change, Store};
pub(crate) use table::{Row, Table, id_text, text, yes};

use crate::config::{Config, Growth};
use crate::language::value::Value;
use crate::nvmet::Nvmet;

/// A device has been up for a while when its SSH service answers (I).
const BOOT_SECONDS: u64 = 17;

/// The state.
#[derive(Debug)]
pub(crate) struct Appliance {
    pub(crate) version: String,
    pub(crate) identity: String,
    pub(crate) flagged: bool,
    pub(crate) growth: Growth,
    /// No pool has a free byte.
    pub(crate) pool_full: bool,
    pub(crate) max_comment: usize,
    root: PathBuf,
    pub(crate) disks: Table,
    pub(crate) subvolumes: Table,
    ledger: Ledger,
    store: Store,
    /// Ids of files, given when they are first listed.
    file_ids: HashMap<String, u64>,
    next_object: u64,
    booted: Instant,
    nvmet: Option<Nvmet>,
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

/// `pool/x.img` reads back as `/pool/x.img` (M). `None` for a path that leaves its folder.
pub(crate) fn absolute(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let sound =
        !parts.is_empty() && parts.iter().all(|part| !matches!(*part, "." | "..") && !part.contains('\0'));
    sound.then(|| format!("/{}", parts.join("/")))
}

impl Appliance {
    /// Opens the state below `config.state_dir`: pools become rows, their folders are made, the rows of an earlier run
    /// come back.
    pub(crate) fn open(config: &Config) -> io::Result<Self> {
        let root = std::path::absolute(config.state_dir.join("fs"))?;
        std::fs::create_dir_all(&root)?;
        let path = config.state_dir.join("state.jsonl");
        let earlier = Store::read(&path)?;
        let mut appliance = Self {
            version: config.version.clone(),
            identity: config.identity.clone(),
            flagged: false,
            growth: config.growth,
            pool_full: false,
            max_comment: config.max_comment,
            root,
            disks: Table::new(&["slot", "file-path", "nvme-tcp-server-nqn", "type"]),
            subvolumes: Table::new(&["name", "fullname", "uuid", "~path", "~source"]),
            ledger: Ledger::default(),
            store: Store::create(path, &earlier)?,
            file_ids: HashMap::new(),
            next_object: 256,
            booted: Instant::now(),
            nvmet: Nvmet::of(&config.exports),
            changes: watch::Sender::new(0),
        };
        appliance.add_pools(config)?;
        appliance.bring_back(earlier);
        appliance.compact()?;
        appliance.publish();
        Ok(appliance)
    }

    /// Plays back what an earlier run wrote down. Rows of the configuration are not written down and not replaced.
    fn bring_back(&mut self, earlier: Vec<Change>) {
        self.ledger.reconcile(&file::regular(&self.root));
        let (mut disks, mut subvolumes, mut groups) = (HashMap::new(), HashMap::new(), HashMap::new());
        for change in earlier {
            match change {
                Change::Disk(id, Some(row)) if text(&row, "type") == "file" => drop(disks.insert(id, row)),
                // Pools come from the configuration.
                Change::Disk(_, Some(_)) => {}
                Change::Disk(id, None) => drop(disks.remove(&id)),
                Change::Subvolume(id, Some(row)) => drop(subvolumes.insert(id, row)),
                Change::Subvolume(id, None) => drop(subvolumes.remove(&id)),
                Change::Group(path, group) => drop(groups.insert(path, group)),
                Change::Label(pool, label) => self.relabel(&pool, &label),
            }
        }
        for (path, group) in groups {
            if let (true, Some(group)) = (self.ledger.knows(&path), group) {
                let size = std::fs::metadata(self.host_path(&path)).map_or(0, |about| about.len());
                self.ledger.join(&path, size, group);
            }
        }
        let in_order = |rows: HashMap<u64, Row>| {
            let mut rows: Vec<_> = rows.into_iter().collect();
            rows.sort_by_key(|(id, _)| *id);
            rows.into_iter().map(|(_, row)| row)
        };
        for row in in_order(disks) {
            self.disks.insert(row);
        }
        for row in in_order(subvolumes) {
            self.next_object = self.next_object.max(table::count(&row, "subvolume-id") + 1);
            self.subvolumes.insert(row);
        }
    }

    /// Everything that is kept, as changes from nothing.
    fn kept(&self) -> Vec<Change> {
        let mut all = self.labels();
        let of_files = |row: &Row| text(row, "type") == "file";
        all.extend(
            self.disks
                .rows()
                .filter(|(_, row)| of_files(row))
                .map(|(id, row)| Change::Disk(id, Some(row.clone()))),
        );
        let made = self.subvolumes.rows().filter(|(_, row)| !yes(row, "default"));
        all.extend(made.map(|(id, row)| Change::Subvolume(id, Some(row.clone()))));
        let files = self.ledger.below("").into_iter();
        all.extend(files.filter_map(|path| {
            let group = self.ledger.group(&path)?;
            Some(Change::Group(path, Some(group)))
        }));
        all
    }

    fn compact(&mut self) -> io::Result<()> {
        self.store = Store::create(self.store.path(), &self.kept())?;
        Ok(())
    }

    /// Writes changes down and tells who watches.
    fn keep(&mut self, changes: &[Change]) {
        let live = self.disks.len() + self.subvolumes.len() + self.ledger.files();
        let written = self
            .store
            .write(changes)
            .and_then(|()| if self.store.is_long(live) { self.compact() } else { Ok(()) });
        if let Err(error) = written {
            eprintln!("the state cannot be written down: {error}");
        }
        self.changes.send_modify(|count| *count += 1);
    }

    fn keep_disk(&mut self, id: u64) {
        let row = self.disks.get(id).cloned();
        self.keep(&[Change::Disk(id, row)]);
        self.publish();
    }

    /// A file is gone; if it shared its data, a later one of its name does not.
    fn release(&mut self, path: &str) -> Option<Change> {
        let shared = self.ledger.group(path).is_some();
        self.ledger.remove(path);
        shared.then(|| Change::Group(path.to_owned(), None))
    }

    /// Brings the kernel's target in line with the rows, where exports go there.
    fn publish(&mut self) {
        let Some(mut nvmet) = self.nvmet.take() else { return };
        let exported = self.disks.with("type", b"file").into_iter().filter_map(|id| self.disks.get(id));
        let wanted = exported.filter(|row| disk::is_exported(row)).map(|row| crate::nvmet::Subsystem {
            nqn: text(row, "nvme-tcp-server-nqn"),
            file: self.host_path(&text(row, "file-path")),
            size: if self.growth == Growth::Live { table::count(row, "file-size") } else { 0 },
            port: u16::try_from(table::count(row, "nvme-tcp-server-port")).unwrap_or(4420),
            allowed_host: text(row, "nvme-tcp-server-allow-host-name"),
        });
        let wanted: Vec<_> = wanted.filter(|subsystem| !subsystem.nqn.is_empty()).collect();
        if let Err(error) = nvmet.bring_to(wanted) {
            eprintln!("the kernel's NVMe target does not take it: {error}");
        }
        self.nvmet = Some(nvmet);
    }

    /// Nothing is exported to the kernel any more.
    pub(crate) fn unpublish(&mut self) {
        if let Some(nvmet) = &mut self.nvmet
            && let Err(error) = nvmet.bring_to(Vec::new())
        {
            eprintln!("the kernel's NVMe target does not let go: {error}");
        }
    }

    pub(crate) fn host_path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Seconds since the start or the last reboot.
    pub(crate) fn uptime(&self) -> u64 {
        BOOT_SECONDS + self.booted.elapsed().as_secs()
    }

    /// What a reboot does: ids are new, the clock of uptime begins anew, exports stay as configured.
    pub(crate) fn boot(&mut self) {
        self.disks.renumber();
        self.subvolumes.renumber();
        self.file_ids.clear();
        self.booted = Instant::now();
        if let Err(error) = self.compact() {
            eprintln!("the state cannot be written down: {error}");
        }
        self.changes.send_modify(|count| *count += 1);
        self.publish();
    }

    /// What is exported under an NQN now.
    pub(crate) fn export(&self, nqn: &str) -> Option<Export> {
        let ids = self.disks.with("nvme-tcp-server-nqn", nqn.as_bytes());
        let rows = ids.into_iter().filter_map(|id| Some((id, self.disks.get(id)?)));
        let (id, row) = rows.into_iter().find(|(_, row)| disk::is_exported(row))?;
        let (size, file) = (table::count(row, "file-size"), self.host_path(&text(row, "file-path")));
        Some(Export { id, file, size, allowed_host: text(row, "nvme-tcp-server-allow-host-name") })
    }

    /// Files an expensive walk has to pass.
    pub(crate) fn file_count(&self) -> usize {
        self.ledger.files()
    }
}

/// Takes the size at once, as a sparse file: what matters to a host is the size.
fn preallocate(path: &Path, size: u64) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?.set_len(size)
}

/// A row as the language sees it: with its id, without what is the simulator's own.
fn shown(id: u64, row: &Row) -> Row {
    let mut shown = row.clone();
    shown.retain(|key, _| !key.starts_with('~'));
    shown.insert(".id".to_owned(), Value::text(id_text(id)));
    shown
}
