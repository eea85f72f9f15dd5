//! The kernel's side of a session on trees of files: what is seen, what is ended, what is left alone.

use super::*;
use crate::kernel::Path as Route;
use crate::request::tests::connection;
use std::fs;
use std::time::Duration;

fn controller(sys: &Path, name: &str, nqn: &str, state: &str) -> PathBuf {
    let folder = sys.join("class/nvme").join(name);
    fs::create_dir_all(&folder).expect("a folder");
    let files = [
        ("transport", "tcp"),
        ("subsysnqn", nqn),
        ("state", state),
        ("address", "traddr=127.0.0.1,trsvcid=4420,src_addr=127.0.0.1"),
        ("cntlid", "3"),
        ("delete_controller", ""),
    ];
    for (file, text) in files {
        fs::write(folder.join(file), text).expect("a file");
    }
    folder
}

fn linux(sys: &Path) -> Linux {
    Linux {
        fabrics: sys.join("nvme-fabrics"),
        sys: sys.to_owned(),
        prefixes: vec!["nqn.2026-09.io.srvlab:rds".parse().expect("a prefix")],
        lanes: Lanes::default(),
        pending: Pending::default(),
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// The kernel takes the controller away.
fn vanish(sys: &Path) {
    fs::rename(sys.join("class/nvme/nvme1"), sys.join("gone")).expect("gone");
}

fn told(controller: &Path) -> String {
    fs::read_to_string(controller.join("delete_controller")).expect("readable")
}

#[tokio::test]
async fn sessions_of_others_are_neither_seen_nor_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let boot = controller(folder.path(), "nvme0", "nqn.2014-08.org.nvmexpress:boot", "live");
    // A link-local address with its interface, as only others use.
    fs::write(boot.join("address"), "traddr=fe80::1%eth0,trsvcid=4420").expect("a file");
    let wanted = connection(3);
    let ours = controller(folder.path(), "nvme1", wanted.nqn.as_str(), "connecting");
    controller(folder.path(), "nvme2", wanted.nqn.as_str(), "live");
    let linux = linux(folder.path());
    let seen = linux.sessions(soon()).await.expect("a list");
    assert_eq!(seen.len(), 1, "two controllers to one subsystem are one session");
    assert_eq!((&seen[0].nqn, &seen[0].state), (&wanted.nqn, &State::Live));
    linux.disconnect(&seen[0], soon()).await.expect("told");
    let route = Route {
        controller: "nvme0".into(),
        identity: "3".into(),
        address: "127.0.0.1:4420".parse().expect("one"),
    };
    let nqn = "nqn.2014-08.org.nvmexpress:boot".parse().expect("an NQN");
    let of_boot = Session { nqn, state: State::Live, device: None, paths: vec![route] };
    linux.disconnect(&of_boot, soon()).await.expect("nothing to tell");
    assert_eq!((told(&ours), told(&boot)), ("1".to_owned(), String::new()));
}

#[tokio::test]
async fn a_controller_that_took_the_name_of_the_one_that_was_seen_is_not_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let wanted = connection(3);
    let other = connection(4);
    let linux = linux(folder.path());
    let change: [(&str, &str); 3] =
        [("cntlid", "4"), ("subsysnqn", other.nqn.as_str()), ("address", "traddr=127.0.0.2,trsvcid=4420")];
    for (attribute, value) in change {
        let ours = controller(folder.path(), "nvme1", wanted.nqn.as_str(), "live");
        let seen = linux.sessions(soon()).await.expect("a list").remove(0);
        fs::write(ours.join(attribute), value).expect("a file");
        let error = linux.disconnect(&seen, soon()).await.expect_err("another one");
        assert!(matches!(error, KernelError::Replaced { .. }), "{attribute}: {error}");
        assert_eq!(told(&ours), "", "{attribute}");
    }
    vanish(folder.path());
    let seen = Session {
        nqn: wanted.nqn,
        state: State::Live,
        device: None,
        paths: vec![Route { controller: "nvme1".into(), identity: "3".into(), address: wanted.addresses[0] }],
    };
    linux.disconnect(&seen, soon()).await.expect("it is gone");
}

#[tokio::test]
async fn a_session_that_was_asked_for_is_seen_until_the_kernel_has_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let linux = linux(folder.path());
    let wanted = connection(3);
    let asking = linux.pending.begin(&wanted.nqn, wanted.addresses[0]).expect("the first");
    let seen = linux.sessions(soon()).await.expect("a list");
    assert_eq!((seen.len(), &seen[0].state, &seen[0].nqn), (1, &State::Asked, &wanted.nqn));
    let again = linux.connect(&wanted, soon()).await.expect_err("not twice");
    assert!(matches!(again, ConnectError::AlreadyThere), "{again}");
    linux.disconnect(&seen[0], soon()).await.expect_err("there is nothing to end yet");
    // What came of it counts, and only once.
    controller(folder.path(), "nvme1", wanted.nqn.as_str(), "live");
    let seen = linux.sessions(soon()).await.expect("a list");
    assert_eq!((seen.len(), &seen[0].state), (1, &State::Live));
    drop(asking);
    vanish(folder.path());
    assert_eq!(linux.sessions(soon()).await.expect("a list"), []);
}

#[tokio::test]
async fn a_connect_that_nobody_waits_for_any_more_still_counts_while_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let linux = linux(folder.path());
    // A pipe that nobody reads: opening it for reading and writing succeeds, reading from it waits.
    nix::unistd::mkfifo(&linux.fabrics, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let wanted = connection(3);
    let soon_over = Deadline::after(Duration::from_millis(50));
    linux.connect(&wanted, soon_over).await.expect_err("nobody answers");
    let states = |all: Vec<Session>| all.into_iter().map(|session| session.state).collect::<Vec<_>>();
    assert_eq!(states(linux.sessions(soon()).await.expect("a list")), [State::Asked]);
    fs::write(&linux.fabrics, "nqn=%s\n").expect("an answer, though not one to connect with");
    let until = soon();
    while !linux.sessions(soon()).await.expect("a list").is_empty() && !until.has_passed() {
        tokio::task::yield_now().await;
    }
    assert_eq!(linux.sessions(soon()).await.expect("a list"), []);
}

#[tokio::test]
async fn a_node_without_the_module_is_told_what_to_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let linux = linux(folder.path());
    let error = linux.connect(&connection(3), soon()).await.expect_err("no device");
    assert!(error.to_string().contains("nvme-tcp"), "{error}");
    let missing = linux.missing(folder.path()).await;
    assert!(missing.iter().any(|lack| lack.grave && lack.why.contains("nvme-tcp")), "{missing:?}");
}
