//! Sessions that were asked for and that the kernel has not answered yet. A write to `/dev/nvme-fabrics` goes on although
//! nobody waits for it any more, and may leave a controller later: until then it counts as a session that is being made,
//! so that nobody is told that there is none.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use proto::nqn::Nqn;

use crate::kernel::{Path, Session, State};

type Table = Arc<Mutex<Vec<(Nqn, SocketAddr)>>>;

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending(Table);

/// One of them; dropped once the kernel has answered.
#[derive(Debug)]
pub(super) struct Asking {
    table: Table,
    of: (Nqn, SocketAddr),
}

impl Pending {
    /// Notes that a session is asked for. `None` when one under this name is being made already.
    pub(super) fn begin(&self, nqn: &Nqn, address: SocketAddr) -> Option<Asking> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.iter().any(|(asked, _)| asked == nqn) {
            return None;
        }
        let of = (nqn.clone(), address);
        table.push(of.clone());
        Some(Asking { table: Arc::clone(&self.0), of })
    }

    /// As sessions.
    pub(super) fn sessions(&self) -> Vec<Session> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = |(nqn, address): &(Nqn, SocketAddr)| Session {
            nqn: nqn.clone(),
            state: State::Asked,
            device: None,
            paths: vec![Path { controller: String::new(), identity: String::new(), address: *address }],
        };
        table.iter().map(session).collect()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|asked| *asked != self.of);
    }
}
