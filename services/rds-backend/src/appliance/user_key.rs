//! The ed25519 key we log in with. Read anew for each connection, so that a replaced file is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::{Algorithm, PrivateKeyWithHashAlg};

/// Where the key is, and what opens it.
#[derive(Debug, Clone)]
pub struct UserKey {
    /// The key, in OpenSSH's format.
    pub file: PathBuf,
    /// A file whose first line is the passphrase; `None` for a key without one.
    pub passphrase: Option<PathBuf>,
}

/// The key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the SSH key {} cannot be used: {problem}", path.display())]
pub(crate) struct UserKeyError {
    path: PathBuf,
    problem: String,
}

impl UserKey {
    /// The key as it is in its file now.
    pub(crate) async fn read(&self) -> Result<PrivateKeyWithHashAlg, UserKeyError> {
        let unusable = |problem: String| UserKeyError { path: self.file.clone(), problem };
        let locked_text = text(&self.file).await.map_err(unusable)?;
        let passphrase = match &self.passphrase {
            None => None,
            Some(file) => {
                let text = text(file)
                    .await
                    .map_err(|problem| unusable(format!("its passphrase {}: {problem}", file.display())))?;
                Some(text.lines().next().unwrap_or_default().to_owned())
            }
        };
        let locked = passphrase.is_none();
        // A passphrase is stretched on purpose: not on a worker.
        let key = tokio::task::spawn_blocking(move || {
            russh::keys::decode_secret_key(&locked_text, passphrase.as_deref())
        })
        .await
        .map_err(|error| unusable(error.to_string()))?
        .map_err(|error| match error {
            russh::keys::Error::KeyIsEncrypted if locked => {
                unusable("it has a passphrase; give it with --ssh-key-passphrase".to_owned())
            }
            other => unusable(other.to_string()),
        })?;
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(unusable(format!(
                "it is {}, only ed25519 is used; make one with: ssh-keygen -t ed25519 -N '' -f {}",
                key.algorithm(),
                self.file.display()
            )));
        }
        Ok(PrivateKeyWithHashAlg::new(Arc::new(key), None))
    }
}

async fn text(path: &Path) -> Result<String, String> {
    tokio::fs::read_to_string(path).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::LineEnding;

    fn written(folder: &Path, key: &PrivateKey) -> UserKey {
        let file = folder.join("key");
        std::fs::write(&file, key.to_openssh(LineEnding::LF).expect("text").as_bytes()).expect("written");
        UserKey { file, passphrase: None }
    }

    fn new_key() -> PrivateKey {
        PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).expect("a key")
    }

    #[tokio::test]
    async fn a_key_with_a_passphrase_opens_with_it_and_with_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let locked = new_key().encrypt(&mut russh::keys::key::safe_rng(), "open sesame").expect("locked");
        let mut key = written(folder.path(), &locked);
        let error = key.read().await.expect_err("locked").to_string();
        assert!(error.contains("--ssh-key-passphrase"), "{error}");
        let passphrase = folder.path().join("passphrase");
        key.passphrase = Some(passphrase.clone());
        assert!(key.read().await.expect_err("no such file").to_string().contains("passphrase"));
        std::fs::write(&passphrase, "wrong\n").expect("written");
        let error = key.read().await.expect_err("wrong").to_string();
        assert!(!error.contains("wrong"), "a passphrase is never shown: {error}");
        std::fs::write(&passphrase, "open sesame\n").expect("written");
        key.read().await.expect("open");
    }

    #[tokio::test]
    async fn a_replaced_file_is_the_key_from_then_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = (new_key(), new_key());
        let key = written(folder.path(), &first);
        assert_eq!(key.read().await.expect("a key").public_key(), first.public_key());
        written(folder.path(), &second);
        assert_eq!(key.read().await.expect("a key").public_key(), second.public_key());
    }
}
