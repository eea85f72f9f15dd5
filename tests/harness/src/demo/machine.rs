//! What the pods of the demo do with their volume: write, read, look at the size. With the tools a person would use.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Writes `bytes` of random data and waits until they are on the device.
pub(crate) fn write_random(file: &Path, bytes: u64) -> Result<()> {
    let random = File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    let mut target = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    std::io::copy(&mut random.take(bytes), &mut target)
        .and_then(|_| target.sync_all())
        .with_context(|| format!("cannot write {}", file.display()))
}

/// SHA-256 of a file in hex, by `sha256sum`.
pub(crate) fn checksum(file: &Path) -> Result<String> {
    let text = output(Command::new("sha256sum").arg("--").arg(file))?;
    let sum = text.split(' ').next().unwrap_or_default();
    if sum.len() == 64 { Ok(sum.to_owned()) } else { bail!("sha256sum said {text:?}") }
}

/// Size of the filesystem mounted at `path` in bytes, as statfs has it.
pub(crate) fn filesystem_size(path: &Path) -> Result<u64> {
    let text = output(Command::new("stat").args(["--file-system", "--format=%b %S", "--"]).arg(path))?;
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(blocks)), Some(Ok(size))) => Ok(blocks * size),
        _ => bail!("stat said {text:?}"),
    }
}

/// Writes and syncs, which must fail: the session to the volume was cut. Answers the system's words.
pub(crate) fn write_must_fail(file: &Path) -> Result<String> {
    let mut options = OpenOptions::new();
    let written = options.write(true).create(true).truncate(false).open(file).and_then(|mut open| {
        open.write_all(&[0x5a; 1 << 20])?;
        open.sync_all()
    });
    match written {
        Ok(()) => bail!("a write to {} went through after the volume was taken away", file.display()),
        Err(error) => Ok(error.to_string()),
    }
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name} (package coreutils)"))?;
    if !output.status.success() {
        bail!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
