//! The folder one run lives in: certificates, pool, sockets, kubelet folders, logs. It goes when the run ends, with
//! everything that was mounted in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::leftovers;

/// A temporary folder that knows how to disappear without touching what is not its own.
pub struct World {
    root: PathBuf,
    gone: bool,
}

impl World {
    /// A new folder in the system's temporary folder. Short, because unix socket paths end at 107 bytes.
    pub fn new(prefix: &str) -> Result<Self> {
        let root = tempfile::Builder::new()
            .prefix(prefix)
            .rand_bytes(6)
            .tempdir()
            .context("cannot make a temporary folder")?
            .keep();
        // The kernel reports mounts by their real path.
        let root = root.canonicalize().with_context(|| format!("cannot resolve {}", root.display()))?;
        Ok(Self { root, gone: false })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder `name` below it, made if it is not there.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Unmounts, detaches and removes everything of this world.
    pub fn dissolve(&mut self) -> Result<()> {
        leftovers::clear(&self.root)?;
        leftovers::remove_files(&self.root)?;
        self.gone = true;
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.gone
            && let Err(error) = self.dissolve()
        {
            crate::loudly(&format!("left behind: {}: {error:#}", self.root.display()));
        }
    }
}
