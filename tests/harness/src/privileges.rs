//! What this machine lets us do. A test that cannot run here says so, loudly, instead of passing in silence.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Prints a line even where the test runner captures output.
pub fn loudly(line: &str) {
    // The runner captures print!, not writes to the stream itself. Nothing can be done if the stream is closed.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Why nothing can be mounted here; `None` when everything is there.
pub fn what_mounting_lacks() -> Option<String> {
    // The owner of /proc/self is the effective user.
    let root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !root {
        return Some("not root: mounts and loop devices need it (run it again with sudo)".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("no /dev/loop-control: the kernel module `loop` is missing (modprobe loop)".to_owned());
    }
    let tools = [
        ("mkfs.xfs", "xfsprogs"),
        ("xfs_growfs", "xfsprogs"),
        ("mkfs.ext4", "e2fsprogs"),
        ("blkid", "util-linux"),
        ("umount", "mount"),
        ("losetup", "mount"),
    ];
    let missing = tools.into_iter().find(|(tool, _)| find_tool(tool).is_none());
    missing.map(|(tool, package)| {
        format!("{tool} is missing: apt-get install --no-install-recommends {package} (package {package} in Debian)")
    })
}

/// Where a tool is, looked for in PATH and where administrators' tools are.
pub fn find_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// True when `test` can run here. Otherwise says loudly that it is left out, why, and what is not proven thereby.
pub fn needs_root(test: &str, proves: &str) -> bool {
    match what_mounting_lacks() {
        None => true,
        Some(lack) => {
            loudly(&format!("LEFT OUT {test}: {lack}; not proven here: {proves}"));
            false
        }
    }
}
