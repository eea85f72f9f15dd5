//! Enumerations as the names an operator reads, for messages that are printed.

use serde::Serializer;

use crate::rds::volume::v1::{AccessClass, mismatch};

/// `SINGLE_NODE_FILESYSTEM`; a number this version does not know stays one.
pub(crate) fn access_class<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    match AccessClass::try_from(*value) {
        Ok(class) => serializer.serialize_str(class.as_str_name().trim_start_matches("ACCESS_CLASS_")),
        Err(_) => serializer.serialize_i32(*value),
    }
}

/// `IMAGE_WITHOUT_DISK`; a number this version does not know stays one.
pub(crate) fn mismatch<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    match mismatch::Kind::try_from(*value) {
        Ok(kind) => serializer.serialize_str(kind.as_str_name().trim_start_matches("KIND_")),
        Err(_) => serializer.serialize_i32(*value),
    }
}
