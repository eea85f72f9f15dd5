//! Exports through the kernel's NVMe target: its configfs is brought in line with the rows.
//!
//! Each exported row becomes a subsystem named by its NQN, with namespace 1 over the backing file, linked into the port
//! of its number. Taking it down goes the other way round; the kernel refuses any other order. What an earlier process
//! left there is taken over when it is wanted, and otherwise left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::Exports;

/// What is to be exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subsystem {
    pub(crate) nqn: String,
    pub(crate) file: PathBuf,
    /// Size connected hosts are to learn of at once; 0: the kernel tells them when they look again.
    pub(crate) size: u64,
    pub(crate) port: u16,
    /// Empty: any host.
    pub(crate) allowed_host: String,
}

impl Subsystem {
    /// All but the size is the same.
    fn is_like(&self, other: &Self) -> bool {
        *self == Self { size: self.size, ..other.clone() }
    }
}

/// One thing to do in configfs; paths are below its root.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Make(String),
    Write(String, String),
    /// A link at the second path to the first.
    Link(String, String),
    Unlink(String),
    Remove(String),
}

#[derive(Debug)]
pub(crate) struct Nvmet {
    root: PathBuf,
    address: IpAddr,
    current: BTreeMap<String, Subsystem>,
}

impl Nvmet {
    pub(crate) fn of(exports: &Exports) -> Option<Self> {
        match exports {
            Exports::Portal => None,
            Exports::Nvmet { root, address } => {
                Some(Self { root: root.clone(), address: *address, current: BTreeMap::new() })
            }
        }
    }

    /// Takes down what is not wanted (any more, or like this), then sets up what is missing.
    pub(crate) fn bring_to(&mut self, wanted: Vec<Subsystem>) -> io::Result<()> {
        let wanted = wanted.into_iter().map(|subsystem| (subsystem.nqn.clone(), subsystem)).collect();
        let steps = plan(&self.current, &wanted, self.address);
        // What has been done is known only when all of it succeeded; a second try repeats harmless steps.
        steps.iter().try_for_each(|step| self.apply(step))?;
        self.current = wanted;
        Ok(())
    }

    fn apply(&self, step: &Step) -> io::Result<()> {
        let at = |path: &str| self.root.join(path);
        let unless = |kind: io::ErrorKind, result: io::Result<()>| match result {
            Err(error) if error.kind() == kind => Ok(()),
            other => other,
        };
        let result = match step {
            Step::Make(path) => unless(io::ErrorKind::AlreadyExists, std::fs::create_dir(at(path))),
            Step::Write(path, text) => std::fs::write(at(path), text),
            Step::Link(target, link) => {
                unless(io::ErrorKind::AlreadyExists, std::os::unix::fs::symlink(at(target), at(link)))
            }
            Step::Unlink(path) => unless(io::ErrorKind::NotFound, std::fs::remove_file(at(path))),
            Step::Remove(path) => unless(io::ErrorKind::NotFound, std::fs::remove_dir(at(path))),
        };
        result.map_err(|error| io::Error::new(error.kind(), format!("{step:?}: {error}")))
    }
}

fn ports(subsystems: &BTreeMap<String, Subsystem>) -> BTreeSet<u16> {
    subsystems.values().map(|subsystem| subsystem.port).collect()
}

fn plan(
    current: &BTreeMap<String, Subsystem>,
    wanted: &BTreeMap<String, Subsystem>,
    address: IpAddr,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for (nqn, subsystem) in current {
        match wanted.get(nqn) {
            Some(after) if after.is_like(subsystem) => {
                if after.size != subsystem.size {
                    let attribute = format!("subsystems/{nqn}/namespaces/1/revalidate_size");
                    steps.push(Step::Write(attribute, "1".to_owned()));
                }
            }
            _ => take_down(subsystem, &mut steps),
        }
    }
    let (before, after) = (ports(current), ports(wanted));
    steps.extend(before.difference(&after).map(|port| Step::Remove(format!("ports/{port}"))));
    for port in after.difference(&before) {
        open_port(*port, address, &mut steps);
    }
    for (nqn, subsystem) in wanted {
        if !current.get(nqn).is_some_and(|before| subsystem.is_like(before)) {
            set_up(subsystem, &mut steps);
        }
    }
    steps
}

fn open_port(port: u16, address: IpAddr, steps: &mut Vec<Step>) {
    let folder = format!("ports/{port}");
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    steps.push(Step::Make(folder.clone()));
    let attributes = [
        ("addr_trtype", "tcp".to_owned()),
        ("addr_adrfam", family.to_owned()),
        ("addr_traddr", address.to_string()),
        ("addr_trsvcid", port.to_string()),
    ];
    steps.extend(attributes.map(|(name, text)| Step::Write(format!("{folder}/{name}"), text)));
}

fn set_up(subsystem: &Subsystem, steps: &mut Vec<Step>) {
    let folder = format!("subsystems/{}", subsystem.nqn);
    let namespace = format!("{folder}/namespaces/1");
    let any = subsystem.allowed_host.is_empty();
    steps.push(Step::Make(folder.clone()));
    steps.push(Step::Write(format!("{folder}/attr_allow_any_host"), if any { "1" } else { "0" }.to_owned()));
    if !any {
        let host = format!("hosts/{}", subsystem.allowed_host);
        steps.push(Step::Make(host.clone()));
        steps.push(Step::Link(host, format!("{folder}/allowed_hosts/{}", subsystem.allowed_host)));
    }
    steps.push(Step::Make(namespace.clone()));
    let attributes = [
        ("enable", "0".to_owned()),
        ("device_path", subsystem.file.display().to_string()),
        // Without it the kernel opens the file for direct access, which not every filesystem has.
        ("buffered_io", "1".to_owned()),
        ("enable", "1".to_owned()),
    ];
    steps.extend(attributes.map(|(name, text)| Step::Write(format!("{namespace}/{name}"), text)));
    steps.push(Step::Link(folder, format!("ports/{}/subsystems/{}", subsystem.port, subsystem.nqn)));
}

fn take_down(subsystem: &Subsystem, steps: &mut Vec<Step>) {
    let folder = format!("subsystems/{}", subsystem.nqn);
    // Without its port no new controller is made; the namespace's end ends those there are.
    steps.push(Step::Unlink(format!("ports/{}/subsystems/{}", subsystem.port, subsystem.nqn)));
    steps.push(Step::Write(format!("{folder}/namespaces/1/enable"), "0".to_owned()));
    steps.push(Step::Remove(format!("{folder}/namespaces/1")));
    if !subsystem.allowed_host.is_empty() {
        steps.push(Step::Unlink(format!("{folder}/allowed_hosts/{}", subsystem.allowed_host)));
    }
    steps.push(Step::Remove(folder));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subsystem(nqn: &str, host: &str) -> Subsystem {
        Subsystem {
            nqn: nqn.to_owned(),
            file: PathBuf::from("/pool/v.img"),
            size: 0,
            port: 4420,
            allowed_host: host.to_owned(),
        }
    }

    fn set(all: &[Subsystem]) -> BTreeMap<String, Subsystem> {
        all.iter().map(|one| (one.nqn.clone(), one.clone())).collect()
    }

    fn words(steps: &[Step]) -> Vec<String> {
        let word = |step: &Step| match step {
            Step::Make(path) => format!("mkdir {path}"),
            Step::Write(path, text) => format!("{text} > {path}"),
            Step::Link(target, link) => format!("ln {target} {link}"),
            Step::Unlink(path) => format!("rm {path}"),
            Step::Remove(path) => format!("rmdir {path}"),
        };
        steps.iter().map(word).collect()
    }

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_port_comes_first_and_the_link_that_makes_it_visible_last() {
        let steps = plan(&set(&[]), &set(&[subsystem("nqn.a", "nqn.host")]), LOOPBACK);
        assert_eq!(
            words(&steps),
            [
                "mkdir ports/4420",
                "tcp > ports/4420/addr_trtype",
                "ipv4 > ports/4420/addr_adrfam",
                "127.0.0.1 > ports/4420/addr_traddr",
                "4420 > ports/4420/addr_trsvcid",
                "mkdir subsystems/nqn.a",
                "0 > subsystems/nqn.a/attr_allow_any_host",
                "mkdir hosts/nqn.host",
                "ln hosts/nqn.host subsystems/nqn.a/allowed_hosts/nqn.host",
                "mkdir subsystems/nqn.a/namespaces/1",
                "0 > subsystems/nqn.a/namespaces/1/enable",
                "/pool/v.img > subsystems/nqn.a/namespaces/1/device_path",
                "1 > subsystems/nqn.a/namespaces/1/buffered_io",
                "1 > subsystems/nqn.a/namespaces/1/enable",
                "ln subsystems/nqn.a ports/4420/subsystems/nqn.a",
            ]
        );
    }

    #[test]
    fn taking_down_goes_the_other_way_and_the_last_one_closes_the_port() {
        let (a, b) = (subsystem("nqn.a", ""), subsystem("nqn.b", ""));
        let steps = plan(&set(&[a.clone(), b.clone()]), &set(std::slice::from_ref(&b)), LOOPBACK);
        assert_eq!(
            words(&steps),
            [
                "rm ports/4420/subsystems/nqn.a",
                "0 > subsystems/nqn.a/namespaces/1/enable",
                "rmdir subsystems/nqn.a/namespaces/1",
                "rmdir subsystems/nqn.a",
            ]
        );
        let steps = plan(&set(std::slice::from_ref(&b)), &set(&[]), LOOPBACK);
        assert_eq!(words(&steps).last().map(String::as_str), Some("rmdir ports/4420"));
        assert_eq!(plan(&set(std::slice::from_ref(&b)), &set(&[b]), LOOPBACK), []);
    }

    #[test]
    fn a_renamed_export_is_gone_under_its_old_name_before_it_is_there_under_the_new_one() {
        let steps =
            words(&plan(&set(&[subsystem("nqn.e1", "")]), &set(&[subsystem("nqn.e2", "")]), LOOPBACK));
        let at = |wanted: &str| steps.iter().position(|step| step == wanted).unwrap();
        assert!(at("rmdir subsystems/nqn.e1") < at("mkdir subsystems/nqn.e2"), "{steps:?}");
    }

    #[test]
    fn growth_is_told_without_taking_anything_down() {
        let (before, after) = (subsystem("nqn.a", ""), Subsystem { size: 4096, ..subsystem("nqn.a", "") });
        let steps = plan(&set(&[before]), &set(&[after]), LOOPBACK);
        assert_eq!(words(&steps), ["1 > subsystems/nqn.a/namespaces/1/revalidate_size"]);
    }

    #[test]
    fn what_is_set_up_stands_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        // What the kernel makes by itself.
        for made in ["ports", "hosts", "subsystems", "subsystems/nqn.a", "ports/4420"] {
            std::fs::create_dir(root.join(made)).unwrap();
        }
        for made in ["subsystems/nqn.a/namespaces", "subsystems/nqn.a/allowed_hosts", "ports/4420/subsystems"]
        {
            std::fs::create_dir(root.join(made)).unwrap();
        }
        let mut nvmet = Nvmet::of(&Exports::Nvmet { root: root.to_owned(), address: LOOPBACK }).unwrap();
        nvmet.bring_to(vec![subsystem("nqn.a", "nqn.host")]).unwrap();
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(read("subsystems/nqn.a/namespaces/1/device_path"), "/pool/v.img");
        assert_eq!(read("subsystems/nqn.a/namespaces/1/enable"), "1");
        assert_eq!(read("ports/4420/addr_trsvcid"), "4420");
        assert_eq!(
            std::fs::read_link(root.join("ports/4420/subsystems/nqn.a")).unwrap(),
            root.join("subsystems/nqn.a")
        );
    }
}
