//! What the operator wants restored: settings and options, made sense of together before anything starts.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use actors::feed::SourceName;
use actors::restore::selection::{Asked, BadKeys, Keys, RestoreType, Selection, Window};

use crate::cli;
use crate::settings::fault::SettingFault;
use crate::settings::{Layers, RestoreSettings, SettingFaults};

/// Everything that a restore is told.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where everything is.
    pub settings: RestoreSettings,
    /// What of it is to be restored.
    pub selection: Selection,
    /// Upload only what the dispatcher does not have.
    pub skip_existing: bool,
    /// Begin anew.
    pub from_start: bool,
    /// A bucket that holds nothing of what was asked for is no failure.
    pub allow_empty: bool,
    /// Only tell what would be done.
    pub plan: bool,
    /// One JSON object on standard output.
    pub json: bool,
}

impl Wanted {
    /// Reads settings and options.
    ///
    /// # Errors
    /// All faults of both.
    pub fn read(layers: &Layers, options: &cli::Restore) -> Result<Self, SettingFaults> {
        let settings = RestoreSettings::for_restore(layers);
        let selection = selection(settings.as_ref().ok(), options);
        let faults = selection.as_ref().err().cloned();
        let settings = SettingFaults::with(faults, settings)?;
        Ok(Self {
            settings,
            selection: selection?,
            skip_existing: options.skip_existing,
            from_start: options.from_start,
            allow_empty: options.allow_empty,
            plan: options.plan,
            json: options.json,
        })
    }
}

fn selection(settings: Option<&RestoreSettings>, options: &cli::Restore) -> Result<Selection, SettingFaults> {
    let mut faults = Vec::new();
    if let Some(settings) = settings {
        faults.extend(unknown_sources(settings, &options.source));
    }
    let keys = match options.keys_from.as_deref().map(|path| (path, keys(path))) {
        None => None,
        Some((_, Ok(keys))) => Some(keys),
        Some((path, Err(fault))) => {
            faults.push(SettingFault::other(format_args!(
                "--keys-from {}: {fault}",
                path.display()
            )));
            None
        }
    };
    let asked = Asked {
        restore_type: settings.map_or(RestoreType::All, |settings| settings.restore_type),
        sources: options.source.clone(),
        actions: options.action.clone(),
        models: options.model.clone(),
        window: Window {
            since: options.since,
            until: options.until,
            every_bundle: options.read_every_bundle,
        },
        labels: options.label.clone(),
        sha256s: options.sha256.clone(),
        keys,
    };
    match Selection::of(asked) {
        Ok(selection) if faults.is_empty() => Ok(selection),
        Ok(_) => Err(SettingFaults(faults)),
        Err(senseless) => {
            faults.extend(senseless.into_iter().map(SettingFault::other));
            Err(SettingFaults(faults))
        }
    }
}

fn keys(path: &Path) -> Result<Keys, BadKeys> {
    Keys::read(BufReader::new(File::open(path)?))
}

/// A slip of the pen must not cost a restore that finds nothing.
fn unknown_sources(settings: &RestoreSettings, named: &[SourceName]) -> Vec<SettingFault> {
    let is_known = |name: &SourceName| {
        name.as_str() == SourceName::SYSTEM || settings.sources.iter().any(|source| source.name == *name)
    };
    let unknown = named.iter().filter(|name| !is_known(name));
    unknown
        .map(|name| {
            SettingFault::other(format_args!(
                "--source {name}: BK__SOURCES does not name it; it names {}",
                settings.sources
            ))
        })
        .collect()
}
