//! Where promtool and Prometheus are: in the cache of `tests/tools`, or installed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::{find_tool, loudly};

/// The tool, or `None` after saying loudly that `test` is left out and what is not proven thereby.
///
/// # Panics
/// Where `CI` is set: there everything is to be proven.
pub(crate) fn needed(tool: &str, test: &str, proves: &str) -> Option<PathBuf> {
    let found = built(tool).or_else(|| find_tool(tool));
    if found.is_none() {
        let advice = format!("{tool} is missing: `make monitoring` gets it");
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        loudly(&format!("LEFT OUT {test}: {advice}; not proven here: {proves}"));
    }
    found
}

/// What the script that builds pinned tools has in its cache.
fn built(tool: &str) -> Option<PathBuf> {
    let script = crate::path("tests/tools");
    if !script.is_file() {
        return None;
    }
    let asked = Command::new(script).args(["--path", tool]).stderr(Stdio::null()).output().ok()?;
    let file = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    (asked.status.success() && file.is_file()).then_some(file)
}
