//! The settings of logging: from the environment alone, because logging begins before anything else is read.

use log::LevelFilter;

use super::fault::SettingFaults;
use super::layers::Layers;
use super::reader::{Reader, Reason};
use super::value;

/// How to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// From which level on.
    pub level: LevelFilter,
    /// Text for people rather than JSON.
    pub pretty: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: LevelFilter::Info,
            pretty: true,
        }
    }
}

impl LogSettings {
    /// Reads them. Faults do not keep the other faults of a start from being logged: they come beside
    /// settings that can be used.
    pub fn read(layers: &Layers) -> (Self, Option<SettingFaults>) {
        let mut reader = Reader::ahead(layers);
        let level = reader.required("BED__LOG_LEVEL", |text| match text.parse() {
            Ok(level) if level != LevelFilter::Off => Ok(level),
            _ => Err(Reason::new()),
        });
        let pretty = reader.required("BED__LOG_PRETTY", |text| {
            value::boolean(text).ok_or_else(Reason::new)
        });
        let default = Self::default();
        let settings = Self {
            level: level.unwrap_or(default.level),
            pretty: pretty.unwrap_or(default.pretty),
        };
        (settings, reader.finish(Some(())).err())
    }
}
