//! The pinned host key of an appliance. It is configured, never learned.

use std::fmt;
use std::str::FromStr;

use russh::keys::ssh_key::Fingerprint;
use russh::keys::{HashAlg, PublicKey};

/// SHA-256 fingerprint of a host key, as `ssh-keygen -lf` prints it: `SHA256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey(Fingerprint);

/// The text is no host key.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is neither SHA256:… nor a line of known_hosts; on the appliance: /ip/ssh/print")]
pub struct HostKeyError(String);

impl HostKey {
    /// The fingerprint of a key.
    pub fn of(key: &PublicKey) -> Self {
        Self(key.fingerprint(HashAlg::Sha256))
    }
}

impl FromStr for HostKey {
    type Err = HostKeyError;

    /// Takes a fingerprint, a public key (`ssh-ed25519 AAAA…`), or a line of known_hosts (host name first).
    fn from_str(text: &str) -> Result<Self, HostKeyError> {
        let error = || HostKeyError(text.chars().take(100).collect());
        let text = text.trim();
        if text.starts_with("SHA256:") {
            return text.parse().map(Self).map_err(|_| error());
        }
        let key = text.find("ssh-").map(|at| &text[at..]).ok_or_else(error)?;
        PublicKey::from_openssh(key).map(|key| Self::of(&key)).map_err(|_| error())
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0XBoCIKq2C4Zq8vR1kYCQJKZcMgd6pM1GBR3eUe2uh";

    #[test]
    fn a_key_a_line_of_known_hosts_and_the_fingerprint_are_the_same_pin() {
        let key: HostKey = KEY.parse().expect("a key");
        let line: HostKey = format!("[10.0.0.2]:22 {KEY}").parse().expect("a line");
        let fingerprint: HostKey = key.to_string().parse().expect("a fingerprint");
        assert!(key == line && key == fingerprint);
        assert!(key.to_string().starts_with("SHA256:"));
    }

    #[test]
    fn anything_else_is_refused_with_the_command_that_shows_the_key() {
        for text in ["", "MD5:00", "SHA256:short", "ssh-ed25519 nonsense"] {
            let error = text.parse::<HostKey>().expect_err("no key").to_string();
            assert!(error.contains("/ip/ssh/print"), "{error}");
        }
    }
}
