//! NVMe/TCP through `/dev/nvme-fabrics`, sessions and devices from sysfs. The kernel keeps sessions up by itself; they
//! belong to nobody and outlive this process.
//!
//! The write to `/dev/nvme-fabrics` returns before the namespace is found, and the number it answers with names the
//! controller: the device is found through the subsystem's name, never through that number.

mod controller;
mod lack;
mod pending;

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chassis::deadline::Deadline;
use proto::nqn::{Nqn, NqnPrefix};

use self::pending::Pending;
use super::{ConnectError, Kernel, KernelError, Lack, Session, State, volume_of};
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
    pending: Pending,
}

impl Linux {
    /// The real one.
    pub(crate) fn new(prefixes: Vec<NqnPrefix>, lanes: &Lanes) -> Self {
        let (fabrics, sys) = ("/dev/nvme-fabrics".into(), "/sys".into());
        Self { fabrics, sys, prefixes, lanes: lanes.clone(), pending: Pending::default() }
    }

    /// Our controllers to a subsystem. Those of others, above all those the node booted from, are not seen at all.
    fn controllers_of(sys: &Path, prefixes: &[NqnPrefix], nqn: &Nqn) -> io::Result<Vec<Controller>> {
        let ours = volume_of(prefixes, nqn).is_some();
        let all = if ours { sysfs::controllers(sys)? } else { Vec::new() };
        Ok(all.into_iter().filter(|controller| controller.subsystem == nqn.as_str()).collect())
    }

    /// True when the kernel makes one device of several controllers to one subsystem.
    fn multipath(&self) -> bool {
        let parameter = self.sys.join("module/nvme_core/parameters/multipath");
        std::fs::read_to_string(parameter).is_ok_and(|text| text.trim() == "Y")
    }

    /// Makes one session to one address, and says so in the list of sessions until the kernel has answered.
    async fn connect_to(
        &self,
        connection: &Connection,
        address: SocketAddr,
        deadline: Deadline,
    ) -> Result<(), ConnectError> {
        let Some(asking) = self.pending.begin(&connection.nqn, address) else {
            return Err(ConnectError::AlreadyThere);
        };
        let (fabrics, wanted) = (self.fabrics.clone(), connection.clone());
        let work = move || {
            let asked = connect_one(&fabrics, &wanted, address);
            drop(asking);
            asked
        };
        let asked = self.lanes.run(connection.nqn.as_str(), "connecting", deadline, work).await;
        let instance = asked.map_err(KernelError::Stuck)??;
        tracing::info!(nqn = %connection.nqn, %address, instance, "connected");
        Ok(())
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
        let path = controller::path_of(&controller)?;
        match all.iter_mut().find(|session| session.nqn == nqn) {
            Some(session) => {
                if controller.state == State::Live {
                    session.state = State::Live;
                }
                session.device = session.device.take().or(device);
                session.paths.push(path);
            }
            None => all.push(Session { nqn, state: controller.state, device, paths: vec![path] }),
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

    /// To every address where the kernel makes one device of them, else to the first that accepts.
    async fn connect(&self, connection: &Connection, deadline: Deadline) -> Result<(), ConnectError> {
        let all = self.multipath();
        let (mut connected, mut refused) = (false, None);
        for address in connection.addresses.clone() {
            match self.connect_to(connection, address, deadline).await {
                Ok(()) => connected = true,
                Err(error @ ConnectError::Failed { .. }) if connected || refused.is_none() => {
                    tracing::warn!(nqn = %connection.nqn, %address, %error, "one address did not accept");
                    refused = Some(error);
                }
                Err(ConnectError::Failed { .. }) => {}
                Err(ConnectError::AlreadyThere) if connected => {}
                Err(error @ (ConnectError::AlreadyThere | ConnectError::Kernel(_))) => return Err(error),
            }
            if connected && !all {
                break;
            }
        }
        match refused {
            Some(error) if !connected => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    async fn sessions(&self, deadline: Deadline) -> Result<Vec<Session>, KernelError> {
        let (sys, prefixes) = (self.sys.clone(), self.prefixes.clone());
        // First: what ends between the two looks has left its controller by the second.
        let pending = self.pending.sessions();
        let looked =
            self.lanes.run(LANE, "looking at sessions", deadline, move || sessions(&sys, &prefixes)).await?;
        let mut all = looked.map_err(|error| KernelError::system("looking at sessions", error))?;
        all.extend(
            pending
                .into_iter()
                .filter(|asked| !all.iter().any(|session| session.nqn == asked.nqn))
                .collect::<Vec<_>>(),
        );
        Ok(all)
    }

    async fn rescan(&self, nqn: &Nqn, deadline: Deadline) -> Result<(), KernelError> {
        self.tell(nqn, "rescan_controller", deadline).await
    }

    async fn disconnect(&self, session: &Session, deadline: Deadline) -> Result<(), KernelError> {
        // One of others, above all one the node booted from, is not ended even when it is asked for.
        if volume_of(&self.prefixes, &session.nqn).is_none() {
            return Ok(());
        }
        let (sys, ended) = (self.sys.clone(), session.clone());
        let work = move || ended.paths.iter().try_for_each(|path| controller::end(&sys, &ended.nqn, path));
        self.lanes.run(session.nqn.as_str(), "disconnecting", deadline, work).await?
    }

    async fn missing(&self, kubelet: &Path) -> Vec<Lack> {
        lack::all(&self.fabrics, &self.sys, kubelet)
    }

    async fn stop(&self) {}
}

#[cfg(test)]
mod tests;
