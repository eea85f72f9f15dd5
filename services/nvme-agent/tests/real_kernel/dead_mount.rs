//! A filesystem of somebody else whose server does not answer any more must not hold up our volumes.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use nix::mount::MsFlags;

use crate::world::{World, block};

/// Bytes of a request's header, and of an answer's (linux/fuse.h).
const HEADER: usize = 40;
const ANSWER_HEADER: usize = 16;
/// Opcodes (linux/fuse.h).
const INIT: u32 = 26;
const OPENDIR: u32 = 27;

/// A FUSE mount whose server answers only what it takes to open its root, and nothing after that: whoever asks for an
/// attribute waits for ever.
struct DeadMount {
    at: PathBuf,
    connection: File,
    server: Option<JoinHandle<()>>,
}

impl DeadMount {
    /// `None` where there is no FUSE.
    fn new(at: &Path) -> Option<Self> {
        let connection = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_CLOEXEC)
            .open("/dev/fuse")
            .ok()?;
        fs::create_dir(at).expect("a folder");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", connection.as_raw_fd());
        nix::mount::mount(Some("dead"), at, Some("fuse"), MsFlags::empty(), Some(options.as_str())).ok()?;
        let mut served = connection.try_clone().expect("a descriptor");
        let server = std::thread::spawn(move || {
            let mut request = vec![0; 1 << 20];
            // Its end is the end of the mount.
            while let Ok(length) = served.read(&mut request) {
                let word =
                    |at: usize| u32::from_le_bytes(request[at..at + 4].try_into().expect("four bytes"));
                let body: Vec<u8> = match (length >= HEADER, word(4)) {
                    // Version 7.31, and nothing that is optional.
                    (true, INIT) => [7u32, 31, 0, 0, 0, 4096]
                        .iter()
                        .flat_map(|w| w.to_le_bytes())
                        .chain([0; 40])
                        .collect(),
                    (true, OPENDIR) => vec![0; 16],
                    _ => continue,
                };
                let mut answer =
                    u32::try_from(ANSWER_HEADER + body.len()).expect("short").to_le_bytes().to_vec();
                answer.extend([0; 4]);
                answer.extend(&request[8..16]);
                answer.extend(body);
                served.write_all(&answer).expect("answered");
            }
        });
        Some(Self { at: at.to_owned(), connection, server: Some(server) })
    }
}

impl Drop for DeadMount {
    fn drop(&mut self) {
        // Lets go of everybody who waits, the server among them.
        let _ =
            nix::mount::umount2(&self.at, nix::mount::MntFlags::MNT_FORCE | nix::mount::MntFlags::MNT_DETACH);
        let _ = &self.connection;
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unstage_does_not_wait_for_a_dead_mount_of_somebody_else() {
    let Some(world) = World::new("dead mount").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, block())).await.expect("staged");
    let at = node.folder.join("dead");
    let Some(dead) = DeadMount::new(&at) else {
        let _ = writeln!(std::io::stderr(), "LEFT OUT dead mount: no FUSE");
        return;
    };
    // Held open by this process, as a pod would hold it.
    let held =
        fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_DIRECTORY).open(&at).expect("opened");
    node.unstage().await.expect("unstaged");
    drop(dead);
    drop(held);
    world.assert_nothing_left(&node).await;
}
