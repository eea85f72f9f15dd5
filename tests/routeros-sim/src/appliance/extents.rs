//! Copies of files that keep their holes: images of a terabyte with a filesystem just made hold a few megabytes.

use std::ffi::c_int;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;

unsafe extern "C" {
    // It takes plain numbers and touches no memory of ours.
    safe fn lseek(fd: c_int, offset: i64, whence: c_int) -> i64;
}

/// From Linux' `unistd.h`.
const SEEK_DATA: c_int = 3;
const SEEK_HOLE: c_int = 4;

/// Copies bytes and holes of `source` to `copy`, which must not exist.
pub(super) fn copy(source: &Path, copy: &Path) -> io::Result<u64> {
    let mut from = File::open(source)?;
    let mut to = File::create_new(copy)?;
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let seek = |from: &File, at: u64, whence: c_int| -> Option<u64> {
        u64::try_from(lseek(from.as_raw_fd(), i64::try_from(at).ok()?, whence)).ok()
    };
    let mut at = 0;
    // No more data behind `at`: the rest is a hole.
    while let Some(start) = seek(&from, at, SEEK_DATA) {
        let end = seek(&from, start, SEEK_HOLE).unwrap_or(length);
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        io::copy(&mut (&mut from).take(end - start), &mut to)?;
        at = end;
    }
    to.flush()?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let folder = tempfile::tempdir().unwrap();
        let (source, to) = (folder.path().join("a"), folder.path().join("b"));
        let mut file = File::create(&source).unwrap();
        file.set_len(1 << 30).unwrap();
        for at in [0, 5 << 20, (1 << 30) - 3] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(b"abc").unwrap();
        }
        assert_eq!(copy(&source, &to).unwrap(), 1 << 30);
        assert!(to.metadata().unwrap().blocks() * 512 < 64 << 20, "the holes are kept");
        let mut read = File::open(&to).unwrap();
        for at in [0, 5 << 20, (1 << 30) - 3] {
            let mut bytes = [0; 3];
            read.seek(SeekFrom::Start(at)).unwrap();
            read.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"abc");
        }
        assert!(copy(&source, &to).is_err(), "what exists is not written over");
    }
}
