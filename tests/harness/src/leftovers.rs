//! What lies below a folder in the kernel: mounts, and loop devices over its files. Finding it, and clearing it.
//!
//! Nothing outside the folder is ever looked at twice. Files are removed one by one and never across a mount:
//! below a mount may lie somebody's volume.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Longest time one umount or detach may take, in seconds.
const PATIENCE_SECONDS: &str = "20";

/// What the kernel holds below a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Mount points, in the order they were made.
    pub mounts: Vec<PathBuf>,
    /// Loop devices (`/dev/loopN`) with a backing file below the folder.
    pub loops: Vec<PathBuf>,
}

impl Leftovers {
    /// What the kernel holds below `folder` now.
    pub fn below(folder: &Path) -> Result<Self> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
        let mounts = mount_points(&mountinfo).filter(|point| point.starts_with(folder)).collect();
        Ok(Self { mounts, loops: loops_below(folder)? })
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.mounts.is_empty() && self.loops.is_empty()
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |paths: &[PathBuf]| {
            let texts: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
        };
        write!(f, "mounts: {}; loop devices: {}", list(&self.mounts), list(&self.loops))
    }
}

/// Mount points of a mountinfo text (proc(5)): the fifth field, with its octal escapes undone.
fn mount_points(mountinfo: &str) -> impl Iterator<Item = PathBuf> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(|field| PathBuf::from(unescape(field)))
}

fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                text.push(char::from(byte));
                text.push_str(&part[3..]);
            }
            None => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

fn loops_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut loops = Vec::new();
    for entry in fs::read_dir("/sys/block").context("cannot list the block devices")? {
        let name = entry.context("cannot list the block devices")?.file_name();
        let backing = Path::new("/sys/block").join(&name).join("loop/backing_file");
        // No such file: not a loop device, or not in use.
        let Ok(text) = fs::read_to_string(backing) else {
            continue;
        };
        let file = text.trim_end_matches('\n').trim_end_matches(" (deleted)");
        if Path::new(file).starts_with(folder) {
            loops.push(Path::new("/dev").join(name));
        }
    }
    loops.sort();
    Ok(loops)
}

/// Unmounts and detaches everything below `folder`, the last mount first.
pub fn clear(folder: &Path) -> Result<()> {
    let found = Leftovers::below(folder)?;
    for mount in found.mounts.iter().rev() {
        run("umount", mount)?;
    }
    for device in Leftovers::below(folder)?.loops {
        let mut command = Command::new("timeout");
        command.args([PATIENCE_SECONDS, "losetup", "--detach"]).arg(&device);
        output(command, &format!("losetup --detach {}", device.display()))?;
    }
    let left = Leftovers::below(folder)?;
    if left.is_empty() { Ok(()) } else { bail!("still held below {}: {left}", folder.display()) }
}

fn run(tool: &str, path: &Path) -> Result<()> {
    let mut command = Command::new("timeout");
    command.args([PATIENCE_SECONDS, tool]).arg(path);
    output(command, &format!("{tool} {}", path.display()))
}

fn output(mut command: Command, what: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {what}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{what}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())
}

/// Removes `folder` and its files. Refuses while anything is mounted below it, and stays on its filesystem.
pub fn remove_files(folder: &Path) -> Result<()> {
    let found = Leftovers::below(folder)?;
    if !found.is_empty() {
        bail!("{} is not removed: {found}", folder.display());
    }
    match fs::symlink_metadata(folder) {
        Ok(metadata) => remove_entry(folder, metadata.dev())
            .with_context(|| format!("cannot remove {}", folder.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", folder.display())),
    }
}

fn remove_entry(path: &Path, filesystem: u64) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.dev() != filesystem {
        return Err(io::Error::new(io::ErrorKind::CrossesDevices, path.display().to_string()));
    }
    if !metadata.is_dir() {
        return fs::remove_file(path);
    }
    for entry in fs::read_dir(path)? {
        remove_entry(&entry?.path(), filesystem)?;
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_blank_in_its_name_is_found() {
        let text = "36 35 98:0 /mnt1 /tmp/a\\040b/c rw,noatime master:1 - ext3 /dev/root rw\n";
        assert_eq!(mount_points(text).collect::<Vec<_>>(), [PathBuf::from("/tmp/a b/c")]);
    }

    #[test]
    fn a_folder_that_merely_begins_alike_is_not_below() {
        assert!(!Path::new("/tmp/rds-12/mount").starts_with("/tmp/rds-1"));
    }

    #[test]
    fn removing_does_not_follow_a_link_out_of_the_folder() {
        let outside = tempfile::tempdir().expect("a folder");
        fs::write(outside.path().join("precious"), "data").expect("a file");
        let inside = tempfile::tempdir().expect("a folder").keep();
        std::os::unix::fs::symlink(outside.path(), inside.join("link")).expect("a link");
        remove_files(&inside).expect("removed");
        assert!(!inside.exists() && outside.path().join("precious").exists());
    }

    #[test]
    fn removing_what_is_not_there_is_done_already() {
        let folder = tempfile::tempdir().expect("a folder");
        remove_files(&folder.path().join("absent")).expect("nothing to do");
    }
}
