//! What is remembered of each session, one file each, so that the next process finds its devices.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proto::nqn::Nqn;
use serde::{Deserialize, Serialize};

use crate::kernel::portal::Hello;

/// One session.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    /// Name of the subsystem.
    pub(super) nqn: Nqn,
    /// The portal.
    pub(super) address: SocketAddr,
    /// What it is told.
    pub(super) hello: Hello,
    /// What the loop device carries.
    pub(super) token: String,
    /// The file under it.
    pub(super) path: PathBuf,
    /// Number of the namespace.
    pub(super) nsid: u32,
}

#[derive(Serialize, Deserialize)]
struct Written {
    address: SocketAddr,
    hello: Hello,
    token: String,
    path: PathBuf,
    nsid: u32,
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Memories(PathBuf);

impl Memories {
    /// Opens the folder, which is made when it is missing.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self(folder.to_owned()))
    }

    /// An NQN holds no slash: it can be a file's name.
    fn path(&self, nqn: &Nqn) -> PathBuf {
        self.0.join(format!("{nqn}.json"))
    }

    /// Everything that can be read; what cannot is reported and left.
    pub(super) fn all(&self) -> io::Result<Vec<Memory>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Some(memory) => all.push(memory),
                None => {
                    tracing::error!(file = %path.display(), "cannot be understood; its loop device is left alone")
                }
            }
        }
        Ok(all)
    }

    /// Writes one so that it survives a crash.
    pub(super) fn keep(&self, memory: &Memory) -> io::Result<()> {
        let written = Written {
            address: memory.address,
            hello: memory.hello.clone(),
            token: memory.token.clone(),
            path: memory.path.clone(),
            nsid: memory.nsid,
        };
        let path = self.path(&memory.nqn);
        let temporary = path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(&written)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes one.
    pub(super) fn forget(&self, nqn: &Nqn) -> io::Result<()> {
        match fs::remove_file(self.path(nqn)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn read(path: &Path) -> Option<Memory> {
    let Written { address, hello, token, path, nsid } = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some(Memory { nqn: hello.nqn.parse().ok()?, address, hello, token, path, nsid })
}
