//! Where the tools are that `tests/tools` makes, and what a test does where they are not.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The binary of a tool in the cache. The error says which command makes it.
pub fn find(name: &str) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools");
    let output =
        Command::new(&script).args(["--path", name]).output().context("tests/tools cannot be run")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// True when every tool is there. Otherwise `test` is left out, loudly; in CI, where CI is set, that is a failure.
///
/// # Panics
/// In CI, when a tool is missing.
pub fn needs(tools: &[&str], test: &str, proves: &str) -> bool {
    let Some(lack) = tools.iter().find_map(|tool| find(tool).err()) else {
        return true;
    };
    let line = format!("LEFT OUT {test}: {lack}; not proven here: {proves}");
    assert!(std::env::var_os("CI").is_none(), "{line}");
    // The runner captures print!, not writes to the stream itself. Nothing can be done if the stream is closed.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    false
}
