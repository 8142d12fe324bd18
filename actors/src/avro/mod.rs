//! Azul's events in Avro: bulks are joined and split, and events read, without decoding them.
//!
//! | question | place |
//! | --- | --- |
//! | How is one event read? | [`walk`]: over the schema, skipping what nobody asks for |
//! | Is it valid, which binaries does it ask for? | [`validity`] |
//! | What does a received bulk hold? | [`bulk`], with an own answer for versions that are too new: [`newer`] |
//! | How does a bundle come into being? | [`join`]: from the blocks of the bulks, byte for byte |
//! | What is the whole of it, for people? | [`schema`] and [`json`], by apache-avro |
//!
//! The walk and the schemas are written independently of each other and held against each other by tests.

use serde::{Deserialize, Serialize};

pub mod bulk;
pub(crate) mod cursor;
#[cfg(any(test, feature = "testkit"))]
pub mod differential;
#[cfg(any(test, feature = "testkit"))]
pub mod encode;
pub mod join;
pub mod json;
pub mod newer;
mod scanned;
pub mod schema;
pub mod validity;
pub mod walk;
mod window;

#[cfg(test)]
mod tests;

pub use cursor::WalkError;

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

impl ModelVersion {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::V4, Self::V5, Self::V6];

    /// The number on the wire.
    pub const fn number(self) -> i64 {
        match self {
            Self::V4 => 4,
            Self::V5 => 5,
            Self::V6 => 6,
        }
    }

    /// Whether a bulk of this version begins with its version.
    pub const fn is_written_in_bulks(self) -> bool {
        !matches!(self, Self::V4)
    }

    /// Whether `file_format_legacy` stands before every `file_format`.
    pub(crate) const fn has_legacy_format(self) -> bool {
        matches!(self, Self::V4 | Self::V5)
    }

    /// Whether a source has `settings`.
    pub(crate) const fn has_settings(self) -> bool {
        !matches!(self, Self::V4)
    }
}
