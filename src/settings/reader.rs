//! Turns values into types, and collects every fault on the way instead of stopping at the first.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::catalogue::{Preset, SETTINGS, Setting};
use super::fault::{SettingFault, SettingFaults};
use super::layers::Layers;
use super::url::BaseUrl;
use super::value;

/// Why a value is of no use; empty where [`Setting::accepts`] says it all.
pub type Reason = String;

/// Reads settings one by one.
pub struct Reader<'a> {
    layers: &'a Layers,
    faults: Vec<SettingFault>,
    notes: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Starts with the faults that the layers themselves have.
    pub fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            faults: layers.faults.clone(),
            notes: Vec::new(),
        }
    }

    /// For settings read ahead of the others, which report the faults of the layers then.
    pub fn ahead(layers: &'a Layers) -> Self {
        Self {
            layers,
            faults: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Where the values come from.
    pub fn layers(&self) -> &'a Layers {
        self.layers
    }

    /// Adds a fault.
    pub fn fault(&mut self, fault: SettingFault) {
        self.faults.push(fault);
    }

    /// Adds what is wrong with the variables that name proxies.
    pub fn refuse_proxies(&mut self) {
        self.faults.extend(self.layers.proxy_faults.iter().cloned());
    }

    /// Notes which of these servers are spoken to through a proxy, each once.
    pub fn note_proxies<'u>(&mut self, what: &str, urls: impl IntoIterator<Item = &'u Option<BaseUrl>>) {
        for url in urls.into_iter().flatten() {
            let note = self.layers.proxies.note(what, url);
            self.notes
                .extend(note.filter(|note| self.notes.last() != Some(note)));
        }
    }

    /// Adds something that an operator should know.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// What an operator should know, so far.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// A setting as text without a look at it: for what is checked together with others.
    pub fn unchecked(&self, variable: &str) -> String {
        let setting = Setting::named(variable);
        self.layers
            .given(setting)
            .and_then(|given| given.text())
            .unwrap_or_else(|| setting.preset_text().to_owned())
    }

    /// Blames a setting for what its value does together with others.
    pub fn blame(&mut self, variable: &str, reason: &str) {
        let setting = Setting::named(variable);
        let (at, text) = self.text(setting).unwrap_or_default();
        self.fault(SettingFault::refused(setting, &at, &text, reason));
    }

    /// The name by which a setting was set, and its value as text: the one given, else the default.
    fn text(&mut self, setting: &'static Setting) -> Option<(String, String)> {
        let variable = setting.variable.to_owned();
        match (self.layers.given(setting), setting.preset) {
            (Some(given), _) => match given.text() {
                Some(text) => Some((given.at.clone(), text)),
                None => {
                    let fault = SettingFault::refused(setting, &given.at, "…", "a single value is needed");
                    self.fault(fault);
                    None
                }
            },
            (None, Preset::Value(text)) => Some((variable, text.to_owned())),
            (None, _) => None,
        }
    }

    /// A setting that may be left out. `None` also when it is at fault.
    pub fn optional<T>(
        &mut self,
        variable: &str,
        parse: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        let setting = Setting::named(variable);
        let (at, text) = self.text(setting)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.fault(SettingFault::refused(setting, &at, &text, &reason));
                None
            }
        }
    }

    /// A setting that has to be there, given or by default. `None` only when it is at fault.
    pub fn required<T>(
        &mut self,
        variable: &str,
        parse: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        let setting = Setting::named(variable);
        if self.layers.given(setting).is_none() && setting.preset == Preset::Unset {
            self.fault(SettingFault::missing(setting));
            return None;
        }
        self.optional(variable, parse)
    }

    /// A whole number within limits.
    pub fn number<T>(&mut self, variable: &str, limits: RangeInclusive<u64>) -> Option<T>
    where
        T: TryFrom<u64>,
    {
        self.required(variable, |text| {
            text.parse()
                .ok()
                .filter(|number| limits.contains(number))
                .and_then(|number| T::try_from(number).ok())
                .ok_or_else(Reason::new)
        })
    }

    /// A duration within limits.
    pub fn duration(&mut self, variable: &str, limits: RangeInclusive<Duration>) -> Option<Duration> {
        self.required(variable, |text| {
            value::duration(text)
                .filter(|duration| limits.contains(duration))
                .ok_or_else(Reason::new)
        })
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, variable: &str) -> Option<bool> {
        self.required(variable, |text| value::boolean(text).ok_or_else(Reason::new))
    }

    /// Refuses what is turned on and comes with a later version, and notes defaults that have no effect yet; of
    /// those settings that are of any concern.
    pub fn refuse_what_comes_later(&mut self, concerns: impl Fn(&Setting) -> bool) {
        for setting in SETTINGS
            .iter()
            .filter(|setting| setting.later.is_some() && concerns(setting))
        {
            let Some((at, text)) = self.text(setting) else {
                continue;
            };
            let Some(later) = setting.comes_later(&text) else {
                continue;
            };
            if self.layers.given(setting).is_some() {
                self.fault(SettingFault::not_yet(setting, later, &at, &text));
            } else {
                let (variable, feature) = (setting.variable, later.feature);
                self.note(format!(
                    "{variable} has no effect yet: {feature} comes with a later version"
                ));
            }
        }
    }

    /// What was read, unless there was a fault anywhere.
    ///
    /// # Errors
    /// All faults.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, SettingFaults> {
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            _ => Err(SettingFaults(self.faults)),
        }
    }
}
