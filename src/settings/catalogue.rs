//! What every setting is: its name, its default, what is accepted and what it does.
//!
//! This table is the only place that says so: `--help`, the table of effective settings at the start, the
//! messages about bad values and the suggestions for unknown names are made from it.

use super::value;

/// What holds when a setting is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Nothing: the setting is required, or its feature is off.
    Unset,
    /// This value, as text.
    Value(&'static str),
    /// The value of another setting.
    As(&'static str),
}

/// A feature that a later version brings: until then the setting that turns it on is refused.
#[derive(Clone, Copy, Debug)]
pub struct Later {
    /// What comes, for the message.
    pub feature: &'static str,
    /// Whether a value leaves the feature off, and is accepted.
    pub is_off: fn(&str) -> bool,
    /// What to do until then.
    pub until_then: &'static str,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The environment variable, in the spelling for shells: `BK__…` or `BED__…`.
    pub variable: &'static str,
    /// What holds without it.
    pub preset: Preset,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// What is accepted, for people.
    pub accepts: &'static str,
    /// What it does, for people.
    pub meaning: &'static str,
    /// Set while its feature is not there yet.
    pub later: Option<Later>,
}

impl Setting {
    const fn new(
        variable: &'static str,
        preset: Preset,
        accepts: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            variable,
            preset,
            secret: false,
            accepts,
            meaning,
            later: None,
        }
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn later(
        mut self,
        feature: &'static str,
        is_off: fn(&str) -> bool,
        until_then: &'static str,
    ) -> Self {
        self.later = Some(Later {
            feature,
            is_off,
            until_then,
        });
        self
    }

    /// The feature that `value` turns on, if it is not there yet.
    pub fn comes_later(&self, value: &str) -> Option<Later> {
        self.later.filter(|later| !(later.is_off)(value))
    }

    /// The row of a variable.
    ///
    /// # Panics
    /// If there is none: the program asks for a setting that it does not document.
    pub fn named(variable: &str) -> &'static Self {
        Self::find(variable).expect("every setting that is read has a row in the catalogue")
    }

    /// The row of a variable, if there is one.
    pub fn find(variable: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.variable == variable)
    }

    /// Where the setting stands in a file: `external_backup.endpoint`. `None` for logging, which is read
    /// before any file.
    pub fn path(&self) -> Option<String> {
        self.variable
            .strip_prefix("BK__")
            .map(|name| name.to_ascii_lowercase().replace("__", "."))
    }

    /// The variable in the spelling of Azul's chart: `BK.EXTERNAL_BACKUP.ENDPOINT`.
    pub fn dotted(&self) -> String {
        self.variable.replace("__", ".")
    }

    /// A value as it may be shown: on one line, short, without secrets.
    pub fn shown(&self, value: &str) -> String {
        if self.secret {
            value::MASK.to_owned()
        } else {
            value::shortened(&value::without_credentials(value))
        }
    }

    /// The default as text: empty if there is none.
    pub fn preset_text(&self) -> &'static str {
        match self.preset {
            Preset::Unset => "",
            Preset::Value(text) | Preset::As(text) => text,
        }
    }
}

/// What is accepted where no value leaves a feature off that is not there yet.
pub const NOTHING_YET: &str = "nothing yet";

const DURATION: &str = "a duration such as 500ms, 10s, 10m, 1h30m";

use Preset::{As, Unset, Value};

/// All settings, in the order of the documentation.
pub static SETTINGS: &[Setting] = &[
    Setting::new(
        "BK__MODE",
        Unset,
        "backup or restore, or the subcommand of that name",
        "What the program does; a subcommand or --mode overrides it.",
    ),
    Setting::new(
        "BK__DISPATCHER_EVENTS",
        Unset,
        "an http:// or https:// URL without user, query and fragment",
        "Base URL of the dispatcher that events come from; for a restore, where they go.",
    ),
    Setting::new(
        "BK__DISPATCHER_STREAMS",
        As("BK__DISPATCHER_EVENTS"),
        "an http:// or https:// URL without user, query and fragment",
        "Base URL of the dispatcher that binaries come from; for a restore, where they go.",
    ),
    Setting::new(
        "BK__DEPLOYMENT_KEY",
        Value("recovery"),
        "a text",
        "What Azul's autoscaling knows this consumer by.",
    ),
    Setting::new(
        "BK__BACKUP_ID",
        Value("1"),
        "lower-case letters, digits, dots and hyphens",
        "Names the buckets and the consumer groups; a new id starts a new full backup.",
    ),
    Setting::new(
        "BK__BUCKET_NAME_PREFIX",
        Value("azul-backup-"),
        "lower-case letters, digits, dots and hyphens, so that PREFIX + ID + -streams is a name S3 allows \
         (3 to 63 characters, beginning with a letter or digit)",
        "How the names of both buckets begin.",
    ),
    Setting::new(
        "BK__EXTERNAL_BACKUP__ENDPOINT",
        Unset,
        "host[:port], or an http:// or https:// URL without user, path, query and fragment",
        "The S3 server of the backup. A scheme in it decides over BK__EXTERNAL_BACKUP__SECURE.",
    ),
    Setting::new(
        "BK__EXTERNAL_BACKUP__SECURE",
        Value("false"),
        "true or false",
        "Whether that server is spoken to by https.",
    ),
    Setting::new(
        "BK__EXTERNAL_BACKUP__ACCESS_KEY",
        Unset,
        "a text without white space",
        "Access key of the S3 server.",
    )
    .secret(),
    Setting::new(
        "BK__EXTERNAL_BACKUP__SECRET_KEY",
        Unset,
        "a text without white space",
        "Secret key of the S3 server.",
    )
    .secret(),
    Setting::new(
        "BK__EXTERNAL_BACKUP__REGION",
        Value("us-east-1"),
        "letters, digits, hyphens, dots and underscores",
        "Region of the S3 server.",
    ),
    Setting::new(
        "BK__EXTERNAL_BACKUP__BUCKET",
        Unset,
        "a name S3 allows: 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter \
         or digit",
        "One-bucket mode: both buckets are folders of this one. Only a restore reads it yet.",
    )
    .later("a backup into one bucket", value::never_off, "leave it unset"),
    Setting::new(
        "BK__EXTERNAL_BACKUP__AES_STATE",
        Value("disabled"),
        "disabled, enabled or readonly",
        "Whether objects are encrypted. Only a restore reads it yet.",
    )
    .later(
        "a backup with encryption",
        |text| text == "disabled",
        "leave it unset, or disabled",
    ),
    Setting::new(
        "BK__EXTERNAL_BACKUP__AES_KEY",
        Unset,
        "exactly 24 printable ASCII characters",
        "Key of the encryption. Only a restore reads it yet.",
    )
    .secret()
    .later("a backup with encryption", value::never_off, "leave it unset"),
    Setting::new(
        "BK__EVENT_BATCH_SIZE",
        Value("1000"),
        "a whole number, 1 to 100000",
        "A bundle is written once it has this many events …",
    ),
    Setting::new(
        "BK__EVENT_BATCH_MAX_AGE",
        Value("10m"),
        "a duration of 1s to 7d, such as 90s, 10m, 1h30m",
        "… or once this long has passed since the last bundle of the feed was written.",
    ),
    Setting::new(
        "BK__EVENT_PULL_DEADLINE",
        Value("10s"),
        "a duration of 1s to 10m, such as 10s",
        "Longest that a pull of an idle feed stays open; a part of the time that an orderly stop takes.",
    ),
    Setting::new(
        "BK__RECHECK_SHARE",
        Value("0.05"),
        "0",
        "Share of the time that rechecks may take; 0: none by themselves.",
    )
    .later("the recheck", value::is_zero, "leave it unset, or 0"),
    Setting::new(
        "BK__JOURNAL_MAX_BYTES",
        Value("512MiB"),
        "a size of at least 1MiB, such as 512MiB, 1GiB, 800MB",
        "Events received and not yet in the bucket; feeds wait beyond it.",
    ),
    Setting::new(
        "BK__STAGE_EVENTS",
        Value("15s"),
        DURATION,
        "How long a stop waits for pulls in flight and for feeds to write what they hold.",
    ),
    Setting::new(
        "BK__STAGE_CACHE",
        Value("1s"),
        DURATION,
        "How long a stop waits for the hit cache to pass on what it holds.",
    ),
    Setting::new(
        "BK__STAGE_STREAMS",
        Value("9s"),
        DURATION,
        "How long a stop waits for uploads in flight.",
    ),
    Setting::new(
        "BK__STAGE_STATE",
        Value("3s"),
        DURATION,
        "How long a stop waits for local state to be written.",
    ),
    Setting::new(
        "BK__STREAM_ROUTINE_COUNT",
        Value("20"),
        "a whole number, 1 to 1000",
        "Stream workers: how many binaries are copied at once.",
    ),
    Setting::new(
        "BK__STREAM_CHANNEL_SIZE",
        Value("500"),
        "a whole number, 1 to 1000000",
        "Stream requests that may be waiting before event feeds are held back.",
    ),
    Setting::new(
        "BK__CONSECUTIVE_BACKUP_STREAM_FAILURES",
        Value("5"),
        "a whole number, 1 to 1000000",
        "That many streams failing in a row end the backup in good order.",
    ),
    Setting::new(
        "BK__RETRY_COUNT",
        Value("5"),
        "a whole number, 1 to 100",
        "Attempts of one request.",
    ),
    Setting::new(
        "BK__RETRY_AVERAGE_DELAY_MS",
        Value("500"),
        "a whole number of milliseconds, 1 to 60000",
        "Middle of the delay before the second attempt; later ones double, with jitter.",
    ),
    Setting::new(
        "BK__HIT_CACHE_SIZE",
        Value("16000"),
        "a whole number, 1 to 10000000",
        "How many streams the hit cache remembers.",
    ),
    Setting::new(
        "BK__LOCAL_DATA__ROOTDIR",
        Value("/tmp/azul_recovery"),
        "a folder",
        "Local state: the journal, and what is still to be done. Must outlive the process.",
    ),
    Setting::new(
        "BK__RESTORE_TYPE",
        Value("all"),
        "all, streams or events",
        "What a restore brings back.",
    ),
    Setting::new(
        "BK__SOURCES",
        Unset,
        "YAML or JSON: sources: {NAME: {exclude_from_backup: true or false, \
         expire_events_after: \"N days|weeks|months|years\", …}}",
        "The sources to back up, or to restore, as Azul's own configuration lists them; other keys of a source are ignored. With \
         expire_events_after, a stream that events go on naming is written again once its object is older than half \
         of that time, lest it age off.",
    ),
    Setting::new(
        "BK__ENABLE_AUTOMATIC_AGEOFF",
        Value("false"),
        "false",
        "Whether the buckets forget what its source lets expire.",
    )
    .later("age-off", value::is_false, "leave it unset, or false"),
    Setting::new(
        "BK__ENABLE_AUTOMATIC_AGEOFF_CLEANUP",
        Value("false"),
        "false",
        "Whether age-off rules of earlier runs are removed.",
    )
    .later("age-off", value::is_false, "leave it unset, or false"),
    Setting::new(
        "BK__METRICS_LISTEN",
        Value("0.0.0.0:8900"),
        "an address and port such as 0.0.0.0:8900, or off",
        "Where /metrics, /livez, /readyz, /status and a page for people are served; port 0 is any that is free.",
    ),
    Setting::new(
        "BED__LOG_LEVEL",
        Value("INFO"),
        "TRACE, DEBUG, INFO, WARN or ERROR",
        "What is logged; RUST_LOG, with its finer filters, overrides it. Environment only.",
    ),
    Setting::new(
        "BED__LOG_PRETTY",
        Value("true"),
        "true or false",
        "true: text for people; false: one JSON object a line. Environment only.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_name_of_its_own_and_says_what_it_does() {
        for (i, setting) in SETTINGS.iter().enumerate() {
            let name = setting.variable;
            assert!(SETTINGS[..i].iter().all(|other| other.variable != name), "{name}");
            assert!(name.starts_with("BK__") || name.starts_with("BED__"), "{name}");
            assert!(
                !setting.accepts.is_empty() && setting.meaning.ends_with(['.', '…']),
                "{name}"
            );
            if let As(other) = setting.preset {
                assert!(Setting::find(other).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn both_spellings_and_the_path_in_a_file_follow_from_the_name() {
        let endpoint = Setting::named("BK__EXTERNAL_BACKUP__ENDPOINT");
        assert_eq!(endpoint.dotted(), "BK.EXTERNAL_BACKUP.ENDPOINT");
        assert_eq!(endpoint.path().as_deref(), Some("external_backup.endpoint"));
        assert_eq!(Setting::named("BED__LOG_LEVEL").path(), None);
    }
}
