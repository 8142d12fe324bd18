//! What is wrong with the settings: every fault of a start at once, each on a line of its own.

use std::fmt;

use super::catalogue::{Later, Setting};

/// Why one setting cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFault(String);

impl SettingFault {
    /// The setting has to be set.
    pub fn missing(setting: &Setting) -> Self {
        Self(format!("{} is not set: {}", setting.variable, setting.accepts))
    }

    /// Its value is of no use. `at` says where it was set, by name; `reason` may be empty.
    pub fn refused(setting: &Setting, at: &str, value: &str, reason: &str) -> Self {
        let shown = setting.shown(value);
        let colon = if reason.is_empty() { "" } else { ": " };
        Self(format!(
            "{at}: `{shown}` is not accepted{colon}{reason}; accepted: {}",
            setting.accepts
        ))
    }

    /// It turns on what is not there yet.
    pub fn not_yet(setting: &Setting, later: Later, at: &str, value: &str) -> Self {
        Self(format!(
            "{at}: `{}` is not supported yet: {} comes with a later version; until then {}",
            setting.shown(value),
            later.feature,
            later.until_then
        ))
    }

    /// Anything else, in words of its own that begin with what is at fault.
    pub fn other(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All faults of a start; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFaults(pub Vec<SettingFault>);

impl SettingFaults {
    /// A single one, in words of its own.
    pub fn one(text: impl fmt::Display) -> Self {
        Self(vec![SettingFault::other(text)])
    }

    /// `outcome`, unless there are `earlier` faults: then all of them.
    ///
    /// # Errors
    /// All faults.
    pub fn with<T>(earlier: Option<Self>, outcome: Result<T, Self>) -> Result<T, Self> {
        match (earlier, outcome) {
            (None, outcome) => outcome,
            (Some(earlier), Ok(_)) => Err(earlier),
            (Some(mut earlier), Err(later)) => {
                earlier.0.extend(later.0);
                Err(earlier)
            }
        }
    }
}

impl fmt::Display for SettingFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            write!(f, "{line}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingFaults {}
