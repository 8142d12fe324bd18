//! The Avro schemas of Azul's events, made from tables.
//!
//! Each root is one schema with its named types inlined at their first use: a list of schemas that refer to each
//! other is not parsed reliably. The walk does not use these tables; the two are held against each other by tests.

use std::collections::HashSet;
use std::sync::OnceLock;

use apache_avro::Schema;
use serde_json::{Value, json};

use super::ModelVersion;
use crate::feed::Model;

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    Text,
    Long,
    /// Microseconds since the epoch.
    Time,
    Truth,
    Bytes,
    /// An unsigned number of 8 bytes, under this name.
    Size(&'static str),
    /// A map of texts.
    Map,
    Texts,
    One(&'static Record),
    Many(&'static Record),
}

/// A record.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: &'static str,
    fields: &'static [Field],
}

/// A field, and the versions that have it.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) of: Type,
    first: ModelVersion,
    last: ModelVersion,
}

impl Record {
    /// The fields of one version, in their order.
    pub(super) fn fields(&self, version: ModelVersion) -> impl Iterator<Item = &'static Field> {
        let fields: &'static [Field] = self.fields;
        fields
            .iter()
            .filter(move |field| (field.first..=field.last).contains(&version))
    }
}

use ModelVersion::{V4, V5, V6};
use Type::{Bytes, Long, Many, Map, One, Size, Text, Texts, Time, Truth};

const fn field(name: &'static str, of: Type) -> Field {
    Field {
        name,
        of,
        first: V4,
        last: V6,
    }
}

const fn text(name: &'static str) -> Field {
    field(name, Text)
}

/// Up to version 5 it stands before every `file_format`.
const LEGACY: Field = Field {
    last: V5,
    ..text("file_format_legacy")
};

static AUTHOR: Record = Record {
    name: "EventAuthor",
    fields: &[text("name"), text("version"), text("category"), text("security")],
};

static PATH_NODE: Record = Record {
    name: "EventSourcePathNode",
    fields: &[
        field("author", One(&AUTHOR)),
        text("action"),
        text("sha256"),
        field("relationship", Map),
        field("timestamp", Time),
        LEGACY,
        text("file_format"),
        field("size", Size("source_size")),
        text("filename"),
        text("language"),
    ],
};

static SOURCE: Record = Record {
    name: "EventSource",
    fields: &[
        text("name"),
        field("references", Map),
        text("security"),
        field("path", Many(&PATH_NODE)),
        field("timestamp", Time),
        Field {
            first: V5,
            ..field("settings", Map)
        },
    ],
};

static FEATURE: Record = Record {
    name: "BinaryEntityFeature",
    fields: &[
        text("name"),
        text("value"),
        text("type"),
        text("label"),
        field("size", Size("feature_size")),
        field("offset", Size("datastream_offset")),
    ],
};

static DATASTREAM: Record = Record {
    name: "BinaryEntityDatastream",
    fields: &[
        field("identify_version", Long),
        text("label"),
        field("size", Size("datastream_size")),
        text("sha512"),
        text("sha256"),
        text("sha1"),
        text("md5"),
        text("ssdeep"),
        text("tlsh"),
        text("mime"),
        text("magic"),
        LEGACY,
        text("file_format"),
        text("file_extension"),
        text("language"),
    ],
};

static BINARY: Record = Record {
    name: "BinaryEntity",
    fields: &[
        text("sha256"),
        text("sha512"),
        text("sha1"),
        text("md5"),
        text("ssdeep"),
        text("tlsh"),
        field("size", Size("entity_size")),
        text("mime"),
        text("magic"),
        LEGACY,
        text("file_format"),
        text("file_extension"),
        field("info", Bytes),
        field("features", Many(&FEATURE)),
        field("datastreams", Many(&DATASTREAM)),
    ],
};

static FLAGS: Record = Record {
    name: "BinaryFlags",
    fields: &[
        field("bypass_cache", Truth),
        field("expedite", Truth),
        field("retry", Truth),
    ],
};

static BINARY_EVENT: Record = Record {
    name: "BinaryEvent",
    fields: &[
        field("model_version", Long),
        text("kafka_key"),
        field("timestamp", Time),
        field("author", One(&AUTHOR)),
        field("source", One(&SOURCE)),
        field("entity", One(&BINARY)),
        text("action"),
        text("dequeued"),
        field("retries", Long),
        field("flags", One(&FLAGS)),
        text("track_source_references"),
        field("track_links", Texts),
        field("track_authors", Texts),
    ],
};

static DELETE: Record = Record {
    name: "DeleteEntity",
    fields: &[
        text("reason"),
        field("submission", One(&DELETE_SUBMISSION)),
        field("author", One(&DELETE_AUTHOR)),
        field("link", One(&DELETE_LINK)),
        field("ids", One(&DELETE_IDS)),
    ],
};

static DELETE_SUBMISSION: Record = Record {
    name: "DeleteEntitySubmission",
    fields: &[text("track_source_references"), field("timestamp", Time)],
};

static DELETE_AUTHOR: Record = Record {
    name: "DeleteEntityAuthor",
    fields: &[text("track_author"), field("timestamp", Time)],
};

static DELETE_LINK: Record = Record {
    name: "DeleteEntityLink",
    fields: &[text("track_link")],
};

static DELETE_IDS: Record = Record {
    name: "DeleteEntityIDs",
    fields: &[field("ids", Texts)],
};

static DELETE_EVENT: Record = Record {
    name: "DeleteEvent",
    fields: &[
        field("model_version", Long),
        text("kafka_key"),
        field("timestamp", Time),
        field("author", One(&AUTHOR)),
        field("entity", One(&DELETE)),
        text("action"),
    ],
};

static INSERT: Record = Record {
    name: "InsertEntity",
    fields: &[
        text("original_source"),
        text("parent_sha256"),
        field("child", One(&BINARY)),
        field("child_history", One(&PATH_NODE)),
    ],
};

static INSERT_EVENT: Record = Record {
    name: "InsertEvent",
    fields: &[
        field("model_version", Long),
        text("kafka_key"),
        field("timestamp", Time),
        field("author", One(&AUTHOR)),
        field("entity", One(&INSERT)),
        text("track_link"),
        text("track_author"),
    ],
};

/// A bulk of each model.
static BULKS: [Record; 3] = [
    bulk(
        "BulkBinaryEvent",
        &[BULK_VERSION, field("events", Many(&BINARY_EVENT))],
    ),
    bulk(
        "BulkInsertEvent",
        &[BULK_VERSION, field("events", Many(&INSERT_EVENT))],
    ),
    bulk(
        "BulkDeleteEvent",
        &[BULK_VERSION, field("events", Many(&DELETE_EVENT))],
    ),
];

const BULK_VERSION: Field = Field {
    first: V5,
    ..field("model_version", Long)
};

const fn bulk(name: &'static str, fields: &'static [Field]) -> Record {
    Record { name, fields }
}

/// The table of a model's event.
pub(super) fn event_table(model: Model) -> &'static Record {
    match model {
        Model::Binary => &BINARY_EVENT,
        Model::Insert => &INSERT_EVENT,
        Model::Delete => &DELETE_EVENT,
    }
}

/// The schema of one event.
pub fn schema(model: Model, version: ModelVersion) -> &'static Schema {
    static SCHEMAS: [OnceLock<Schema>; 9] = [const { OnceLock::new() }; 9];
    SCHEMAS[model as usize * 3 + version as usize].get_or_init(|| parse(event_table(model), version))
}

/// The schema of a bulk.
pub fn bulk_schema(model: Model, version: ModelVersion) -> &'static Schema {
    static SCHEMAS: [OnceLock<Schema>; 9] = [const { OnceLock::new() }; 9];
    SCHEMAS[model as usize * 3 + version as usize].get_or_init(|| parse(&BULKS[model as usize], version))
}

fn parse(root: &Record, version: ModelVersion) -> Schema {
    Schema::parse(&spell_out(root, version))
        .expect("the tables above make schemas, as the tests of this file show")
}

/// The schema as JSON, named types spelled out at their first use.
fn spell_out(root: &Record, version: ModelVersion) -> Value {
    let mut known = HashSet::new();
    record(root, version, &mut known)
}

fn record(table: &Record, version: ModelVersion, known: &mut HashSet<&'static str>) -> Value {
    if !known.insert(table.name) {
        return json!(table.name);
    }
    let fields: Vec<Value> = table
        .fields(version)
        .map(|field| {
            let mut spelled = json!({"name": field.name, "type": spell(field.of, version, known)});
            match field.name {
                "settings" => spelled["default"] = json!({}),
                "model_version" => spelled["default"] = json!(4),
                _ => (),
            }
            spelled
        })
        .collect();
    json!({"type": "record", "name": table.name, "fields": fields})
}

fn spell(of: Type, version: ModelVersion, known: &mut HashSet<&'static str>) -> Value {
    match of {
        Text => json!("string"),
        Long => json!("long"),
        Time => json!({"type": "long", "logicalType": "timestamp-micros"}),
        Truth => json!("boolean"),
        Bytes => json!("bytes"),
        Size(name) if known.insert(name) => json!({"type": "fixed", "name": name, "size": 8}),
        Size(name) => json!(name),
        Map => json!({"type": "map", "values": "string"}),
        Texts => json!({"type": "array", "items": "string"}),
        One(table) => record(table, version, known),
        Many(table) => json!({"type": "array", "items": record(table, version, known)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_and_version_has_a_schema() {
        for model in Model::ALL {
            for version in ModelVersion::ALL {
                let Schema::Record(event) = schema(model, version) else {
                    panic!("an event is a record");
                };
                let leading: Vec<&str> = event.fields[..4]
                    .iter()
                    .map(|field| field.name.as_str())
                    .collect();
                assert_eq!(leading, ["model_version", "kafka_key", "timestamp", "author"]);
                let Schema::Record(bulk) = bulk_schema(model, version) else {
                    panic!("a bulk is a record");
                };
                let fields = if version == V4 { 1 } else { 2 };
                assert_eq!(
                    bulk.fields.len(),
                    fields,
                    "only version 4 goes without its version"
                );
            }
        }
    }

    #[test]
    fn versions_differ_in_what_the_older_ones_say_of_formats_and_settings() {
        let has = |version, name: &str| {
            spell_out(&BINARY_EVENT, version)
                .to_string()
                .matches(name)
                .count()
        };
        assert_eq!(
            [V4, V5, V6].map(|version| has(version, "file_format_legacy")),
            [3, 3, 0]
        );
        assert_eq!(
            [V4, V5, V6].map(|version| has(version, "\"settings\"")),
            [0, 1, 1]
        );
    }
}
