//! Bulks decoded in full by apache-avro, event by event: the stand-in's and the audit's own eyes, which share the
//! schemas with the program under test, but not its walk.

use actors::avro::ModelVersion;
use actors::avro::schema::schema;
use actors::feed::Model;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;

/// One event of a bulk.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    /// The event as it stands in the bulk.
    pub bytes: &'a [u8],
    /// What it says.
    pub value: Value,
}

/// A bulk.
#[derive(Clone, Debug)]
pub struct Bulk<'a> {
    /// The version that it was read as.
    pub version: ModelVersion,
    /// Its events.
    pub events: Vec<Decoded<'a>>,
}

/// Reads a bulk of whatever known version it is; `None` if it is none of these.
pub fn bulk(model: Model, bytes: &[u8]) -> Option<Bulk<'_>> {
    let mut rest = bytes;
    let first = long(&mut rest)?;
    let named = ModelVersion::ALL
        .into_iter()
        .find(|version| version.number() == first && first > 4);
    let as_named = named.and_then(|version| {
        Some(Bulk {
            version,
            events: array(model, version, rest).ok()?,
        })
    });
    as_named.or_else(|| {
        let version = ModelVersion::V4;
        Some(Bulk {
            version,
            events: array(model, version, bytes).ok()?,
        })
    })
}

/// The events of an array that takes up all of `rest`.
///
/// # Errors
/// What does not decode.
pub fn array(model: Model, version: ModelVersion, mut rest: &[u8]) -> Result<Vec<Decoded<'_>>, String> {
    let reader = GenericDatumReader::builder(schema(model, version))
        .build()
        .map_err(|error| error.to_string())?;
    let mut events = Vec::new();
    loop {
        let count = long(&mut rest).ok_or("unexpected EOF")?;
        if count == 0 {
            break;
        }
        if count < 0 {
            long(&mut rest).ok_or("unexpected EOF")?;
        }
        for _ in 0..count.unsigned_abs() {
            let start = rest;
            let value = reader.read_value(&mut rest).map_err(|error| error.to_string())?;
            if rest.len() == start.len() || holds_null(&value) {
                return Err("unexpected EOF".to_owned());
            }
            events.push(Decoded {
                bytes: &start[..start.len() - rest.len()],
                value,
            });
        }
    }
    match rest.is_empty() {
        true => Ok(events),
        false => Err(format!("{} bytes are left over", rest.len())),
    }
}

/// apache-avro reads text that is not there as null, which no field of an event can be.
fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Record(fields) => fields.iter().any(|(_, value)| holds_null(value)),
        Value::Array(items) => items.iter().any(holds_null),
        Value::Map(entries) => entries.values().any(holds_null),
        _ => false,
    }
}

/// A zigzag varint.
pub fn long(rest: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
    }
    None
}

/// The field at the end of a way through records.
pub fn field<'a>(value: &'a Value, way: &[&str]) -> Option<&'a Value> {
    way.iter().try_fold(value, |value, name| match value {
        Value::Record(fields) => fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value),
        _ => None,
    })
}

/// The text at the end of a way through records; empty where there is none.
pub fn text<'a>(value: &'a Value, way: &[&str]) -> &'a str {
    match field(value, way) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

/// The items of the array at the end of a way through records.
pub fn items<'a>(value: &'a Value, way: &[&str]) -> &'a [Value] {
    match field(value, way) {
        Some(Value::Array(items)) => items,
        _ => &[],
    }
}

/// The time at the end of a way through records, in microseconds.
pub fn micros(value: &Value, way: &[&str]) -> i64 {
    match field(value, way) {
        Some(Value::TimestampMicros(micros) | Value::Long(micros)) => *micros,
        _ => 0,
    }
}

/// The longest text or map key anywhere in a value.
pub fn longest_text(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Record(fields) => fields
            .iter()
            .map(|(_, value)| longest_text(value))
            .max()
            .unwrap_or(0),
        Value::Array(items) => items.iter().map(longest_text).max().unwrap_or(0),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| key.len().max(longest_text(value)))
            .max()
            .unwrap_or(0),
        _ => 0,
    }
}
