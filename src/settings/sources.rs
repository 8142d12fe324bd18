//! The sources of the repository, as Azul's own configuration lists them.
//!
//! The text is YAML or JSON (which is YAML) with a map `sources` in it. What stands beside that map, and what a
//! source holds besides the two keys below, is Azul's and ignored; a fault in a source names the source.

use std::collections::BTreeMap;

use actors::feed::{Feed, SourceName};
use config::ValueKind;
use serde::Deserialize;
use serde_yaml_ng::{Mapping, Value};

use super::catalogue::Setting;
use super::fault::SettingFault;
use super::layers::Given;

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name; never `system`.
    pub name: SourceName,
    /// Whether it is left out of the backup.
    pub excluded: bool,
    /// After how many days its events expire; `None`: never.
    pub expires_after_days: Option<u64>,
}

/// All sources, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

/// What is read of a source.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    exclude_from_backup: Value,
    #[serde(default)]
    expire_events_after: Value,
}

impl Sources {
    /// All of them, excluded ones too.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    /// What is backed up: five feeds for every source that is not excluded, and the two of `system`.
    pub fn feeds(&self) -> Vec<Feed> {
        self.0
            .iter()
            .filter(|source| !source.excluded)
            .flat_map(|source| Feed::of_source(&source.name))
            .chain(Feed::of_system())
            .collect()
    }

    /// Reads what `BK__SOURCES` was set to; every fault is reported.
    pub(super) fn read(given: &Given, faults: &mut Vec<SettingFault>) -> Option<Self> {
        let map = match map_of(given) {
            Ok(map) => map,
            Err(reason) => {
                let setting = Setting::named("BK__SOURCES");
                let text = given.text().unwrap_or_else(|| "…".to_owned());
                faults.push(SettingFault::refused(setting, &given.at, &text, &reason));
                return None;
            }
        };
        let before = faults.len();
        let mut sources = BTreeMap::new();
        for (name, entry) in map {
            match source(&name, entry) {
                Ok(source) => {
                    sources.insert(source.name.clone(), source);
                }
                Err(reason) => faults.push(SettingFault::other(format_args!("{}: {reason}", given.at))),
            }
        }
        (faults.len() == before).then(|| Self(sources.into_values().collect()))
    }
}

impl std::fmt::Display for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (i, source) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", source.name)?;
            if source.excluded {
                f.write_str(" (excluded)")?;
            } else if let Some(days) = source.expires_after_days {
                write!(f, " ({days} days)")?;
            }
        }
        Ok(())
    }
}

/// The map of sources: inside a text under the key `sources`; in a file that key is the setting itself, but a
/// second one below it, from pasting Azul's configuration, is understood as well.
fn map_of(given: &Given) -> Result<Mapping, String> {
    let below = |mut map: Mapping| match map.remove("sources") {
        Some(Value::Mapping(sources)) => Ok(sources),
        Some(Value::Null) => Ok(Mapping::new()),
        Some(_) => Err("`sources` is not a map".to_owned()),
        None => Err("there is no map `sources`".to_owned()),
    };
    match &given.value.kind {
        ValueKind::Table(_) => match plain(&given.value) {
            Value::Mapping(map) if is_wrapped(&map) => below(map),
            Value::Mapping(map) => Ok(map),
            _ => Err("it is not a map".to_owned()),
        },
        ValueKind::String(text) => match serde_yaml_ng::from_str(text) {
            Ok(Value::Mapping(map)) => below(map),
            Ok(_) => Err("there is no map `sources`".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        _ => Err("it is not a map".to_owned()),
    }
}

/// Whether the map's only key is `sources`, with maps below it: then that is not the name of a source.
fn is_wrapped(map: &Mapping) -> bool {
    let inner = map.get("sources").and_then(Value::as_mapping);
    map.len() == 1
        && inner.is_some_and(|inner| {
            !inner.is_empty() && inner.values().all(|value| value.is_mapping() || value.is_null())
        })
}

fn plain(value: &config::Value) -> Value {
    match &value.kind {
        ValueKind::Table(table) => Value::Mapping(
            table
                .iter()
                .map(|(key, value)| (Value::from(key.as_str()), plain(value)))
                .collect(),
        ),
        ValueKind::Array(list) => Value::Sequence(list.iter().map(plain).collect()),
        ValueKind::Boolean(yes) => Value::from(*yes),
        ValueKind::I64(number) => Value::from(*number),
        ValueKind::U64(number) => Value::from(*number),
        ValueKind::Float(number) => Value::from(*number),
        ValueKind::Nil => Value::Null,
        other => Value::from(other.to_string()),
    }
}

fn source(name: &Value, entry: Value) -> Result<Source, String> {
    let Value::String(name) = name else {
        return Err(format!(
            "source {}: a name that is not text has to be in quotes",
            text(name)
        ));
    };
    if name == SourceName::SYSTEM {
        return Err(format!(
            "source `{name}`: the name is taken by Azul's own insert and delete events"
        ));
    }
    let fault = |what: &str| format!("source `{}`: {what}", super::value::shortened(name));
    let entry = match entry {
        Value::Null => Value::Mapping(Mapping::new()),
        Value::Mapping(_) => entry,
        _ => return Err(fault("it is not a map")),
    };
    let entry: Entry = serde_yaml_ng::from_value(entry).map_err(|error| fault(&error.to_string()))?;
    Ok(Source {
        name: SourceName::new(name).map_err(|error| fault(&error.to_string()))?,
        excluded: excluded(&entry.exclude_from_backup).map_err(|reason| fault(&reason))?,
        expires_after_days: days(&entry.expire_events_after).map_err(|reason| fault(&reason))?,
    })
}

fn excluded(value: &Value) -> Result<bool, String> {
    match value {
        Value::Null => Some(false),
        Value::Bool(yes) => Some(*yes),
        Value::String(text) => super::value::boolean(text),
        _ => None,
    }
    .ok_or_else(|| {
        format!(
            "exclude_from_backup {} is not accepted; accepted: true or false",
            text(value)
        )
    })
}

/// `"<n> days|weeks|months|years"`, where a month has 30 days and a year 365; 0 or nothing: never.
fn days(value: &Value) -> Result<Option<u64>, String> {
    let parsed = match value {
        Value::Null => Some(0),
        Value::Number(number) => number.as_u64().filter(|number| *number == 0),
        Value::String(text) => days_of(text.trim()),
        _ => None,
    };
    match parsed {
        Some(0) => Ok(None),
        Some(days) => Ok(Some(days)),
        None => Err(format!(
            "expire_events_after {} is not accepted; accepted: \"N days\", weeks, months or years; 0: never",
            text(value)
        )),
    }
}

fn days_of(text: &str) -> Option<u64> {
    if text.is_empty() || text == "0" {
        return Some(0);
    }
    let (count, unit) = text.split_once(' ')?;
    let factor = match unit.trim().trim_end_matches('s') {
        "day" => 1,
        "week" => 7,
        "month" => 30,
        "year" => 365,
        _ => return None,
    };
    // 100 years: what is longer is a slip of the pen, and overflows dates further on.
    count
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
        .filter(|days| *days <= 36_500)
}

fn text(value: &Value) -> String {
    let text = serde_yaml_ng::to_string(value).unwrap_or_default();
    format!("`{}`", super::value::shortened(&text))
}
