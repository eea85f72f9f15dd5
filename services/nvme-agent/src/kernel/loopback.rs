//! Development: sessions through the storage portal, devices that are loop devices over the appliance's own files.
//!
//! What it keeps of NVMe/TCP: a session that is closed is `connecting`, its I/O fails, and it tries the same name again
//! for ever; sessions and devices outlive this process and are adopted by the next. A lost session's device is cut down
//! to one sector, so a former owner cannot write. What it does not keep: I/O that hangs, errno values, multipath.
//!
//! What is remembered of a session lies in a file of its own, written before its device is made; the device carries the
//! same token, so that the two find each other again whatever crashed in between.

mod memory;
mod session;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chassis::deadline::Deadline;
use proto::nqn::Nqn;

use self::memory::{Memories, Memory};
use self::session::Running;
use super::portal::{DialError, Hello, Link};
use super::{ConnectError, Kernel, KernelError, Lack, Session, loopdev};
use crate::lanes::Lanes;
use crate::request::Connection;

/// The lane of this kernel's own work, which never touches a dead path.
const LANE: &str = "loopback";

/// The kernel of development.
pub(crate) struct Loopback {
    memories: Memories,
    lanes: Lanes,
    running: Mutex<BTreeMap<Nqn, Running>>,
}

impl Loopback {
    /// Opens the folder and adopts what earlier processes have left.
    pub(crate) async fn open(state: &Path, lanes: &Lanes, deadline: Deadline) -> Result<Self, KernelError> {
        let memories =
            Memories::open(state).map_err(|error| KernelError::system("opening --loopback-state", error))?;
        let this = Self { memories, lanes: lanes.clone(), running: Mutex::default() };
        let remembered = this.off("recalling", deadline, |memories| memories.all()).await?;
        for memory in remembered {
            let (file, token) = (memory.path.clone(), memory.token.clone());
            let device = this.off("looking for", deadline, move |_| loopdev::find(&file, &token)).await?;
            match device {
                Some(device) => {
                    tracing::info!(nqn = %memory.nqn, device, "session of an earlier process adopted");
                    this.lock().insert(memory.nqn.clone(), Running::adopted(memory, device, lanes));
                }
                None => {
                    tracing::info!(nqn = %memory.nqn, "session of an earlier process is gone");
                    this.off("forgetting", deadline, move |memories| memories.forget(&memory.nqn)).await?;
                }
            }
        }
        Ok(this)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Nqn, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running session, if it is still the one that was seen.
    fn take_if_seen(&self, seen: &Session) -> Result<Option<Running>, KernelError> {
        let mut running = self.lock();
        match running.get(&seen.nqn).map(Running::path) {
            None => Ok(None),
            Some(now) if seen.paths.contains(&now) => Ok(running.remove(&seen.nqn)),
            Some(now) => Err(KernelError::Replaced { controller: now.controller, nqn: seen.nqn.clone() }),
        }
    }

    async fn off<T: Send + 'static>(
        &self,
        what: &'static str,
        deadline: Deadline,
        work: impl FnOnce(&Memories) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, KernelError> {
        let memories = self.memories.clone();
        let done = self.lanes.run(LANE, what, deadline, move || work(&memories)).await?;
        done.map_err(|error| KernelError::system(format!("{what} a loop device"), error))
    }
}

#[tonic::async_trait]
impl Kernel for Loopback {
    fn name(&self) -> &'static str {
        "loopback"
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn connect(&self, connection: &Connection, deadline: Deadline) -> Result<(), ConnectError> {
        if self.lock().contains_key(&connection.nqn) {
            return Err(ConnectError::AlreadyThere);
        }
        let hello = Hello {
            nqn: connection.nqn.to_string(),
            hostnqn: connection.host_nqn.to_string(),
            hostid: connection.host_id.to_string(),
        };
        let mut refused = ConnectError::AlreadyThere;
        for address in &connection.addresses {
            match Link::dial(*address, &hello).await {
                Ok((link, accepted)) => {
                    let memory = Memory {
                        nqn: connection.nqn.clone(),
                        address: *address,
                        hello,
                        token: format!("rds:{}", uuid::Uuid::now_v7()),
                        path: accepted.path.clone(),
                        nsid: accepted.nsid,
                    };
                    let (kept, size) = (memory.clone(), proto::size::ByteSize::from_bytes(accepted.size));
                    let attaching = self.off("attaching", deadline, move |memories| {
                        memories.keep(&kept)?;
                        loopdev::attach(&kept.path, size, &kept.token).inspect_err(|_| {
                            // The error that counts is told; a memory without a device is forgotten at the next start.
                            let _ = memories.forget(&kept.nqn);
                        })
                    });
                    let device = attaching.await?;
                    self.lock()
                        .insert(memory.nqn.clone(), Running::connected(memory, device, link, &self.lanes));
                    return Ok(());
                }
                Err(error @ (DialError::Refused(_) | DialError::Unreachable(_))) => {
                    refused = ConnectError::Failed { address: address.to_string(), why: error.to_string() };
                }
            }
        }
        Err(refused)
    }

    async fn sessions(&self, deadline: Deadline) -> Result<Vec<Session>, KernelError> {
        let running: Vec<_> = self.lock().values().map(Running::glance).collect();
        self.off("looking at", deadline, move |_| running.into_iter().map(session::Glance::look).collect())
            .await
    }

    async fn rescan(&self, nqn: &Nqn, deadline: Deadline) -> Result<(), KernelError> {
        let asked = self.lock().get(nqn).map(Running::rescan);
        match asked {
            Some(asked) => {
                // An answer that does not come changes nothing: the size is looked at, not believed.
                let _ =
                    tokio::time::timeout(deadline.remaining().min(std::time::Duration::from_secs(2)), asked)
                        .await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn disconnect(&self, session: &Session, deadline: Deadline) -> Result<(), KernelError> {
        let nqn = &session.nqn;
        let Some(running) = self.take_if_seen(session)? else { return Ok(()) };
        let (memory, device) = running.stop().await;
        let (token, name) = (memory.token.clone(), device.clone());
        let ended = self
            .off("detaching", deadline, move |memories| {
                // Cut first: a device that is still mounted goes only when its last user does.
                match loopdev::cut(&name, &token) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => loopdev::detach(&name, &token)?,
                }
                memories.forget(&memory.nqn).map(|()| memory)
            })
            .await;
        if ended.is_err() {
            // Still there, as a kernel's controller would be: adopt it again rather than lose sight of it.
            let memory = self.off("recalling", deadline, |memories| memories.all()).await?;
            if let Some(memory) = memory.into_iter().find(|memory| memory.nqn == *nqn) {
                self.lock().insert(nqn.clone(), Running::adopted(memory, device, &self.lanes));
            }
        }
        ended.map(|_| ())
    }

    async fn missing(&self, _: &Path) -> Vec<Lack> {
        let control = Path::new("/dev/loop-control");
        if control.exists() {
            Vec::new()
        } else {
            vec![Lack::grave("module", "/dev/loop-control is missing: load the module loop")]
        }
    }

    async fn stop(&self) {
        let all = std::mem::take(&mut *self.lock());
        for running in all.into_values() {
            running.stop().await;
        }
    }
}
