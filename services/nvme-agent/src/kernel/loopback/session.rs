//! One session: a task that holds the connection to the portal, cuts the device when it is lost, and tries again.

use std::io;
use std::time::Duration;

use chassis::backoff;
use chassis::deadline::Deadline;
use proto::size::ByteSize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::memory::Memory;
use crate::kernel::portal::{Accepted, Link};
use crate::kernel::{Device, Path, Session, State, loopdev};
use crate::lanes::Lanes;
use crate::sysfs;

const RECONNECT_MIN: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(2);
/// A loop ioctl over a local file is a matter of milliseconds.
const IOCTL_LIMIT: Duration = Duration::from_secs(10);

enum Order {
    Rescan(oneshot::Sender<()>),
    Stop,
}

/// A session that is kept up.
pub(super) struct Running {
    memory: Memory,
    device: String,
    state: watch::Receiver<State>,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

/// What is looked at off the runtime.
pub(super) struct Glance {
    memory: Memory,
    device: String,
    state: watch::Receiver<State>,
}

fn path(memory: &Memory, device: &str) -> Path {
    Path { controller: device.to_owned(), identity: memory.token.clone(), address: memory.address }
}

impl Glance {
    /// The session as the kernel has it. A device that is not over our file any more is none.
    pub(super) fn look(self) -> io::Result<Session> {
        let before = self.state.borrow().clone();
        let block = sysfs::block(&self.device);
        let real = self.memory.path.canonicalize().unwrap_or_else(|_| self.memory.path.clone());
        let device = match sysfs::backing_file(&self.device) {
            Some(file) if file == real => Some(Device {
                node: std::path::Path::new("/dev").join(&self.device),
                number: sysfs::number(&block)?,
                size: sysfs::size(&block)?,
                nsid: self.memory.nsid,
            }),
            Some(_) | None => None,
        };
        // The size that was seen is that of a live session only if it was live before and after.
        let state = if before == State::Live { self.state.borrow().clone() } else { before };
        let paths = vec![path(&self.memory, &self.device)];
        Ok(Session { nqn: self.memory.nqn, state, device, paths })
    }
}

fn connecting() -> State {
    State::NotLive("connecting".to_owned())
}

impl Running {
    /// A session that was just accepted.
    pub(super) fn connected(memory: Memory, device: String, link: Link, lanes: &Lanes) -> Self {
        Self::start(memory, device, Some(link), lanes)
    }

    /// A session whose device was found; the connection is to be made anew.
    pub(super) fn adopted(memory: Memory, device: String, lanes: &Lanes) -> Self {
        Self::start(memory, device, None, lanes)
    }

    fn start(memory: Memory, device: String, link: Option<Link>, lanes: &Lanes) -> Self {
        let state = if link.is_some() { State::Live } else { connecting() };
        let (tell, state) = watch::channel(state);
        let (orders, ordered) = mpsc::channel(8);
        let keeper =
            Keeper { memory: memory.clone(), device: device.clone(), lanes: lanes.clone(), tell, ordered };
        let task = tokio::spawn(keeper.keep(link));
        Self { memory, device, state, orders, task }
    }

    /// The one path of it.
    pub(super) fn path(&self) -> Path {
        path(&self.memory, &self.device)
    }

    pub(super) fn glance(&self) -> Glance {
        Glance { memory: self.memory.clone(), device: self.device.clone(), state: self.state.clone() }
    }

    /// Asks for the size anew; the future ends when the device has it.
    pub(super) fn rescan(&self) -> impl Future<Output = ()> + Send + use<> {
        let orders = self.orders.clone();
        async move {
            let (done, told) = oneshot::channel();
            if orders.send(Order::Rescan(done)).await.is_ok() {
                // Dropped unanswered when the session is lost meanwhile.
                let _ = told.await;
            }
        }
    }

    /// Hangs up. The device stays.
    pub(super) async fn stop(self) -> (Memory, String) {
        // A task that has ended needs no order.
        let _ = self.orders.send(Order::Stop).await;
        let _ = self.task.await;
        (self.memory, self.device)
    }
}

/// Whether to go on.
enum Next {
    Lost,
    Connected(Link),
    Stop,
}

struct Keeper {
    memory: Memory,
    device: String,
    lanes: Lanes,
    tell: watch::Sender<State>,
    ordered: mpsc::Receiver<Order>,
}

impl Keeper {
    async fn keep(mut self, link: Option<Link>) {
        let mut next = match link {
            Some(link) => Next::Connected(link),
            // An adopted device may have lost its session long ago; the first attempt tells.
            None => match self.attempt().await {
                Some(link) => Next::Connected(link),
                None => Next::Lost,
            },
        };
        loop {
            next = match next {
                Next::Connected(link) => {
                    self.tell.send_replace(State::Live);
                    self.serve(link).await
                }
                Next::Lost => {
                    self.lose().await;
                    self.reconnect().await
                }
                Next::Stop => return,
            };
        }
    }

    /// Follows the size until the session ends.
    async fn serve(&mut self, mut link: Link) -> Next {
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        loop {
            tokio::select! {
                size = link.size() => match size {
                    Some(size) => {
                        if !self.resize(size).await {
                            return Next::Lost;
                        }
                        // Whoever asked and went away need not be told.
                        for done in waiting.drain(..) {
                            let _ = done.send(());
                        }
                    }
                    None => return Next::Lost,
                },
                order = self.ordered.recv() => match order {
                    Some(Order::Rescan(done)) => {
                        waiting.push(done);
                        if link.rescan().await.is_err() {
                            return Next::Lost;
                        }
                    }
                    Some(Order::Stop) | None => return Next::Stop,
                },
            }
        }
    }

    /// Says so, and cuts the device: a former owner must not write any more. In this order, so that nobody takes what
    /// is left of the device for a live one.
    async fn lose(&mut self) {
        let (device, token) = (self.device.clone(), self.memory.token.clone());
        tracing::warn!(nqn = %self.memory.nqn, device, "session lost");
        self.tell.send_replace(connecting());
        self.ioctl("cutting", move || loopdev::cut(&device, &token)).await;
    }

    async fn reconnect(&mut self) -> Next {
        for wait in backoff::exponential(RECONNECT_MIN, RECONNECT_MAX) {
            let until = tokio::time::Instant::now() + wait;
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => break,
                    order = self.ordered.recv() => match order {
                        // Nobody to ask: dropping the question answers it.
                        Some(Order::Rescan(_)) => {}
                        Some(Order::Stop) | None => return Next::Stop,
                    },
                }
            }
            if let Some(link) = self.attempt().await {
                tracing::info!(nqn = %self.memory.nqn, "session is back");
                return Next::Connected(link);
            }
        }
        Next::Stop
    }

    /// One attempt at the same name. Only the same file is the same volume.
    async fn attempt(&mut self) -> Option<Link> {
        match Link::dial(self.memory.address, &self.memory.hello).await {
            Ok((link, Accepted { path, size, .. })) if path == self.memory.path => {
                self.resize(ByteSize::from_bytes(size)).await.then_some(link)
            }
            Ok((_, Accepted { path, .. })) => {
                tracing::warn!(nqn = %self.memory.nqn, path = %path.display(), "the name stands for another file now");
                None
            }
            Err(error) => {
                tracing::debug!(nqn = %self.memory.nqn, %error, "no session yet");
                None
            }
        }
    }

    async fn resize(&self, size: ByteSize) -> bool {
        let (device, token) = (self.device.clone(), self.memory.token.clone());
        self.ioctl("resizing", move || loopdev::resize(&device, &token, size)).await
    }

    async fn ioctl(
        &self,
        what: &'static str,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> bool {
        let done = self.lanes.run(&self.device, what, Deadline::after(IOCTL_LIMIT), work).await;
        match done {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(nqn = %self.memory.nqn, device = self.device, %error, what, "loop device");
                false
            }
            Err(stuck) => {
                tracing::error!(nqn = %self.memory.nqn, device = self.device, error = %stuck, what, "loop device");
                false
            }
        }
    }
}
