//! The appliance as a box: its listeners go up and down, it reboots, its host key can be replaced.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::keys::{HashAlg, PrivateKey};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::world::World;
use crate::{portal, ssh};

/// How long `/system/reboot` takes.
pub(crate) const REBOOT_SECONDS: u64 = 2;

pub(crate) struct Device {
    pub(crate) world: Arc<World>,
    key_file: PathBuf,
    key: Mutex<PrivateKey>,
    login: Arc<ssh::Login>,
    addresses: Mutex<(SocketAddr, SocketAddr)>,
    listening: tokio::sync::Mutex<Listening>,
    stop: CancellationToken,
}

/// Binds with address reuse, so that an appliance that was down comes back on the same ports.
fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Binds and listens.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    reserve(address)?.listen(BACKLOG)
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// What is listening, and the ports it had while it is down: nobody else may get them meanwhile, not even a client that
/// is given one as its own and so talks to itself.
#[derive(Default)]
struct Listening {
    serving: CancellationToken,
    tasks: JoinSet<()>,
    reserved: Option<(TcpSocket, TcpSocket)>,
}

impl Device {
    pub(crate) fn new(
        world: Arc<World>,
        key_file: PathBuf,
        login: ssh::Login,
        addresses: (SocketAddr, SocketAddr),
        stop: CancellationToken,
    ) -> io::Result<Self> {
        Ok(Self {
            world,
            key: Mutex::new(ssh::host_key(&key_file)?),
            key_file,
            login: Arc::new(login),
            addresses: Mutex::new(addresses),
            listening: tokio::sync::Mutex::default(),
            stop,
        })
    }

    /// Addresses of management and storage.
    pub(crate) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn key(&self) -> PrivateKey {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn fingerprint(&self) -> String {
        self.key().public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// Another host key from the next connection on.
    pub(crate) fn new_key(&self) -> io::Result<String> {
        let key = ssh::new_key(&self.key_file)?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(self.fingerprint())
    }

    pub(crate) async fn up(self: &Arc<Self>) -> io::Result<()> {
        self.down().await;
        let mut listening = self.listening.lock().await;
        let (management, storage) = self.addresses();
        let (ssh, portal) = match listening.reserved.take() {
            Some(reserved) => reserved,
            None => (reserve(management)?, reserve(storage)?),
        };
        let (ssh, portal) = (ssh.listen(BACKLOG)?, portal.listen(BACKLOG)?);
        let addresses = (ssh.local_addr()?, portal.local_addr()?);
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
        let serving = self.stop.child_token();
        let tasks = &mut listening.tasks;
        tasks.spawn(ssh::serve(ssh, Arc::clone(self), Arc::clone(&self.login), serving.clone()));
        tasks.spawn(portal::serve(portal, Arc::clone(&self.world), serving.clone()));
        listening.serving = serving;
        Ok(())
    }

    pub(crate) async fn down(&self) {
        let mut listening = self.listening.lock().await;
        listening.serving.cancel();
        while listening.tasks.join_next().await.is_some() {}
        let (management, storage) = self.addresses();
        if listening.reserved.is_none() && management.port() != 0 && storage.port() != 0 {
            // Where it cannot be held, it is bound when it comes up.
            listening.reserved = reserve(management).and_then(|ssh| Ok((ssh, reserve(storage)?))).ok();
        }
    }

    /// Power goes: sessions are cut, running scripts stop where they are. Returns when nobody listens; it comes back
    /// by itself after so many seconds.
    pub(crate) async fn reboot(self: &Arc<Self>, seconds: u64) {
        self.world.cut_power();
        self.down().await;
        drop(self.world.running.write().await);
        self.world.appliance().unpublish();
        let device = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
                () = device.stop.cancelled() => return,
            }
            device.world.appliance().boot();
            device.world.restore_power();
            if let Err(error) = device.up().await {
                eprintln!("the appliance does not come back: {error}");
            }
        });
    }

    /// Reboots when asked to, until the simulator ends.
    pub(crate) async fn obey(self: Arc<Self>, mut asked: mpsc::UnboundedReceiver<u64>) {
        loop {
            let seconds = tokio::select! {
                seconds = asked.recv() => seconds,
                () = self.stop.cancelled() => return,
            };
            let Some(seconds) = seconds else { return };
            self.reboot(seconds).await;
        }
    }
}
