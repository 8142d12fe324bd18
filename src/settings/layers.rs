//! Where values come from: the environment in both spellings, a file under it.
//!
//! `config` joins the layers (`BK__` over `BK.` over the file); the catalogue's defaults lie below. An empty
//! value counts as not set, in every layer: charts leave variables empty. Names that nobody knows become
//! warnings with the nearest known name, never values.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use config::{FileFormat, Source as _, Value, ValueKind};

use super::catalogue::{SETTINGS, Setting};
use super::fault::{SettingFault, SettingFaults};
use super::proxy::Proxies;

/// The variables of a process; those whose value is not text have none.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, Option<String>>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// A variable of other programs, such as `AWS_ROLE_ARN`; an empty one counts as not set.
    pub fn get(&self, variable: &str) -> Option<&str> {
        self.0
            .get(variable)
            .and_then(Option::as_deref)
            .filter(|value| !value.is_empty())
    }

    /// Whether a variable is text, or not set at all.
    pub(super) fn is_text(&self, variable: &str) -> bool {
        self.0.get(variable).is_none_or(Option::is_some)
    }

    /// What a setting is set to, and the name it was set by: `BK__` wins over `BK.`.
    fn setting(&self, setting: &Setting) -> Option<(String, Option<&str>)> {
        [setting.variable.to_owned(), setting.dotted()]
            .into_iter()
            .find_map(|name| match self.0.get(&name) {
                Some(Some(value)) if value.trim().is_empty() => None,
                Some(value) => Some((name, value.as_deref())),
                None => None,
            })
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        // A name that is not text is none of ours.
        let pairs = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok())));
        Self(pairs.collect())
    }
}

/// What a setting is set to.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The value; a file may hold more than text.
    pub value: Value,
    /// By which name: the variable as it was spelt, or the path in the file.
    pub at: String,
}

impl Given {
    /// The value as text; `None` for a table or a list.
    pub fn text(&self) -> Option<String> {
        match &self.value.kind {
            ValueKind::Table(_) | ValueKind::Array(_) => None,
            _ => self
                .value
                .clone()
                .into_string()
                .ok()
                .map(|text| text.trim().to_owned()),
        }
    }
}

/// The layers, joined.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    given: BTreeMap<&'static str, Given>,
    /// What could not be read at all.
    pub faults: Vec<SettingFault>,
    /// What is odd, but no reason to stop.
    pub warnings: Vec<String>,
    /// The variable that asks for web identity, which is not there yet.
    pub web_identity: Option<&'static str>,
    /// What is spoken to through a proxy; nothing where there are …
    pub proxies: Proxies,
    /// … faults in the variables that say so: of no concern to what speaks to nobody.
    pub proxy_faults: Vec<SettingFault>,
}

impl Layers {
    /// Reads the environment, and the file if there is one. Never fails: what is wrong is in
    /// [`Layers::faults`], to be reported with everything else.
    pub fn read(environment: &Environment, file: Option<&Path>) -> Self {
        let (proxies, proxy_faults) = match Proxies::read(environment) {
            Ok(proxies) => (proxies, Vec::new()),
            Err(SettingFaults(faults)) => (Proxies::default(), faults),
        };
        let mut layers = Self {
            proxies,
            proxy_faults,
            web_identity: ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"]
                .into_iter()
                .find(|name| environment.get(name).is_some()),
            ..Self::default()
        };
        layers.warn_of_variables(environment);
        let file = file.and_then(|path| match read_file(path) {
            Ok(file) => {
                layers.warn_of_unknown_keys(&file.table, "", &file.name);
                Some(file)
            }
            Err(fault) => {
                layers.faults.push(fault);
                None
            }
        });
        let variables = layers.variables(environment);
        match join(file.as_ref(), &variables) {
            Ok(joined) => layers.take(&joined, file.as_ref().map_or("", |file| &file.name)),
            Err(error) => layers.faults.push(SettingFault::other(error)),
        }
        layers
    }

    /// What a setting is set to, in whichever layer.
    pub fn given(&self, setting: &Setting) -> Option<&Given> {
        self.given.get(setting.variable)
    }

    /// What the environment sets, setting by setting.
    fn variables(&mut self, environment: &Environment) -> Vec<(&'static Setting, Given)> {
        let mut variables = Vec::new();
        for setting in SETTINGS {
            match environment.setting(setting) {
                Some((at, Some(text))) => {
                    let value = Value::new(Some(&at), text);
                    variables.push((setting, Given { value, at }));
                }
                Some((at, None)) => self.faults.push(SettingFault::other(format_args!(
                    "{at}: the value is not UTF-8; accepted: {}",
                    setting.accepts
                ))),
                None => {}
            }
        }
        // Logging begins before any file is read, and is no part of one.
        variables.retain(|(setting, given)| {
            let in_files = setting.path().is_some();
            if !in_files {
                self.given.insert(setting.variable, given.clone());
            }
            in_files
        });
        variables
    }

    /// Keeps what the joined layers hold; null and empty text count as not set.
    fn take(&mut self, joined: &Table, file: &str) {
        for setting in SETTINGS {
            let Some((path, value)) = setting
                .path()
                .and_then(|path| find(joined, &path).map(|value| (path, value)))
            else {
                continue;
            };
            let unset = match &value.kind {
                ValueKind::Nil => true,
                ValueKind::String(text) => text.trim().is_empty(),
                _ => false,
            };
            if !unset {
                let at = value
                    .origin()
                    .map_or_else(|| format!("{path} in {file}"), str::to_owned);
                let value = value.clone();
                self.given.insert(setting.variable, Given { value, at });
            }
        }
    }

    fn warn_of_variables(&mut self, environment: &Environment) {
        for name in environment.0.keys() {
            let ours = name.starts_with("BK__") || name.starts_with("BK.");
            let known = SETTINGS
                .iter()
                .find(|setting| setting.variable == name || setting.dotted() == *name);
            match known {
                Some(setting) => self.warn_of_conflict(environment, setting, name),
                None if ours => {
                    let known = SETTINGS.iter().map(|setting| setting.variable.to_owned());
                    let plain = name.replace('.', "__");
                    self.warnings.push(unknown(name, &plain, known));
                }
                None => {}
            }
        }
    }

    fn warn_of_conflict(&mut self, environment: &Environment, setting: &Setting, name: &str) {
        let overridden = name != setting.variable
            && environment
                .setting(setting)
                .is_some_and(|(by, value)| by != name && value != environment.get(name));
        if overridden {
            self.warnings
                .push(format!("{name} is overridden by {}", setting.variable));
        }
    }

    /// Walks the tables of the file down to what must be a setting.
    fn warn_of_unknown_keys(&mut self, table: &Table, above: &str, file: &str) {
        let mut keys: Vec<_> = table.iter().collect();
        keys.sort_by_key(|(key, _)| *key);
        for (key, value) in keys {
            let path = if above.is_empty() {
                key.clone()
            } else {
                format!("{above}.{key}")
            };
            if SETTINGS
                .iter()
                .any(|setting| setting.path().as_ref() == Some(&path))
            {
                continue;
            }
            match &value.kind {
                ValueKind::Table(table) => self.warn_of_unknown_keys(table, &path, file),
                _ => {
                    let known = SETTINGS.iter().filter_map(Setting::path);
                    let name = format!("{path} in {file}");
                    self.warnings.push(unknown(&name, &path, known));
                }
            }
        }
    }
}

type Table = config::Map<String, Value>;

fn find<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let Some((first, rest)) = path.split_once('.') else {
        return table.get(path);
    };
    match &table.get(first)?.kind {
        ValueKind::Table(inner) => find(inner, rest),
        _ => None,
    }
}

/// A file of settings that has been read.
struct SettingsFile {
    name: String,
    source: config::File<config::FileSourceString, FileFormat>,
    table: Table,
}

fn read_file(path: &Path) -> Result<SettingsFile, SettingFault> {
    let name = path.display().to_string();
    let fault =
        |reason: &dyn std::fmt::Display| SettingFault::other(format_args!("--config {name}: {reason}"));
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => FileFormat::Yaml,
        Some("toml") => FileFormat::Toml,
        _ => return Err(fault(&"accepted: a file named *.yaml, *.yml or *.toml")),
    };
    let text = std::fs::read_to_string(path).map_err(|error| fault(&error))?;
    let source = config::File::from_str(&text, format);
    // The parsers' messages span lines and may quote the file, secrets included: only the first line is kept.
    let table = source
        .collect()
        .map_err(|error| fault(&first_line(&error.to_string())))?;
    Ok(SettingsFile { name, source, table })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// The environment over the file.
fn join(
    file: Option<&SettingsFile>,
    variables: &[(&'static Setting, Given)],
) -> Result<Table, config::ConfigError> {
    let mut layers = config::Config::builder();
    if let Some(file) = file {
        layers = layers.add_source(file.source.clone());
    }
    for (setting, given) in variables {
        if let Some(path) = setting.path() {
            layers = layers.set_override(path, given.value.clone())?;
        }
    }
    layers.build()?.collect()
}

/// The warning about a name that nobody knows.
fn unknown(name: &str, compared: &str, known: impl Iterator<Item = String>) -> String {
    let nearest = known
        .map(|known| (strsim::damerau_levenshtein(compared, &known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3));
    match nearest {
        Some((_, nearest)) => format!("{name} is not a known setting; did you mean {nearest}?"),
        None => format!("{name} is not a known setting; --help lists them"),
    }
}
