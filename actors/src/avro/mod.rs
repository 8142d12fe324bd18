//! Azul's events in Avro: bulks are joined and split, and events read, without decoding them.

use serde::{Deserialize, Serialize};

/// The model version of a bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BulkVersion {
    /// A version whose schema is known.
    Known(ModelVersion),
    /// Newer than this program: stored whole, never joined.
    Unknown(i64),
}

/// The model versions whose schemas are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelVersion {
    /// Bulks without a version field.
    V4,
    /// With `file_format_legacy`.
    V5,
    /// The present one.
    V6,
}
