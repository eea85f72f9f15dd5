//! Messages of the contract as JSON values, every field by the name it has in the contract.
//!
//! Walks the descriptors, so a field that is added to the contract is shown without a line here. Sizes are integers in
//! bytes. A field that ends in `_unix` loses the ending and becomes RFC 3339. An enumeration is written as the options
//! of the command line have it: `single-node-filesystem`; a number stands for a value that this version does not know.
//! A message that is not set is null.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, Kind, ReflectMessage as _};
use proto::rds::volume::v1 as wire;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The contract. `None` cannot be: the descriptors are made with the messages, and a test reads them.
static CONTRACT: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTOR_SET).ok());
/// How the fields end that hold seconds since 1970.
const TIME_FIELD: &str = "_unix";

/// A message that commands print.
pub(crate) trait Shown: prost::Message {
    /// Its name in `rds.volume.v1`.
    const NAME: &'static str;
}

impl Shown for wire::Volume {
    const NAME: &'static str = "Volume";
}
impl Shown for wire::Snapshot {
    const NAME: &'static str = "Snapshot";
}
impl Shown for wire::ApplianceStatus {
    const NAME: &'static str = "ApplianceStatus";
}
impl Shown for wire::GetCapacityResponse {
    const NAME: &'static str = "GetCapacityResponse";
}
impl Shown for wire::GetApplianceHealthResponse {
    const NAME: &'static str = "GetApplianceHealthResponse";
}
impl Shown for wire::AdoptVolumeResponse {
    const NAME: &'static str = "AdoptVolumeResponse";
}
impl Shown for wire::AdoptClusterResponse {
    const NAME: &'static str = "AdoptClusterResponse";
}
impl Shown for wire::RepairCommentResponse {
    const NAME: &'static str = "RepairCommentResponse";
}
impl Shown for wire::QualifyResponse {
    const NAME: &'static str = "QualifyResponse";
}
impl Shown for wire::DetachVolumeResponse {
    const NAME: &'static str = "DetachVolumeResponse";
}
impl Shown for wire::DeleteSnapshotResponse {
    const NAME: &'static str = "DeleteSnapshotResponse";
}

/// The message with all its fields.
pub(crate) fn value<M: Shown>(message: &M) -> Value {
    let descriptor = CONTRACT
        .as_ref()
        .and_then(|contract| contract.get_message_by_name(&format!("rds.volume.v1.{}", M::NAME)));
    let dynamic = descriptor
        .and_then(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok());
    dynamic.map_or(Value::Null, |dynamic| of_message(&dynamic))
}

/// The messages as a list.
pub(crate) fn values<M: Shown>(messages: &[M]) -> Value {
    messages.iter().map(value).collect()
}

/// The message with further entries that are not part of it.
pub(crate) fn value_with<M: Shown>(message: &M, more: &[(&str, Value)]) -> Value {
    let mut value = value(message);
    if let Value::Object(entries) = &mut value {
        entries.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    }
    value
}

fn of_message(message: &DynamicMessage) -> Value {
    let mut entries = Map::new();
    for field in message.descriptor().fields() {
        let value = message.get_field(&field);
        let (name, value) = match (field.name().strip_suffix(TIME_FIELD), &*value) {
            (Some(name), prost_reflect::Value::I64(seconds)) => (name, moment(*seconds).into()),
            _ if field.supports_presence() && !message.has_field(&field) => (field.name(), Value::Null),
            (_, value) => (field.name(), of_value(value, &field.kind())),
        };
        entries.insert(name.to_owned(), value);
    }
    Value::Object(entries)
}

fn of_value(value: &prost_reflect::Value, kind: &Kind) -> Value {
    use prost_reflect::Value as Wire;
    match value {
        Wire::Bool(value) => (*value).into(),
        Wire::I32(value) => (*value).into(),
        Wire::I64(value) => (*value).into(),
        Wire::U32(value) => (*value).into(),
        Wire::U64(value) => (*value).into(),
        Wire::F32(value) => (*value).into(),
        Wire::F64(value) => (*value).into(),
        Wire::String(value) => value.as_str().into(),
        Wire::Bytes(value) => value.iter().copied().collect(),
        Wire::EnumNumber(number) => match kind {
            Kind::Enum(kind) => of_enum(kind, *number),
            _ => (*number).into(),
        },
        Wire::Message(message) => of_message(message),
        Wire::List(values) => values.iter().map(|value| of_value(value, kind)).collect(),
        // The contract of volumes has no maps.
        Wire::Map(_) => Value::Null,
    }
}

fn of_enum(kind: &EnumDescriptor, number: i32) -> Value {
    let prefix: String = kind.name().chars().fold(String::new(), |prefix, c| {
        let gap = if c.is_ascii_uppercase() && !prefix.is_empty() { "_" } else { "" };
        prefix + gap + &c.to_ascii_uppercase().to_string()
    });
    kind.get_value(number).map_or(number.into(), |value| plain(value.name(), &(prefix + "_")).into())
}

/// `ACCESS_CLASS_SINGLE_NODE_BLOCK` without its prefix: `single-node-block`.
fn plain(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().replace('_', "-")
}

/// An access class as text.
pub(crate) fn class(number: i32) -> String {
    wire::AccessClass::try_from(number)
        .map_or_else(|_| format!("class {number}"), |class| plain(class.as_str_name(), "ACCESS_CLASS_"))
}

/// A kind of mismatch as text.
pub(crate) fn mismatch(number: i32) -> String {
    wire::mismatch::Kind::try_from(number)
        .map_or_else(|_| format!("kind {number}"), |kind| plain(kind.as_str_name(), "KIND_"))
}

/// Seconds since 1970 as RFC 3339, in UTC; empty for what no calendar has.
pub(crate) fn moment(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_field_is_there_with_sizes_as_integers_and_enumerations_in_words() {
        let volume = wire::Volume {
            handle: "rds1/csi-1".to_owned(),
            size_bytes: u64::MAX,
            access_class: wire::AccessClass::MultiNodeBlock.into(),
            attachments: vec![wire::Attachment { node_id: "n1".to_owned(), read_only: true }],
            ..wire::Volume::default()
        };
        let expected = json!({
            "handle": "rds1/csi-1", "size_bytes": u64::MAX, "epoch": 0, "formatted": false,
            "attachments": [{ "node_id": "n1", "read_only": true }], "access_class": "multi-node-block",
            "addresses": [], "appliance": "", "directory": "", "content_source": "", "claim": null,
        });
        assert_eq!(value(&volume), expected);
        let unknown = wire::Volume { access_class: 77, ..wire::Volume::default() };
        assert_eq!(value(&unknown)["access_class"], 77);
    }

    #[test]
    fn times_are_rfc_3339() {
        let snapshot = wire::Snapshot { created_unix: 1_800_000_000, ..wire::Snapshot::default() };
        let value = value(&snapshot);
        assert_eq!(value["created"], "2027-01-15T08:00:00Z");
        assert_eq!(value.get("created_unix"), None);
        assert_eq!(moment(i64::MAX), "");
    }

    #[test]
    fn the_contract_knows_every_message_that_is_printed() {
        let shown = [
            value(&wire::Volume::default()),
            value(&wire::Snapshot::default()),
            value(&wire::ApplianceStatus::default()),
            value(&wire::GetCapacityResponse::default()),
            value(&wire::GetApplianceHealthResponse::default()),
            value(&wire::AdoptVolumeResponse::default()),
            value(&wire::AdoptClusterResponse::default()),
            value(&wire::RepairCommentResponse::default()),
            value(&wire::QualifyResponse::default()),
            value(&wire::DetachVolumeResponse::default()),
            value(&wire::DeleteSnapshotResponse::default()),
        ];
        assert!(shown.iter().all(Value::is_object), "{shown:?}");
    }

    #[test]
    fn words_of_the_contract_lose_their_prefix() {
        assert_eq!(class(wire::AccessClass::SingleNodeFilesystem.into()), "single-node-filesystem");
        assert_eq!(mismatch(wire::mismatch::Kind::DamagedMark.into()), "damaged-mark");
        assert_eq!((class(99).as_str(), mismatch(99).as_str()), ("class 99", "kind 99"));
    }
}
