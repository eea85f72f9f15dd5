//! The kernel's uevents about NVMe and block devices (netlink(7), NETLINK_KOBJECT_UEVENT): a reason to look at once. They
//! are a help and nothing rests on them: some are lost when many come, and outside the host's network none come.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// The multicast group the kernel itself sends to.
const KERNEL: u32 = 1;
/// Longer than the kernel's messages (lib/kobject_uevent.c: 2048 bytes).
const MESSAGE_BYTES: usize = 8192;

/// Tells of every event that may concern a volume. Ends when there is nothing to listen to.
pub(super) async fn listen(changed: Arc<Notify>) {
    match open() {
        Ok(socket) => loop {
            match next(&socket).await {
                Ok(true) => changed.notify_one(),
                Ok(false) => {}
                Err(error) => {
                    return tracing::warn!(%error, "uevents end; volumes are looked at every few seconds");
                }
            }
        },
        Err(error) => tracing::info!(%error, "no uevents; volumes are looked at every few seconds"),
    }
}

fn open() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let protocol = SockProtocol::NetlinkKObjectUEvent;
    let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL))?;
    // SAFETY: an OwnedFd owns its descriptor and answers the same one as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

async fn next(socket: &AsyncFd<OwnedFd>) -> io::Result<bool> {
    let receive = |socket: &OwnedFd| {
        let mut message = [0; MESSAGE_BYTES];
        match recv(socket.as_raw_fd(), &mut message, MsgFlags::empty()) {
            Ok(length) => Ok(concerns_volumes(&message[..length])),
            // Some were lost: one of them may have been ours.
            Err(nix::errno::Errno::ENOBUFS) => Ok(true),
            Err(error) => Err(error.into()),
        }
    };
    socket.async_io(Interest::READABLE, receive).await
}

/// `change@/devices/…` and fields such as `SUBSYSTEM=nvme`, each ended by a NUL.
fn concerns_volumes(message: &[u8]) -> bool {
    let mut fields = message.split(|byte| *byte == 0);
    fields.any(|field| matches!(field, b"SUBSYSTEM=nvme" | b"SUBSYSTEM=nvme-subsystem" | b"SUBSYSTEM=block"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_may_be_about_a_volume_is_a_reason_to_look() {
        assert!(concerns_volumes(
            b"change@/devices/virtual/nvme-fabrics/ctl/nvme0\0ACTION=change\0SUBSYSTEM=nvme\0"
        ));
        assert!(concerns_volumes(b"add@/devices/x\0SUBSYSTEM=block\0DEVNAME=nvme0n1\0"));
        assert!(!concerns_volumes(b"add@/devices/x\0SUBSYSTEM=net\0INTERFACE=veth0\0"));
        assert!(!concerns_volumes(b""));
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            concerns_volumes(&message);
        }
    }
}
