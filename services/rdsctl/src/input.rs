//! Text of the command line, read into what CSI's messages hold.

use std::collections::BTreeMap;

use proto::csi::v1 as csi;
use proto::csi::v1::volume_capability::access_mode::Mode;
use proto::csi::v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use proto::rds::volume::v1::AccessClass;
use proto::size::ByteSize;

use crate::message;

/// How a volume is used.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CapabilityOptions {
    /// Filesystem: ext4, xfs or btrfs; without it the driver's default
    #[arg(long, value_name = "FS", conflicts_with = "block")]
    fs: Option<String>,
    /// Raw block instead of a filesystem
    #[arg(long)]
    block: bool,
    /// CSI access mode, or RWO, RWOP, ROX, RWX
    #[arg(long, value_name = "MODE", default_value = "SINGLE_NODE_WRITER", value_parser = access_mode)]
    access_mode: Mode,
    /// Mount option; may be given several times
    #[arg(long = "mount-option", value_name = "OPTION", conflicts_with = "block")]
    mount_options: Vec<String>,
}

impl CapabilityOptions {
    pub(crate) fn capability(&self) -> csi::VolumeCapability {
        let access_type = if self.block {
            AccessType::Block(BlockVolume {})
        } else {
            AccessType::Mount(MountVolume {
                fs_type: self.fs.clone().unwrap_or_default(),
                mount_flags: self.mount_options.clone(),
                ..MountVolume::default()
            })
        };
        csi::VolumeCapability {
            access_mode: Some(AccessMode { mode: self.access_mode.into() }),
            access_type: Some(access_type),
        }
    }
}

/// CSI's name of a mode, or Kubernetes' abbreviation.
fn access_mode(text: &str) -> Result<Mode, String> {
    match text {
        "RWO" => Ok(Mode::SingleNodeWriter),
        "RWOP" => Ok(Mode::SingleNodeSingleWriter),
        "ROX" => Ok(Mode::MultiNodeReaderOnly),
        "RWX" => Ok(Mode::MultiNodeMultiWriter),
        name => Mode::from_str_name(name).ok_or_else(|| {
            let names = (1..8).filter_map(|number| Mode::try_from(number).ok());
            let names: Vec<_> = names.map(|mode| mode.as_str_name()).collect();
            format!("allowed are RWO, RWOP, ROX, RWX, {}", names.join(", "))
        }),
    }
}

/// A size such as `2Gi`, in bytes.
pub(crate) fn bytes(text: &str) -> Result<i64, String> {
    let size: ByteSize = text.parse().map_err(|error: proto::size::SizeError| error.to_string())?;
    i64::try_from(size.bytes()).map_err(|_| format!("{size} is larger than CSI can say"))
}

/// A capacity range; `None` when neither is given.
pub(crate) fn range(required: Option<i64>, limit: Option<i64>) -> Option<csi::CapacityRange> {
    (required.is_some() || limit.is_some()).then(|| csi::CapacityRange {
        required_bytes: required.unwrap_or(0),
        limit_bytes: limit.unwrap_or(0),
    })
}

/// A size such as `2Gi`, in bytes, for our own services.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    text.parse().map(ByteSize::bytes).map_err(|error: proto::size::SizeError| error.to_string())
}

/// An access class, as the commands print it.
pub(crate) fn access_class(text: &str) -> Result<AccessClass, String> {
    let allowed = [
        AccessClass::SingleNodeFilesystem,
        AccessClass::SingleNodeBlock,
        AccessClass::MultiNodeBlock,
        AccessClass::MultiNodeReader,
    ];
    let named = allowed.into_iter().find(|allowed| message::class((*allowed).into()) == text);
    named.ok_or_else(|| {
        let names: Vec<_> = allowed.into_iter().map(|allowed| message::class(allowed.into())).collect();
        format!("allowed are {}", names.join(", "))
    })
}

/// What stands for a cluster in the marks of its volumes: eight hex digits.
pub(crate) fn cluster_mark(text: &str) -> Result<String, String> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == 8 && text.bytes().all(hex) {
        Ok(text.to_owned())
    } else {
        Err("write eight hex digits, lower case, as in 1f2e3d4c".to_owned())
    }
}

/// `KEY=VALUE`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// `NAMESPACE/NAME`.
pub(crate) fn claim(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        Some(_) | None => Err("write NAMESPACE/NAME".to_owned()),
    }
}

/// A context: JSON, or `@FILE` with JSON; either the map itself, or an answer of `rdsctl csi create` that holds it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContextText(pub(crate) BTreeMap<String, String>);

impl std::str::FromStr for ContextText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = match text.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
            None => text.to_owned(),
        };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let value = match value.get("volume_context") {
            Some(inner) => inner.clone(),
            None => value,
        };
        serde_json::from_value(value)
            .map(Self)
            .map_err(|error| format!("a JSON object of strings is wanted: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_modes_have_their_csi_name_or_kubernetes_abbreviation() {
        assert_eq!(access_mode("RWOP"), Ok(Mode::SingleNodeSingleWriter));
        assert_eq!(access_mode("MULTI_NODE_SINGLE_WRITER"), Ok(Mode::MultiNodeSingleWriter));
        assert!(access_mode("RW").unwrap_err().contains("SINGLE_NODE_WRITER"));
    }

    #[test]
    fn sizes_are_exact() {
        assert_eq!(bytes("2Gi"), Ok(2 << 30));
        assert_eq!(bytes("1"), Ok(1));
        assert!(bytes("2G").is_err() && bytes("9999999Ti").is_err());
    }

    #[test]
    fn classes_and_marks_are_read_as_they_are_printed() {
        assert_eq!(access_class("multi-node-block"), Ok(AccessClass::MultiNodeBlock));
        assert!(access_class("unspecified").unwrap_err().contains("single-node-filesystem"));
        assert_eq!(cluster_mark("1f2e3d4c"), Ok("1f2e3d4c".to_owned()));
        for wrong in ["1F2E3D4C", "1f2e3d4", "1f2e3d4c5", "1f2e3d4g", ""] {
            assert!(cluster_mark(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size("1Gi"), Ok(1 << 30));
        assert!(size("1G").is_err());
    }

    #[test]
    fn a_context_is_json_or_a_file_or_what_create_printed() {
        let plain: ContextText = r#"{"epoch":"1"}"#.parse().unwrap();
        assert_eq!(plain.0["epoch"], "1");
        let created: ContextText = r#"{"volume_id":"x","volume_context":{"fsType":"xfs"}}"#.parse().unwrap();
        assert_eq!(created.0["fsType"], "xfs");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"a":"b"}"#).unwrap();
        let read: ContextText = format!("@{}", file.path().display()).parse().unwrap();
        assert_eq!(read.0["a"], "b");
        assert!("@/nonexistent".parse::<ContextText>().unwrap_err().contains("/nonexistent"));
        assert!(r#"{"a":1}"#.parse::<ContextText>().is_err());
    }

    #[test]
    fn claims_and_parameters_have_two_parts() {
        assert_eq!(claim("demo/data"), Ok(("demo".to_owned(), "data".to_owned())));
        assert!(claim("data").is_err() && claim("/data").is_err());
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("a").is_err());
    }
}
