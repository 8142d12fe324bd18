//! Events of chance, in JSON: mostly sensible, so that the rules are met and broken in about equal parts.

use serde_json::{Map, Value, json};

use crate::avro::ModelVersion;
use crate::avro::schema::{Record, Type, event_table};
use crate::feed::Model;
use crate::timestamp::Timestamp;

/// Bytes of chance; zeros when they are used up.
pub(super) struct Chance<'a>(pub(super) &'a [u8]);

const WORDS: [&str; 8] = ["x", "a text", "\u{e9}\u{20ac}", "", "../x", "a/b", "\0", "exe"];
const ACTIONS: [&str; 8] = [
    "sourced",
    "augmented",
    "extracted",
    "mapped",
    "enriched",
    "augmented",
    "",
    "downloaded",
];
const LABELS: [&str; 6] = ["content", "text", "content", "report", "a/b", ""];
const HEX: &str = "5cc7f416087731c86203a1789fd29c913bf8e6d46fcff7e9a85a5aed5405ab1c";

impl Chance<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn mostly(&mut self) -> bool {
        !self.byte().is_multiple_of(8)
    }

    fn of(&mut self, words: &[&str]) -> Value {
        let word = words[usize::from(self.byte()) % words.len()];
        if word == "a text" {
            word.repeat(usize::from(self.byte())).into()
        } else {
            word.into()
        }
    }

    fn number(&mut self) -> i64 {
        let bytes: Vec<u8> = (0..self.byte() % 9).map(|_| self.byte()).collect();
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | i64::from(*byte))
    }

    fn text(&mut self, field: &str) -> Value {
        match field {
            "action" => self.of(&ACTIONS),
            "label" => self.of(&LABELS),
            "sha256" if self.mostly() => HEX.into(),
            "name" if self.mostly() => "name".into(),
            _ => self.of(&WORDS),
        }
    }

    fn many(&mut self, mut one: impl FnMut(&mut Self) -> Value) -> Value {
        (0..self.byte() % 7).map(|_| one(self)).collect()
    }

    fn value(&mut self, field: &str, of: Type, version: ModelVersion) -> Value {
        match of {
            Type::Text => self.text(field),
            Type::Long => self.number().into(),
            Type::Time => Timestamp::from_micros(self.number()).to_string().into(),
            Type::Truth => self.mostly().into(),
            Type::Bytes => json!({"info": self.of(&WORDS)}),
            Type::Size(_) => self.number().unsigned_abs().into(),
            Type::Map => {
                let entries = self.byte() % 4;
                let entry = |index| (format!("key {index}"), self.of(&WORDS));
                Value::Object((0..entries).map(entry).collect::<Map<_, _>>())
            }
            Type::Texts => self.many(|chance| chance.of(&WORDS)),
            Type::One(table) => self.record(table, version),
            Type::Many(table) => self.many(|chance| chance.record(table, version)),
        }
    }

    fn record(&mut self, table: &Record, version: ModelVersion) -> Value {
        table
            .fields(version)
            .map(|field| (field.name.to_owned(), self.value(field.name, field.of, version)))
            .collect()
    }
}

pub(super) fn event(model: Model, version: ModelVersion, chance: &mut Chance<'_>) -> Value {
    chance.record(event_table(model), version)
}
