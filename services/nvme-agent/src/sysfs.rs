//! What sysfs says about block devices and NVMe controllers. Reading it never hangs, also in an outage.
//!
//! The paths are given, so that tests can build a tree of their own.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proto::size::ByteSize;

use crate::kernel::{Device, State};
use crate::mounts::DevNo;

/// Folder of a block device.
pub(crate) fn block(name: &str) -> PathBuf {
    Path::new("/sys/block").join(name)
}

fn text(path: &Path) -> io::Result<String> {
    let tell = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    fs::read_to_string(path).map(|text| text.trim_end().to_owned()).map_err(tell)
}

fn parsed<T: std::str::FromStr>(path: &Path) -> io::Result<T> {
    let text = text(path)?;
    text.parse().map_err(|_| io::Error::other(format!("{}: {text:?} is not understood", path.display())))
}

/// Number of a block device.
pub(crate) fn number(block: &Path) -> io::Result<DevNo> {
    parsed(&block.join("dev"))
}

/// Size of a block device; sysfs counts in 512 bytes whatever the device does.
pub(crate) fn size(block: &Path) -> io::Result<ByteSize> {
    let sectors: u64 = parsed(&block.join("size"))?;
    Ok(ByteSize::from_bytes(sectors.saturating_mul(512)))
}

/// True when the kernel refuses writes.
pub(crate) fn write_protected(block: &Path) -> io::Result<bool> {
    Ok(text(&block.join("ro"))? != "0")
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Devices that stand on this one: device mapper, RAID.
pub(crate) fn holders(name: &str) -> io::Result<Vec<String>> {
    names(&block(name).join("holders"))
}

/// What a loop device stands on; `None` when it is free. The kernel marks a removed file.
pub(crate) fn backing_file(name: &str) -> Option<PathBuf> {
    let path = text(&block(name).join("loop/backing_file")).ok()?;
    Some(path.strip_suffix(" (deleted)").unwrap_or(&path).into())
}

/// Loop devices, in use or not.
pub(crate) fn loops() -> io::Result<Vec<String>> {
    let all = names(Path::new("/sys/block"))?;
    Ok(all.into_iter().filter(|name| name.starts_with("loop")).collect())
}

/// Loop devices that stand on this node or file.
pub(crate) fn loops_over(path: &Path) -> io::Result<Vec<String>> {
    Ok(loops()?.into_iter().filter(|name| backing_file(name).is_some_and(|file| file == path)).collect())
}

/// An NVMe controller over TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Controller {
    /// Its folder.
    pub(crate) path: PathBuf,
    /// Name of the subsystem.
    pub(crate) subsystem: String,
    /// Name of the host it was connected as.
    pub(crate) host: String,
    /// How it is.
    pub(crate) state: State,
    /// Where it goes to; `None` where it is not written as we know it.
    pub(crate) address: Option<SocketAddr>,
    /// The number the other side gave it.
    pub(crate) cntlid: String,
}

impl Controller {
    /// Its name, e.g. `nvme3`.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Where a controller goes to, from its attribute `address`: `traddr=10.0.0.1,trsvcid=4420,src_addr=10.0.0.9`.
pub(crate) fn address(attribute: &str) -> Option<SocketAddr> {
    let field = |name: &str| {
        attribute.trim_end().split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    Some(SocketAddr::new(field("traddr")?.parse().ok()?, field("trsvcid")?.parse().ok()?))
}

/// The text, or nothing where there is none (any more). Any other failure proves nothing about it and is an error: a
/// controller that merely could not be read must not count as gone.
fn present(read: io::Result<String>) -> io::Result<Option<String>> {
    /// What sysfs answers for a device that goes away.
    const ENODEV: i32 = 19;
    match read {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ENODEV) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Every controller over TCP below `<sys>/class/nvme`. One that vanishes while it is looked at is left out.
pub(crate) fn controllers(sys: &Path) -> io::Result<Vec<Controller>> {
    let class = sys.join("class/nvme");
    let mut all = Vec::new();
    for name in names(&class)? {
        let path = class.join(name);
        let field = |name: &str| present(text(&path.join(name)));
        if field("transport")?.is_none_or(|transport| transport != "tcp") {
            continue;
        }
        let (Some(subsystem), Some(state), Some(goes_to), Some(cntlid)) =
            (field("subsysnqn")?, field("state")?, field("address")?, field("cntlid")?)
        else {
            continue;
        };
        let state = if state == "live" { State::Live } else { State::NotLive(state) };
        let address = address(&goes_to);
        let host = field("hostnqn")?.unwrap_or_default();
        all.push(Controller { subsystem, host, state, address, cntlid, path });
    }
    Ok(all)
}

/// The device of a subsystem's namespace: below the subsystem with native multipath, below the controller without.
pub(crate) fn namespace(sys: &Path, controller: &Controller, nsid: u32) -> io::Result<Option<Device>> {
    for name in names(&sys.join("class/nvme-subsystem"))? {
        let folder = sys.join("class/nvme-subsystem").join(name);
        if text(&folder.join("subsysnqn")).is_ok_and(|nqn| nqn == controller.subsystem)
            && let Some(device) = namespace_below(&folder, nsid)?
        {
            return Ok(Some(device));
        }
    }
    namespace_below(&controller.path, nsid)
}

fn namespace_below(folder: &Path, nsid: u32) -> io::Result<Option<Device>> {
    for name in names(folder)? {
        // `nvme0n1` is a device, `nvme0c0n1` a path without a node, `nvme0` a controller.
        let is_head =
            name.strip_prefix("nvme").and_then(|rest| rest.split_once('n')).is_some_and(|(a, b)| {
                let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                digits(a) && digits(b)
            });
        let path = folder.join(&name);
        if !is_head || !parsed::<u32>(&path.join("nsid")).is_ok_and(|found| found == nsid) {
            continue;
        }
        let node = Path::new("/dev").join(&name);
        return Ok(Some(Device { node, number: number(&path)?, size: size(&path)?, nsid }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, format!("{text}\n")).expect("a file");
    }

    fn controller(sys: &Path, name: &str, transport: &str, nqn: &str, state: &str) {
        let folder = sys.join("class/nvme").join(name);
        for (file, text) in
            [("transport", transport), ("subsysnqn", nqn), ("hostnqn", "nqn.host"), ("state", state)]
        {
            write(folder.join(file), text);
        }
        write(folder.join("address"), "traddr=10.0.0.1,trsvcid=4420,src_addr=10.0.0.9");
        write(folder.join("cntlid"), "1");
    }

    fn namespace_at(folder: PathBuf, nsid: &str, dev: &str) {
        for (file, text) in [("nsid", nsid), ("dev", dev), ("size", "2048")] {
            write(folder.join(file), text);
        }
    }

    #[test]
    fn a_device_is_found_by_subsystem_and_namespace_and_never_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let sys = folder.path();
        controller(sys, "nvme0", "pcie", "nqn.boot", "live");
        controller(sys, "nvme1", "tcp", "nqn.a", "live");
        controller(sys, "nvme2", "tcp", "nqn.b", "connecting");
        let subsystem = sys.join("class/nvme-subsystem/nvme-subsys0");
        write(subsystem.join("subsysnqn"), "nqn.a");
        namespace_at(subsystem.join("nvme0c1n2"), "1", "0:0");
        namespace_at(subsystem.join("nvme0n2"), "1", "259:2");
        namespace_at(subsystem.join("nvme0n3"), "7", "259:3");
        let all = controllers(sys).expect("a list");
        let names: Vec<_> = all.iter().map(|c| (c.subsystem.as_str(), c.state.to_string())).collect();
        assert_eq!(names, [("nqn.a", "live".to_owned()), ("nqn.b", "connecting".to_owned())]);
        let device = namespace(sys, &all[0], 1).expect("readable").expect("there");
        assert_eq!((device.node.to_str(), device.size.bytes()), (Some("/dev/nvme0n2"), 1 << 20));
        assert_eq!(namespace(sys, &all[1], 1).expect("readable"), None, "nothing of another subsystem");
    }

    proptest! {
        #[test]
        fn an_address_is_read_back_whatever_else_the_kernel_writes_beside_it(
            ip in any::<std::net::IpAddr>(),
            port in 1u16..,
            rest in "(,[a-z_]{1,12}=[0-9a-f.:]{0,20}){0,3}",
        ) {
            // Only ours is named so.
            prop_assume!(!rest.contains("traddr=") && !rest.contains("trsvcid="));
            let text = format!("traddr={ip},trsvcid={port}{rest}\n");
            prop_assert_eq!(address(&text), Some(SocketAddr::new(ip, port)));
        }

        #[test]
        fn no_text_makes_an_address_that_is_not_written_in_it(text in "\\PC{0,80}") {
            if let Some(found) = address(&text) {
                prop_assert!(text.contains("traddr=") && text.contains(&found.port().to_string()));
            }
        }

        #[test]
        fn whatever_sysfs_holds_a_controller_is_left_out_or_an_error_and_never_another_one(
            fields in proptest::collection::vec(proptest::option::of("[ -~]{0,40}"), 5),
        ) {
            let folder = tempfile::tempdir().expect("a folder");
            let names = ["transport", "subsysnqn", "state", "address", "cntlid"];
            for (name, text) in names.iter().zip(&fields) {
                if let Some(text) = text {
                    write(folder.path().join("class/nvme/nvme0").join(name), text);
                }
            }
            for found in controllers(folder.path()).expect("readable") {
                prop_assert_eq!(fields[0].as_deref().map(str::trim_end), Some("tcp"));
                prop_assert_eq!(fields[1].as_deref().map(str::trim_end), Some(found.subsystem.as_str()));
                prop_assert_eq!(found.state == State::Live, fields[2].as_deref().map(str::trim_end) == Some("live"));
            }
        }
    }

    #[test]
    fn without_multipath_the_device_is_below_its_controller() {
        let folder = tempfile::tempdir().expect("a folder");
        let sys = folder.path();
        controller(sys, "nvme1", "tcp", "nqn.a", "live");
        namespace_at(sys.join("class/nvme/nvme1/nvme1n1"), "1", "259:0");
        let all = controllers(sys).expect("a list");
        assert!(namespace(sys, &all[0], 1).expect("readable").is_some());
        assert_eq!(namespace(sys, &all[0], 2).expect("readable"), None);
    }

    #[test]
    fn a_node_without_nvme_has_no_controllers() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(controllers(folder.path()).expect("a list"), []);
    }
}
