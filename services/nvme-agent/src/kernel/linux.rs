//! NVMe/TCP through `/dev/nvme-fabrics`, sessions and devices from sysfs. The kernel keeps sessions up by itself; they
//! belong to nobody and outlive this process.
//!
//! The write to `/dev/nvme-fabrics` returns before the namespace is found, and the number it answers with names the
//! controller: the device is found through the subsystem's name, never through that number.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chassis::deadline::Deadline;
use proto::nqn::{Nqn, NqnPrefix};

use super::{ConnectError, Kernel, KernelError, Session, State, volume_of};
use crate::fabrics;
use crate::lanes::Lanes;
use crate::request::Connection;
use crate::stage::plan::NAMESPACE;
use crate::sysfs::{self, Controller};

/// Lane of what reads sysfs, which never hangs.
const LANE: &str = "nvme sysfs";
/// Bytes the kernel's answers fit in.
const ANSWER_BYTES: usize = 4096;

/// The kernel of this node.
pub(crate) struct Linux {
    fabrics: PathBuf,
    sys: PathBuf,
    prefixes: Vec<NqnPrefix>,
    lanes: Lanes,
}

impl Linux {
    /// The real one.
    pub(crate) fn new(prefixes: Vec<NqnPrefix>, lanes: &Lanes) -> Self {
        Self { fabrics: "/dev/nvme-fabrics".into(), sys: "/sys".into(), prefixes, lanes: lanes.clone() }
    }

    /// Our controllers to a subsystem. Those of others, above all those the node booted from, are not seen at all.
    fn controllers_of(sys: &Path, prefixes: &[NqnPrefix], nqn: &Nqn) -> io::Result<Vec<Controller>> {
        let ours = volume_of(prefixes, nqn).is_some();
        let all = if ours { sysfs::controllers(sys)? } else { Vec::new() };
        Ok(all.into_iter().filter(|controller| controller.subsystem == nqn.as_str()).collect())
    }

    /// Writes `1` to an attribute of every controller of a subsystem. One that is gone needs no telling.
    async fn tell(&self, nqn: &Nqn, attribute: &'static str, deadline: Deadline) -> Result<(), KernelError> {
        let (sys, prefixes, of) = (self.sys.clone(), self.prefixes.clone(), nqn.clone());
        let work = move || {
            for controller in Self::controllers_of(&sys, &prefixes, &of)? {
                match OpenOptions::new().write(true).open(controller.path.join(attribute)) {
                    Ok(mut file) => file.write_all(b"1")?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let done = self.lanes.run(nqn.as_str(), attribute, deadline, work).await?;
        done.map_err(|error| KernelError::system(format!("{attribute} of {nqn}"), error))
    }
}

/// Asks for one session: the line is written once, and the answer read on the same descriptor.
fn connect_one(fabrics: &Path, connection: &Connection, address: SocketAddr) -> Result<u32, ConnectError> {
    let opening =
        |error| KernelError::system(format!("opening {}; is nvme-tcp loaded?", fabrics.display()), error);
    let open = || OpenOptions::new().read(true).write(true).open(fabrics).map_err(opening);
    let listing = read_some(&mut open()?).map_err(opening)?;
    let line = fabrics::connect_line(connection, address, &fabrics::supported(&listing))
        .map_err(|missing| KernelError::NotUnderstood(missing.to_string()))?;
    let mut device = open()?;
    let refused = |error: io::Error| match error.raw_os_error() {
        Some(fabrics::ALREADY_CONNECTED) => ConnectError::AlreadyThere,
        errno => ConnectError::Failed {
            address: address.to_string(),
            why: format!("{} ({error})", fabrics::explain(errno.unwrap_or_default())),
        },
    };
    // Written in one piece: a second write on the descriptor would be a second session.
    let written = device.write(line.as_bytes()).map_err(refused)?;
    if written != line.len() {
        return Err(
            KernelError::NotUnderstood(format!("the kernel took {written} of {} bytes", line.len())).into()
        );
    }
    let answer = read_some(&mut device).map_err(refused)?;
    let understood = fabrics::instance(&answer);
    Ok(understood
        .ok_or_else(|| KernelError::NotUnderstood(format!("/dev/nvme-fabrics answered {answer:?}")))?)
}

fn read_some(file: &mut std::fs::File) -> io::Result<String> {
    let mut answer = vec![0; ANSWER_BYTES];
    let length = file.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// Controllers to one subsystem are one session: live while one of them is.
fn sessions(sys: &Path, prefixes: &[NqnPrefix]) -> io::Result<Vec<Session>> {
    let mut all: Vec<Session> = Vec::new();
    for controller in sysfs::controllers(sys)? {
        let Ok(nqn) = controller.subsystem.parse::<Nqn>() else { continue };
        if volume_of(prefixes, &nqn).is_none() {
            continue;
        }
        let device = sysfs::namespace(sys, &controller, NAMESPACE)?;
        match all.iter_mut().find(|session| session.nqn == nqn) {
            Some(session) => {
                if controller.state == State::Live {
                    session.state = State::Live;
                }
                session.device = session.device.take().or(device);
            }
            None => all.push(Session { nqn, state: controller.state, device }),
        }
    }
    Ok(all)
}

#[tonic::async_trait]
impl Kernel for Linux {
    fn name(&self) -> &'static str {
        "linux"
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn connect(&self, connection: &Connection, deadline: Deadline) -> Result<(), ConnectError> {
        let mut refused = ConnectError::AlreadyThere;
        for address in connection.addresses.clone() {
            let (fabrics, wanted) = (self.fabrics.clone(), connection.clone());
            let work = move || connect_one(&fabrics, &wanted, address);
            let asked = self.lanes.run(connection.nqn.as_str(), "connecting", deadline, work).await;
            match asked.map_err(KernelError::Stuck)? {
                Ok(instance) => {
                    tracing::info!(nqn = %connection.nqn, %address, instance, "connected");
                    return Ok(());
                }
                Err(ConnectError::AlreadyThere) => return Err(ConnectError::AlreadyThere),
                Err(error @ ConnectError::Failed { .. }) => refused = error,
                Err(error @ ConnectError::Kernel(_)) => return Err(error),
            }
        }
        Err(refused)
    }

    async fn sessions(&self, deadline: Deadline) -> Result<Vec<Session>, KernelError> {
        let (sys, prefixes) = (self.sys.clone(), self.prefixes.clone());
        let looked =
            self.lanes.run(LANE, "looking at sessions", deadline, move || sessions(&sys, &prefixes)).await?;
        looked.map_err(|error| KernelError::system("looking at sessions", error))
    }

    async fn rescan(&self, nqn: &Nqn, deadline: Deadline) -> Result<(), KernelError> {
        self.tell(nqn, "rescan_controller", deadline).await
    }

    async fn disconnect(&self, nqn: &Nqn, deadline: Deadline) -> Result<(), KernelError> {
        self.tell(nqn, "delete_controller", deadline).await
    }

    async fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.fabrics.exists() {
            missing.push(format!("{} is missing: load the module nvme-tcp", self.fabrics.display()));
        }
        // Every reconnect happens in the first process' network, whatever ours is.
        let network =
            |process: &str| std::fs::metadata(format!("/proc/{process}/ns/net")).map(|ns| ns.ino()).ok();
        if network("1").is_some() && network("1") != network("self") {
            missing.push(
                "this process is not in the host's network: set hostNetwork, or sessions cannot reconnect"
                    .to_owned(),
            );
        }
        missing
    }

    async fn stop(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::connection;
    use std::fs;
    use std::time::Duration;

    fn controller(sys: &Path, name: &str, nqn: &str, state: &str) -> PathBuf {
        let folder = sys.join("class/nvme").join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let files = [("transport", "tcp"), ("subsysnqn", nqn), ("state", state), ("delete_controller", "")];
        for (file, text) in files {
            fs::write(folder.join(file), text).expect("a file");
        }
        folder
    }

    fn linux(sys: &Path) -> Linux {
        let prefixes = vec!["nqn.2026-09.io.srvlab:rds".parse().expect("a prefix")];
        Linux { fabrics: sys.join("nvme-fabrics"), sys: sys.to_owned(), prefixes, lanes: Lanes::default() }
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    #[tokio::test]
    async fn sessions_of_others_are_neither_seen_nor_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let boot = controller(folder.path(), "nvme0", "nqn.2014-08.org.nvmexpress:boot", "live");
        let wanted = connection(3);
        let ours = controller(folder.path(), "nvme1", wanted.nqn.as_str(), "connecting");
        controller(folder.path(), "nvme2", wanted.nqn.as_str(), "live");
        let linux = linux(folder.path());
        let seen = linux.sessions(soon()).await.expect("a list");
        assert_eq!(seen.len(), 1, "two controllers to one subsystem are one session");
        assert_eq!((&seen[0].nqn, &seen[0].state), (&wanted.nqn, &State::Live));
        linux.disconnect(&wanted.nqn, soon()).await.expect("told");
        let boot_nqn = "nqn.2014-08.org.nvmexpress:boot".parse().expect("an NQN");
        linux.disconnect(&boot_nqn, soon()).await.expect("nothing to tell");
        assert_eq!(fs::read_to_string(ours.join("delete_controller")).expect("readable"), "1");
        assert_eq!(fs::read_to_string(boot.join("delete_controller")).expect("readable"), "");
    }

    #[tokio::test]
    async fn a_node_without_the_module_is_told_what_to_load() {
        let folder = tempfile::tempdir().expect("a folder");
        let linux = linux(folder.path());
        let error = linux.connect(&connection(3), soon()).await.expect_err("no device");
        assert!(error.to_string().contains("nvme-tcp"), "{error}");
        assert!(linux.missing().await.iter().any(|line| line.contains("nvme-tcp")));
    }
}
