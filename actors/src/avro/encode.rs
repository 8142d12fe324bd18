//! Makes events and bulks, for tests: from JSON as Azul writes it, by the tables of [`schema`](super::schema).
//! What the JSON leaves out is empty.

use serde_json::{Map, Value};

use super::ModelVersion;
use super::cursor::write_long;
use super::schema::{Record, Type, event_table};
use crate::feed::Model;
use crate::timestamp::Timestamp;

/// How arrays and maps are cut into blocks, decided by bytes of chance. Without any left: one block with a size,
/// as Azul's own encoder writes.
#[derive(Clone, Debug, Default)]
pub struct Framing<'a> {
    chance: &'a [u8],
}

impl<'a> Framing<'a> {
    /// Blocks as `chance` has it.
    pub fn by(chance: &'a [u8]) -> Self {
        Self { chance }
    }

    fn next(&mut self) -> u8 {
        let (first, rest) = self.chance.split_first().unwrap_or((&0, &[]));
        self.chance = rest;
        *first
    }

    /// Writes `items` as an array.
    pub fn array(&mut self, items: &[Vec<u8>], out: &mut Vec<u8>) {
        let mut rest = items;
        while !rest.is_empty() {
            let chance = self.next();
            let most = usize::from(chance >> 1);
            let count = if most == 0 {
                rest.len()
            } else {
                most.min(rest.len())
            };
            let (block, after) = rest.split_at(count);
            if chance & 1 == 0 {
                write_long(-(count as i64), out);
                write_long(block.iter().map(Vec::len).sum::<usize>() as i64, out);
            } else {
                write_long(count as i64, out);
            }
            block.iter().for_each(|item| out.extend_from_slice(item));
            rest = after;
        }
        write_long(0, out);
    }
}

/// One event.
pub fn event(model: Model, version: ModelVersion, json: &Value, framing: &mut Framing<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    record(event_table(model), version, json, framing, &mut out);
    out
}

/// A bulk of encoded events.
pub fn bulk(version: ModelVersion, events: &[Vec<u8>], framing: &mut Framing<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    if version.is_written_in_bulks() {
        write_long(version.number(), &mut out);
    }
    framing.array(events, &mut out);
    out
}

fn record(table: &Record, version: ModelVersion, json: &Value, framing: &mut Framing<'_>, out: &mut Vec<u8>) {
    for field in table.fields(version) {
        let value = json.get(field.name).unwrap_or(&Value::Null);
        encode(field.of, version, value, framing, out);
    }
}

fn encode(of: Type, version: ModelVersion, json: &Value, framing: &mut Framing<'_>, out: &mut Vec<u8>) {
    match of {
        Type::Text => text(json.as_str().unwrap_or_default(), out),
        Type::Long => write_long(json.as_i64().unwrap_or_default(), out),
        Type::Time => write_long(time(json).as_micros(), out),
        Type::Truth => out.push(u8::from(json.as_bool().unwrap_or_default())),
        Type::Bytes if json.is_null() => write_long(0, out),
        Type::Bytes => text(&json.to_string(), out),
        Type::Size(_) => out.extend_from_slice(&json.as_u64().unwrap_or_default().to_be_bytes()),
        Type::One(table) => record(table, version, json, framing, out),
        Type::Map => {
            let none = Map::new();
            let entries = json.as_object().unwrap_or(&none).iter();
            let entries: Vec<Vec<u8>> = entries
                .map(|(key, value)| {
                    let mut entry = Vec::new();
                    text(key, &mut entry);
                    text(value.as_str().unwrap_or_default(), &mut entry);
                    entry
                })
                .collect();
            framing.array(&entries, out);
        }
        Type::Texts => many(json, framing, out, |item, _, out| {
            text(item.as_str().unwrap_or_default(), out)
        }),
        Type::Many(table) => many(json, framing, out, |item, framing, out| {
            record(table, version, item, framing, out);
        }),
    }
}

fn many<'a>(
    json: &Value,
    framing: &mut Framing<'a>,
    out: &mut Vec<u8>,
    one: impl Fn(&Value, &mut Framing<'a>, &mut Vec<u8>),
) {
    let none = Vec::new();
    let items: Vec<Vec<u8>> = json
        .as_array()
        .unwrap_or(&none)
        .iter()
        .map(|item| {
            let mut encoded = Vec::new();
            one(item, framing, &mut encoded);
            encoded
        })
        .collect();
    framing.array(&items, out);
}

fn text(text: &str, out: &mut Vec<u8>) {
    write_long(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

/// A time left out is that of Azul's zero: the first instant of year 1.
fn time(json: &Value) -> Timestamp {
    let zero = Timestamp::from_micros(-62_135_596_800_000_000);
    json.as_str().and_then(|text| text.parse().ok()).unwrap_or(zero)
}
