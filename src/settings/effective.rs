//! What is said about the settings at a start: what holds, where it comes from, and what is odd about it.

use std::fmt;

use comfy_table::{Table, presets};

use super::catalogue::{Preset, SETTINGS, Setting};
use super::layers::Layers;
use super::sources::Sources;

/// What one setting amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The variable, in the spelling for shells.
    pub variable: &'static str,
    /// Its value as it may be shown.
    pub value: String,
    /// Where it was set, or `default`.
    pub from: String,
}

/// All settings as they hold. Shown as a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// One for each setting of the catalogue.
    pub rows: Vec<Row>,
    /// What an operator should know, but need not act on.
    pub notes: Vec<String>,
    /// What is odd.
    pub warnings: Vec<String>,
}

impl Effective {
    pub(super) fn new(layers: &Layers, sources: &Sources, notes: Vec<String>) -> Self {
        let mut warnings = layers.warnings.clone();
        if sources.iter().all(|source| source.excluded) {
            warnings.push(
                "BK__SOURCES names no source that is to be backed up: only insert and delete events will be"
                    .to_owned(),
            );
        }
        Self {
            rows: SETTINGS
                .iter()
                .map(|setting| row(layers, setting, sources))
                .collect(),
            notes,
            warnings,
        }
    }

    /// Logs it: the table as one text, or, for machines, each value under its name.
    pub fn log(&self, pretty: bool) {
        if pretty {
            log::info!("effective settings:\n{self}");
        } else {
            let values: Vec<(&str, &str)> = self
                .rows
                .iter()
                .map(|row| (row.variable, row.value.as_str()))
                .collect();
            log::logger().log(
                &log::Record::builder()
                    .level(log::Level::Info)
                    .target(module_path!())
                    .args(format_args!("effective settings"))
                    .key_values(&values.as_slice())
                    .build(),
            );
        }
        self.log_odd();
        for note in &self.notes {
            log::info!("settings: {note}");
        }
    }

    /// Logs only what is odd.
    pub fn log_odd(&self) {
        for warning in &self.warnings {
            log::warn!("settings: {warning}");
        }
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_header(["setting", "value", "from"])
            .add_rows(
                self.rows
                    .iter()
                    .map(|row| [row.variable, row.value.as_str(), row.from.as_str()]),
            );
        f.write_str(&table.trim_fmt())
    }
}

fn row(layers: &Layers, setting: &Setting, sources: &Sources) -> Row {
    let given = layers.given(setting);
    let value = match (given, setting.preset) {
        (Some(_), _) if setting.variable == "BK__SOURCES" => sources.to_string(),
        (Some(given), _) => setting.shown(&given.text().unwrap_or_default()),
        (None, Preset::Unset) => "—".to_owned(),
        (None, Preset::Value(text)) if setting.comes_later(text).is_some() => {
            format!("{text} (no effect yet)")
        }
        (None, Preset::Value(text)) => text.to_owned(),
        (None, Preset::As(other)) => {
            let other = Setting::named(other);
            layers
                .given(other)
                .and_then(|given| given.text())
                .map_or_else(|| "—".to_owned(), |text| other.shown(&text))
        }
    };
    let from = match (given, setting.preset) {
        (Some(given), _) => given.at.as_str(),
        (None, Preset::Unset) => "—",
        (None, _) => "default",
    };
    Row {
        variable: setting.variable,
        value,
        from: from.to_owned(),
    }
}
