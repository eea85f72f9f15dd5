//! What this node is doing with each volume, on the host's disk, written **before** it is done.
//!
//! One JSON file per volume, replaced by rename after fsync. An entry that cannot be understood is set aside (`*.torn`)
//! and reported, never guessed; while one lies there, the volume is not proven to have never been staged, so it is not
//! formatted. Calls here block on the host's disk: they are made from [`crate::lanes`] only.

mod entry;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proto::id::VolumeHandle;

use self::entry::VERSION;
pub(crate) use self::entry::{Entry, Filled, Format, Recorded, Target};

/// What the journal holds about a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recall {
    /// Nothing, and nothing was ever set aside.
    Nothing,
    /// An entry.
    Entry(Box<Entry>),
    /// Nothing usable: an entry was set aside, so the past is not known.
    Torn,
}

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the journal {path} cannot be {verb}: free space on the node, or check its disk")]
pub(crate) struct JournalError {
    verb: &'static str,
    path: String,
    source: io::Error,
}

/// The folder of entries.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// Opens the folder, which is made when it is missing.
    pub(crate) fn open(folder: &Path) -> Result<Self, JournalError> {
        fs::create_dir_all(folder).map_err(|source| failed("opened", folder, source))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Handle `a/b` is kept as `a~b.json`: `~` is in no handle.
    fn path(&self, handle: &VolumeHandle) -> PathBuf {
        self.folder.join(format!("{}~{}.json", handle.appliance, handle.slot))
    }

    /// What is known of a volume. A torn entry is set aside.
    pub(crate) fn recall(&self, handle: &VolumeHandle) -> Result<Recall, JournalError> {
        let path = self.path(handle);
        match fs::read(&path) {
            Ok(text) => match serde_json::from_slice::<Entry>(&text) {
                Ok(entry) if entry.version == VERSION && entry.handle == handle.to_string() => {
                    Ok(Recall::Entry(Box::new(entry)))
                }
                Ok(_) | Err(_) => self.set_aside(&path).map(|()| Recall::Torn),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.has_torn(&path)? {
                true => Ok(Recall::Torn),
                false => Ok(Recall::Nothing),
            },
            Err(source) => Err(failed("read", &path, source)),
        }
    }

    /// True when an entry of this volume was ever set aside, even if there is a new one.
    pub(crate) fn is_torn(&self, handle: &VolumeHandle) -> Result<bool, JournalError> {
        self.has_torn(&self.path(handle))
    }

    /// Every entry that can be understood, and how many were set aside. What cannot be is left to [`Self::recall`], which
    /// is called with the volume's reservation.
    pub(crate) fn all(&self) -> Result<(Vec<Entry>, usize), JournalError> {
        let torn = self.files(|name| name.ends_with(".torn"))?.len();
        let mut entries = Vec::new();
        for path in self.files(|name| name.ends_with(".json"))? {
            match fs::read(&path) {
                Ok(text) => entries.extend(
                    serde_json::from_slice::<Entry>(&text).ok().filter(|entry| entry.version == VERSION),
                ),
                // Forgotten meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed("read", &path, source)),
            }
        }
        Ok((entries, torn))
    }

    /// Addresses of the volumes of other appliances that have the same slot.
    pub(crate) fn addresses_of_namesakes(
        &self,
        handle: &VolumeHandle,
    ) -> Result<BTreeSet<SocketAddr>, JournalError> {
        let ending = format!("~{}.json", handle.slot);
        let own = self.path(handle);
        let mut all = BTreeSet::new();
        for path in self.files(|name| name.ends_with(&ending))? {
            let text = fs::read(&path).map_err(|source| failed("read", &path, source))?;
            if path != own
                && let Ok(entry) = serde_json::from_slice::<Entry>(&text)
            {
                all.extend(entry.addresses);
            }
        }
        Ok(all)
    }

    /// Writes an entry so that it survives a crash, or changes nothing.
    pub(crate) fn record(&self, handle: &VolumeHandle, entry: &Entry) -> Result<(), JournalError> {
        let path = self.path(handle);
        let written = path.with_extension("json.tmp");
        let write = || {
            let mut file = File::create(&written)?;
            file.write_all(&serde_json::to_vec_pretty(entry)?)?;
            file.sync_all()?;
            fs::rename(&written, &path)?;
            self.sync_folder()
        };
        write().map_err(|source| failed("written", &path, source))
    }

    /// Forgets a volume.
    pub(crate) fn forget(&self, handle: &VolumeHandle) -> Result<(), JournalError> {
        let path = self.path(handle);
        match fs::remove_file(&path) {
            Ok(()) => self.sync_folder().map_err(|source| failed("written", &path, source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(failed("removed", &path, source)),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn set_aside(&self, path: &Path) -> Result<(), JournalError> {
        let aside = |number: usize| path.with_extension(format!("json.{number}.torn"));
        // Somebody may have looked at some and removed them.
        let aside = (0..).map(aside).find(|aside| !aside.exists()).unwrap_or_else(|| aside(0));
        fs::rename(path, &aside).map_err(|source| failed("set aside", path, source))?;
        tracing::error!(entry = %aside.display(), "journal entry cannot be understood and was set aside; look at it, then remove it");
        self.sync_folder().map_err(|source| failed("set aside", path, source))
    }

    fn has_torn(&self, path: &Path) -> Result<bool, JournalError> {
        Ok(!self.torn(path)?.is_empty())
    }

    fn torn(&self, path: &Path) -> Result<Vec<PathBuf>, JournalError> {
        let stem = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.files(|name| name.starts_with(&stem) && name.ends_with(".torn"))
    }

    fn files(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, JournalError> {
        let list = || {
            let mut all = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if wanted(&name) {
                    all.push(self.folder.join(name));
                }
            }
            Ok(all)
        };
        list().map_err(|source| failed("read", &self.folder, source))
    }
}

fn failed(verb: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError { verb, path: path.display().to_string(), source }
}

#[cfg(test)]
pub(crate) mod tests;
