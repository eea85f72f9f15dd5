//! One controller: what tells it from others, and its end. Its folder in sysfs is opened once and stays the folder of that
//! very controller, so what was compared is what is deleted, whoever is given its name meanwhile.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path as FilePath;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use proto::nqn::Nqn;

use crate::kernel::{KernelError, Path};
use crate::sysfs::{self, Controller};

/// A controller as a path of its session.
pub(super) fn path_of(controller: &Controller) -> io::Result<Path> {
    let name = controller.name();
    let address = controller
        .address
        .ok_or_else(|| io::Error::other(format!("the address of {name} is not understood")))?;
    Ok(Path { controller: name, identity: controller.cntlid.clone(), address })
}

fn attribute(folder: &OwnedFd, name: &str) -> io::Result<String> {
    let mut text = String::new();
    let file = openat(folder, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    File::from(file).read_to_string(&mut text)?;
    Ok(text.trim_end().to_owned())
}

/// Deletes a controller if it is still the one that was seen. One that is gone needs no telling.
pub(super) fn end(sys: &FilePath, nqn: &Nqn, seen: &Path) -> Result<(), KernelError> {
    let class = sys.join("class/nvme");
    let about =
        |error: io::Error| KernelError::system(format!("deleting {} of {nqn}", seen.controller), error);
    // Asked for and not answered: there is nothing to delete yet.
    if seen.controller.is_empty() {
        return Err(about(io::Error::other("it is still being made")));
    }
    match delete(&class.join(&seen.controller), nqn, seen) {
        Ok(true) => Ok(()),
        Ok(false) => Err(KernelError::Replaced { controller: seen.controller.clone(), nqn: nqn.clone() }),
        Err(error) if is_gone(&error) => Ok(()),
        Err(error) => Err(about(error)),
    }
}

/// False when it is another one.
fn delete(folder: &FilePath, nqn: &Nqn, seen: &Path) -> io::Result<bool> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let folder = nix::fcntl::open(folder, flags, Mode::empty())?;
    let same = attribute(&folder, "transport")? == "tcp"
        && attribute(&folder, "subsysnqn")? == nqn.as_str()
        && attribute(&folder, "cntlid")? == seen.identity
        && sysfs::address(&attribute(&folder, "address")?) == Some(seen.address);
    if !same {
        return Ok(false);
    }
    let file = openat(&folder, "delete_controller", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    File::from(file).write_all(b"1")?;
    Ok(true)
}

fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::ENOENT, Errno::ENODEV, Errno::ENXIO];
    error.raw_os_error().is_some_and(|errno| gone.contains(&Errno::from_raw(errno)))
}
