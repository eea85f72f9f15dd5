//! What the demo has started, written down before it can be lost: after `kill -9` the next run clears it away.
//!
//! One file in `/run`, locked while a demo runs, one line per thing, appended as things come to be. A torn last line
//! belongs to something that was not started yet. The file goes when everything it names is gone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::process;

/// Where the record is. Only root can write there, so its contents can be trusted.
const FILE: &str = "/run/rds-demo.record";

/// The record of this run, locked.
pub(crate) struct Record {
    file: File,
    path: PathBuf,
}

/// What one line says.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    World(PathBuf),
    Process { pid: u32, started: u64, name: String },
}

impl Record {
    /// Opens and locks it. Refuses while another demo runs.
    pub(crate) fn open() -> Result<Self> {
        Self::open_at(Path::new(FILE))
    }

    fn open_at(path: &Path) -> Result<Self> {
        // The holder removes the file at its end: what was locked must be what is there.
        for _ in 0..10 {
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    bail!("another demo is running: it holds {}; stop it first", path.display())
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
            let held = file.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
            if std::fs::metadata(path).is_ok_and(|there| there.ino() == held.ino()) {
                return Ok(Self { file, path: path.to_owned() });
            }
        }
        bail!("{} keeps changing under us", path.display())
    }

    /// Clears what an earlier run left: its processes first, then its folder. Says what it found.
    pub(crate) fn clear_previous(&mut self) -> Result<Vec<String>> {
        let mut text = String::new();
        self.file
            .read_to_string(&mut text)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        let entries: Vec<Entry> = text.split_inclusive('\n').filter_map(parse).collect();
        let mut found = Vec::new();
        for entry in &entries {
            if let Entry::Process { pid, started, name } = entry
                && process::started(*pid) == Some(*started)
            {
                process::signal("KILL", *pid)?;
                found.push(format!("{name} (pid {pid})"));
            }
        }
        process::wait_until_gone(entries.iter().filter_map(|entry| match entry {
            Entry::Process { pid, started, .. } => Some((*pid, *started)),
            Entry::World(_) => None,
        }))?;
        for entry in &entries {
            if let Entry::World(root) = entry
                && root.exists()
            {
                crate::leftovers::clear(root)?;
                crate::leftovers::remove_files(root)?;
                found.push(root.display().to_string());
            }
        }
        self.file.set_len(0).with_context(|| format!("cannot empty {}", self.path.display()))?;
        Ok(found)
    }

    /// Notes the folder of this run.
    pub(crate) fn world(&mut self, root: &Path) -> Result<()> {
        self.append(&format!("world {}\n", root.display()))
    }

    /// Notes a process of this run.
    pub(crate) fn process(&mut self, pid: u32, started: u64, name: &str) -> Result<()> {
        self.append(&format!("process {pid} {started} {name}\n"))
    }

    fn append(&mut self, line: &str) -> Result<()> {
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Everything is gone: so is the record.
    pub(crate) fn close(self) -> Result<()> {
        std::fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

fn parse(line: &str) -> Option<Entry> {
    let mut words = line.strip_suffix('\n')?.splitn(2, ' ');
    match (words.next()?, words.next()?) {
        ("world", root) => Some(Entry::World(root.into())),
        ("process", rest) => {
            let mut words = rest.splitn(3, ' ');
            let pid = words.next()?.parse().ok()?;
            let started = words.next()?.parse().ok()?;
            Some(Entry::Process { pid, started, name: words.next()?.to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_a_torn_line_is_nothing() {
        assert_eq!(parse("world /tmp/a b\n"), Some(Entry::World("/tmp/a b".into())));
        let process = Entry::Process { pid: 7, started: 99, name: "rds-backend".to_owned() };
        assert_eq!(parse("process 7 99 rds-backend\n"), Some(process));
        assert_eq!(parse("process 7 99 rds-ba"), None);
        assert_eq!(parse("world /tmp"), None);
    }

    #[test]
    fn two_demos_never_run_at_once_and_the_file_goes_with_the_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        let first = Record::open_at(&path).expect("free");
        let refused = Record::open_at(&path).err().expect("held").to_string();
        assert!(refused.contains("another demo is running"), "{refused}");
        first.close().expect("closed");
        assert!(!path.exists());
        Record::open_at(&path).expect("free again");
    }

    #[test]
    fn the_next_run_clears_the_folder_of_one_that_was_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        let world = tempfile::tempdir().expect("a folder").keep();
        std::fs::write(world.join("file"), "left").expect("a file");
        let mut record = Record::open_at(&path).expect("free");
        record.world(&world).expect("noted");
        drop(record);
        let found = Record::open_at(&path).expect("free").clear_previous().expect("cleared");
        assert_eq!(found, [world.display().to_string()]);
        assert!(!world.exists());
    }
}
