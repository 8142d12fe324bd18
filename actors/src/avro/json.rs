//! Events in full, for people: decoded by apache-avro, written as Azul itself writes them in JSON.
//!
//! All fields are there, empty ones too. Times are RFC 3339, sizes and offsets numbers, `info` the JSON that its
//! bytes hold.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use serde_json::json;

use super::ModelVersion;
use super::schema::schema;
use crate::feed::Model;
use crate::timestamp::Timestamp;

/// The event cannot be decoded in full; a walk may still succeed, for it is content with text that is not UTF-8.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// What the decoder says.
    #[error("the event cannot be decoded: {0}")]
    Avro(#[from] Box<apache_avro::Error>),
    /// It ends within a field, or has bytes behind its last.
    #[error("the event has other than {0} bytes")]
    Length(usize),
}

/// One event, decoded in full.
///
/// # Errors
/// See [`Undecodable`].
pub fn to_json(model: Model, version: ModelVersion, event: &[u8]) -> Result<serde_json::Value, Undecodable> {
    let mut rest = event;
    let value = decode(model, version, &mut rest)?;
    match value {
        Some(value) if rest.is_empty() => Ok(json_of(value)),
        _ => Err(Undecodable::Length(event.len())),
    }
}

/// Decodes the event at the front of `bytes` and moves past it. `None` if it ends too early: the decoder takes
/// text and truth values that are not there for null, which no field of an event can be.
pub(super) fn decode(
    model: Model,
    version: ModelVersion,
    bytes: &mut &[u8],
) -> Result<Option<Value>, Box<apache_avro::Error>> {
    let reader = GenericDatumReader::builder(schema(model, version)).build()?;
    let value = reader.read_value(bytes)?;
    Ok((!holds_null(&value)).then_some(value))
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Record(fields) => fields.iter().any(|(_, value)| holds_null(value)),
        Value::Array(items) => items.iter().any(holds_null),
        Value::Map(entries) => entries.values().any(holds_null),
        _ => false,
    }
}

pub(super) fn json_of(value: Value) -> serde_json::Value {
    match value {
        Value::Record(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, json_of(value)))
            .collect(),
        Value::Map(entries) => entries
            .into_iter()
            .map(|(name, value)| (name, json_of(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(json_of).collect(),
        Value::String(text) => text.into(),
        Value::Long(number) => number.into(),
        Value::Boolean(truth) => truth.into(),
        Value::TimestampMicros(micros) => Timestamp::from_micros(micros).to_string().into(),
        Value::Fixed(_, bytes) => match <[u8; 8]>::try_from(bytes.as_slice()) {
            Ok(bytes) => u64::from_be_bytes(bytes).into(),
            Err(_) => hex::encode(bytes).into(),
        },
        Value::Bytes(bytes) if bytes.is_empty() => json!(null),
        Value::Bytes(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|_| hex::encode(bytes).into()),
        // The schemas know no other types.
        _ => json!(null),
    }
}
