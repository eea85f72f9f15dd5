//! Paths on a node. Checked as text here; the agent checks them again on the real filesystem.

use std::path::{Path, PathBuf};

use super::{Problems, shown};

/// Longest path, in bytes, with the final NUL left out (PATH_MAX of Linux).
const MAX_BYTES: usize = 4095;

/// Kubelet's folder: every path a request names must lie below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletDir(PathBuf);

/// The text is no folder that could be kubelet's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not an absolute path of a folder, without `.`, `..` and empty parts")]
pub struct KubeletDirError(String);

impl std::str::FromStr for KubeletDir {
    type Err = KubeletDirError;
    fn from_str(text: &str) -> Result<Self, KubeletDirError> {
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        match flaw(trimmed) {
            None => Ok(Self(trimmed.into())),
            Some(_) => Err(KubeletDirError(shown(text))),
        }
    }
}

impl KubeletDir {
    /// The folder.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// What is wrong with a path that should lie below the folder; `None` when nothing is.
    pub(crate) fn refusal(&self, text: &str) -> Option<String> {
        if let Some(flaw) = flaw(text) {
            return Some(flaw);
        }
        let below = Path::new(text).strip_prefix(&self.0).is_ok_and(|rest| !rest.as_os_str().is_empty());
        (!below).then(|| {
            format!(
                "{} is not below kubelet's folder {} (option --kubelet-dir)",
                shown(text),
                self.0.display()
            )
        })
    }

    /// The path in `field`, or a note.
    pub(crate) fn check(&self, field: &str, text: &str, problems: &mut Problems) -> Option<String> {
        match self.refusal(text) {
            None => Some(text.to_owned()),
            Some(refusal) => {
                problems.note(field, refusal);
                None
            }
        }
    }
}

fn flaw(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("must not be empty".to_owned());
    }
    if text.len() > MAX_BYTES {
        return Some(format!("{} is longer than {MAX_BYTES} bytes", shown(text)));
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Some(format!("{} is not an absolute path", shown(text)));
    };
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains(char::is_control);
    rest.split('/')
        .any(bad)
        .then(|| format!("{} contains an empty part, `.`, `..` or a control character", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kubelet() -> KubeletDir {
        "/var/lib/kubelet/".parse().expect("a folder")
    }

    #[test]
    fn paths_below_the_folder_are_allowed() {
        for path in ["/var/lib/kubelet/x", "/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/p/mount"] {
            assert_eq!(kubelet().refusal(path), None);
        }
    }

    #[test]
    fn no_path_leaves_the_folder() {
        for path in [
            "",
            "/",
            "relative",
            "/etc/passwd",
            "/var/lib/kubelet",
            "/var/lib/kubelet/",
            "/var/lib/kubelet2/x",
            "/var/lib/kubelet/../../../etc",
            "/var/lib/kubelet/./x",
            "/var/lib/kubelet//x",
            "/var/lib/kubelet/x\0y",
            "/var/lib/kubelet/x\ny",
        ] {
            assert!(kubelet().refusal(path).is_some(), "{path:?}");
        }
        let outside = kubelet().refusal("/etc/passwd").expect("refused");
        assert!(outside.contains("/etc/passwd") && outside.contains("/var/lib/kubelet"), "{outside}");
    }

    #[test]
    fn a_folder_that_could_not_be_kubelets_is_refused() {
        for text in ["", "/", "kubelet", "/var/../kubelet"] {
            assert!(text.parse::<KubeletDir>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_allowed_stays_below_after_any_reading(tail in "(/|\\.|\\.\\.|[a-z]{0,3}){0,12}") {
            let path = format!("/var/lib/kubelet/{tail}");
            if kubelet().refusal(&path).is_none() {
                prop_assert!(!path.split('/').skip(1).any(|part| part.is_empty() || part == "." || part == ".."));
            }
        }
    }
}
