//! What a node lacks for NVMe/TCP volumes to work, and to work safely.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::kernel::{Lack, users};
use crate::mounts::Mounts;

/// Everything that is missing.
pub(super) fn all(fabrics: &Path, sys: &Path, kubelet: &Path) -> Vec<Lack> {
    [module(fabrics), network(), processes(), propagation(kubelet), multipath(sys)]
        .into_iter()
        .flatten()
        .collect()
}

fn module(fabrics: &Path) -> Option<Lack> {
    let why = || format!("{} is missing: load the module nvme-tcp", fabrics.display());
    (!fabrics.exists()).then(|| Lack::grave("module", why()))
}

/// Every reconnect happens in the first process' network, whatever ours is.
fn network() -> Option<Lack> {
    let network = |process: &str| fs::metadata(format!("/proc/{process}/ns/net")).map(|ns| ns.ino()).ok();
    let why = "this process is not in the host's network: set hostNetwork, or sessions cannot reconnect";
    (network("1").is_some() && network("1") != network("self")).then(|| Lack::grave("host_network", why))
}

/// What processes have open is a proof before a session is ended: without their sight it is missing.
fn processes() -> Option<Lack> {
    let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    let alone = std::process::id() == 1 || first.trim_end() == "pause";
    let why = if alone {
        "this process does not see those of the host: set hostPID, or a device a virtual machine has open looks idle"
    } else if !users::may_look_into_processes() {
        "this process may not see what others have open: run it privileged, or a device a virtual machine has open looks idle"
    } else {
        return None;
    };
    Some(Lack::grave("host_pid", why))
}

/// Pods see what is mounted here only if the mount kubelet's folder lies on is shared with the host.
fn propagation(kubelet: &Path) -> Option<Lack> {
    let table = fs::read("/proc/self/mountinfo").ok()?;
    let mounts = Mounts::parse(&table).ok()?;
    let shared = mounts.around(kubelet).is_some_and(|mount| mount.shared);
    let why = || {
        format!(
            "what is mounted below {} stays here: set mountPropagation Bidirectional, or pods see empty folders",
            kubelet.display()
        )
    };
    (!shared).then(|| Lack::grave("mount_propagation", why()))
}

/// Not needed with one storage address.
fn multipath(sys: &Path) -> Option<Lack> {
    let text = fs::read_to_string(sys.join("module/nvme_core/parameters/multipath")).ok()?;
    let why = "the kernel makes a device of every path (nvme_core.multipath=N): of several storage addresses one is used";
    (text.trim() != "Y").then(|| Lack::slight("multipath", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_multipath_is_told_and_grave_only_is_what_every_volume_needs() {
        let folder = tempfile::tempdir().expect("a folder");
        let parameters = folder.path().join("module/nvme_core/parameters");
        fs::create_dir_all(&parameters).expect("a folder");
        assert_eq!(multipath(folder.path()), None, "unknown is not off");
        fs::write(parameters.join("multipath"), "Y\n").expect("a file");
        assert_eq!(multipath(folder.path()), None);
        fs::write(parameters.join("multipath"), "N\n").expect("a file");
        assert!(multipath(folder.path()).is_some_and(|lack| !lack.grave && lack.why.contains("multipath")));
        assert!(module(&folder.path().join("nvme-fabrics")).is_some_and(|lack| lack.grave));
    }

    #[test]
    fn a_kubelet_folder_whose_mounts_stay_here_is_told() {
        let of = |options: &str| {
            let text = format!(
                "22 1 8:1 / / rw {options} - ext4 /dev/a rw\n23 22 8:2 / /var/lib/kubelet rw {options} - ext4 /dev/b rw\n"
            );
            let mounts = Mounts::parse(text.as_bytes()).expect("a table");
            mounts.around(Path::new("/var/lib/kubelet/pods")).map(|mount| (mount.shared, mount.point.clone()))
        };
        assert_eq!(of("shared:7"), Some((true, "/var/lib/kubelet".into())));
        assert_eq!(of("master:7"), Some((false, "/var/lib/kubelet".into())));
    }
}
