//! The settings: read whole, checked whole, and typed for the rest of the program.
//!
//! Every setting is an environment variable (`BK__A__B`, or `BK.A.B` as Azul's chart writes it), or stands in
//! the file of `--config` under the same name in lower case; [`catalogue`] lists them all. All faults are
//! reported at once, one line each, and none of them shows a secret. What turns on a feature that is not there
//! yet is a fault as well: nothing that was set is ever ignored in silence.

mod bucket;
pub mod catalogue;
pub mod effective;
pub mod fault;
pub mod layers;
mod listen;
pub mod logging;
pub mod proxy;
mod reader;
mod restore;
pub mod secret;
pub mod sources;
mod stages;
pub mod url;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use actors::feed::Feed;
use actors::retry::RetryPolicy;

pub use self::bucket::{AesState, Place, ReadingSide};
pub use self::fault::{SettingFault, SettingFaults};
pub use self::layers::{Environment, Layers};
pub use self::proxy::{Proxies, Proxy};
pub use self::restore::RestoreSettings;
pub use self::secret::Secret;
pub use self::sources::{Source, Sources};
pub use self::stages::{STOP_GRACE, StageSettings};
pub use self::url::BaseUrl;

use self::catalogue::Setting;
use self::effective::Effective;
use self::reader::{Reader, Reason};

/// What the program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Copy from the dispatcher into the bucket, for ever.
    Backup,
    /// Put back what is in the bucket.
    Restore,
}

/// Where Azul is.
#[derive(Clone, Debug)]
pub struct DispatcherSettings {
    /// Base URL for events.
    pub events: BaseUrl,
    /// Base URL for binaries.
    pub streams: BaseUrl,
    /// What Azul's autoscaling knows the backup by.
    pub deployment_key: String,
}

/// Where the backup goes.
#[derive(Clone, Debug)]
pub struct BucketSettings {
    /// The S3 server, without a slash at the end.
    pub endpoint: BaseUrl,
    /// Static key.
    pub access_key: Secret,
    /// Static key.
    pub secret_key: Secret,
    /// Region of the signature.
    pub region: String,
    /// Name of the bucket of streams.
    pub streams: String,
    /// Name of the bucket of events.
    pub events: String,
}

/// How events are pulled and bundled.
#[derive(Clone, Debug)]
pub struct EventSettings {
    /// A bundle is written once it has this many events …
    pub batch_size: u64,
    /// … or this long after the last one of its feed.
    pub batch_max_age: Duration,
    /// Longest that a pull of an idle feed stays open.
    pub pull_deadline: Duration,
    /// What the journal may hold.
    pub journal_max_bytes: u64,
}

/// How streams are copied.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// How many at once.
    pub workers: usize,
    /// How many requests may wait in memory.
    pub channel_size: usize,
    /// So many failures in a row end the backup.
    pub consecutive_failures: u32,
    /// Entries of the hit cache.
    pub hit_cache_size: usize,
}

/// Everything that a backup needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Azul is.
    pub dispatcher: DispatcherSettings,
    /// What is backed up.
    pub sources: Sources,
    /// Names buckets and consumer groups.
    pub backup_id: String,
    /// Where the backup goes.
    pub bucket: BucketSettings,
    /// How events are pulled and bundled.
    pub events: EventSettings,
    /// How streams are copied.
    pub streams: StreamSettings,
    /// How often a request is tried.
    pub retry: RetryPolicy,
    /// How long a stop may take.
    pub stages: StageSettings,
    /// Folder of the local state.
    pub local_data: PathBuf,
    /// Where metrics, health and status are served; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// What is to be logged about the settings at the start.
    pub effective: Effective,
}

/// What scraping samples needs: no bucket, no local state.
#[derive(Clone, Debug)]
pub struct SampleSettings {
    /// Where Azul is.
    pub dispatcher: DispatcherSettings,
    /// Whose events are scraped.
    pub sources: Sources,
    /// A part of the consumers' names.
    pub backup_id: String,
    /// How often a request is tried.
    pub retry: RetryPolicy,
    /// What is to be logged about the settings at the start.
    pub effective: Effective,
}

/// What the commands that look at local state need: to know where it is.
#[derive(Clone, Debug)]
pub struct StateSettings {
    /// Folder of the local state.
    pub local_data: PathBuf,
    /// What is odd about the settings.
    pub warnings: Vec<String>,
}

impl Settings {
    /// The settings of a backup.
    ///
    /// # Errors
    /// Every fault, the use of features that are not there yet included.
    pub fn for_backup(layers: &Layers) -> Result<Self, SettingFaults> {
        let mut reader = Reader::new(layers);
        reader.refuse_what_comes_later(|_| true);
        // Of no use to a backup; but a bad value is told wherever it is met.
        restore::restore_type(&mut reader);
        let common = Common::read(&mut reader);
        let bucket = bucket(&mut reader);
        let (events, streams) = (events(&mut reader), streams(&mut reader));
        let stages = StageSettings::read(&mut reader);
        let local_data = local_data(&mut reader);
        let metrics_listen = listen::metrics_listen(&mut reader);
        let notes = reader.take_notes();
        let settings = (|| {
            let common = common?;
            let (events, stages) = (events?, stages?);
            let mut effective = Effective::new(layers, &common.sources, notes);
            effective.warnings.extend(stages.warnings(events.pull_deadline));
            Some(Self {
                dispatcher: common.dispatcher,
                sources: common.sources,
                backup_id: common.backup_id,
                bucket: bucket?,
                events,
                streams: streams?,
                retry: common.retry,
                stages,
                local_data: local_data?,
                metrics_listen: metrics_listen?,
                effective,
            })
        })();
        reader.finish(settings)
    }

    /// What is backed up, feed by feed.
    pub fn feeds(&self) -> Vec<Feed> {
        self.sources.feeds()
    }

    /// The name of a feed's consumer. With the feed it selects the offsets in Kafka: it is the name that the Go
    /// tool uses too, and must never change.
    pub fn consumer(&self, feed: &Feed) -> String {
        format!(
            "backup-events-{}-{}-{}",
            feed.source(),
            feed.event_word(),
            self.backup_id
        )
    }

    /// The name under which streams are downloaded.
    pub fn stream_consumer(&self) -> String {
        format!("backup-streams-events-all-all-{}", self.backup_id)
    }
}

impl SampleSettings {
    /// The settings of `get-samples`; settings of the backup alone are not looked at.
    ///
    /// # Errors
    /// Every fault.
    pub fn for_samples(layers: &Layers) -> Result<Self, SettingFaults> {
        let mut reader = Reader::new(layers);
        let common = Common::read(&mut reader);
        let notes = reader.take_notes();
        let settings = common.map(|common| Self {
            effective: Effective::new(layers, &common.sources, notes),
            dispatcher: common.dispatcher,
            sources: common.sources,
            backup_id: common.backup_id,
            retry: common.retry,
        });
        reader.finish(settings)
    }
}

impl StateSettings {
    /// The settings of the commands that look at local state; no others are looked at.
    ///
    /// # Errors
    /// Every fault.
    pub fn for_state(layers: &Layers) -> Result<Self, SettingFaults> {
        let mut reader = Reader::new(layers);
        let settings = local_data(&mut reader).map(|local_data| Self {
            local_data,
            warnings: layers.warnings.clone(),
        });
        reader.finish(settings)
    }

    /// Logs what is odd.
    pub fn log_odd(&self) {
        for warning in &self.warnings {
            log::warn!("settings: {warning}");
        }
    }
}

fn local_data(reader: &mut Reader<'_>) -> Option<PathBuf> {
    reader.required("BK__LOCAL_DATA__ROOTDIR", |text| Ok(PathBuf::from(text)))
}

/// The mode that the settings ask for, for a command line that does not say.
///
/// # Errors
/// It is not set, or set to something else.
pub fn mode(layers: &Layers) -> Result<Mode, SettingFaults> {
    let mut reader = Reader::ahead(layers);
    let mode = reader.required("BK__MODE", |text| match text {
        "backup" => Ok(Mode::Backup),
        "restore" => Ok(Mode::Restore),
        _ => Err(Reason::new()),
    });
    reader.finish(mode)
}

/// Whether the settings ask for a mode at all.
pub fn is_mode_given(layers: &Layers) -> bool {
    layers.given(Setting::named("BK__MODE")).is_some()
}

/// What backup, restore and samples share.
struct Common {
    dispatcher: DispatcherSettings,
    sources: Sources,
    backup_id: String,
    retry: RetryPolicy,
}

impl Common {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let events = reader.required("BK__DISPATCHER_EVENTS", BaseUrl::parse);
        let streams = reader
            .optional("BK__DISPATCHER_STREAMS", BaseUrl::parse)
            .or_else(|| events.clone());
        let deployment_key = reader.required("BK__DEPLOYMENT_KEY", any_text);
        let backup_id = reader.required("BK__BACKUP_ID", bucket_text);
        let attempts = reader.number("BK__RETRY_COUNT", 1..=100);
        let delay = reader.number("BK__RETRY_AVERAGE_DELAY_MS", 1..=60_000);
        let sources = sources(reader);
        reader.refuse_proxies();
        reader.note_proxies("the dispatcher", [&events, &streams]);
        Some(Self {
            dispatcher: DispatcherSettings {
                events: events?,
                streams: streams?,
                deployment_key: deployment_key?,
            },
            sources: sources?,
            backup_id: backup_id?,
            retry: RetryPolicy {
                attempts: attempts?,
                average_delay: Duration::from_millis(delay?),
                retries: Default::default(),
            },
        })
    }
}

fn sources(reader: &mut Reader<'_>) -> Option<Sources> {
    let setting = Setting::named("BK__SOURCES");
    let Some(given) = reader.layers().given(setting) else {
        reader.fault(SettingFault::missing(setting));
        return None;
    };
    let mut faults = Vec::new();
    let sources = Sources::read(given, &mut faults);
    faults.into_iter().for_each(|fault| reader.fault(fault));
    sources
}

fn bucket(reader: &mut Reader<'_>) -> Option<BucketSettings> {
    let secure = reader.boolean("BK__EXTERNAL_BACKUP__SECURE");
    let endpoint = reader.required("BK__EXTERNAL_BACKUP__ENDPOINT", |text| {
        BaseUrl::endpoint(text, secure == Some(true))
    });
    if let (Some(url), true) = (&endpoint, is_given(reader, "BK__EXTERNAL_BACKUP__SECURE"))
        && Some(url.is_secure()) != secure
    {
        reader.note(format!(
            "the scheme of BK__EXTERNAL_BACKUP__ENDPOINT decides over BK__EXTERNAL_BACKUP__SECURE: {url}"
        ));
    }
    reader.note_proxies("the bucket", [&endpoint]);
    let keys = keys(reader);
    let region = reader.required("BK__EXTERNAL_BACKUP__REGION", |text| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        only(text, known)
    });
    let prefix = reader.required("BK__BUCKET_NAME_PREFIX", bucket_text);
    // Read once more: a bad one has been reported by `Common::read` already.
    let id = bucket_text(&reader.unchecked("BK__BACKUP_ID")).ok();
    let names = prefix
        .zip(id)
        .and_then(|(prefix, id)| bucket_names(reader, &prefix, &id));
    let (streams, events) = names?;
    let (access_key, secret_key) = keys?;
    Some(BucketSettings {
        endpoint: endpoint?,
        access_key,
        secret_key,
        region: region?,
        streams,
        events,
    })
}

/// The static keys. Other ways to reach S3 come with a later version, and are never taken in silence.
fn keys(reader: &mut Reader<'_>) -> Option<(Secret, Secret)> {
    let names = [
        "BK__EXTERNAL_BACKUP__ACCESS_KEY",
        "BK__EXTERNAL_BACKUP__SECRET_KEY",
    ];
    let none_given = names.iter().all(|name| !is_given(reader, name));
    if let (true, Some(variable)) = (none_given, reader.layers().web_identity) {
        reader.fault(SettingFault::other(format_args!(
            "{variable}: web identity is not supported yet: it comes with a later version; until then set {} and {}",
            names[0], names[1]
        )));
        return None;
    }
    let [access, secret] =
        names.map(|name| reader.required(name, |text| only(text, |c| c.is_ascii_graphic()).map(Secret::new)));
    Some((access?, secret?))
}

/// The names of both buckets, streams first.
fn bucket_names(reader: &mut Reader<'_>, prefix: &str, id: &str) -> Option<(String, String)> {
    let [streams, events] = ["streams", "events"].map(|of| format!("{prefix}{id}-{of}"));
    let usable = streams.len() <= 63
        && streams.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !["..", ".-", "-."].iter().any(|pair| streams.contains(pair));
    if !usable {
        reader.blame(
            "BK__BUCKET_NAME_PREFIX",
            &format!("with BK__BACKUP_ID it makes `{}`", value::shortened(&streams)),
        );
        return None;
    }
    Some((streams, events))
}

fn events(reader: &mut Reader<'_>) -> Option<EventSettings> {
    let seconds = Duration::from_secs;
    let batch_size = reader.number("BK__EVENT_BATCH_SIZE", 1..=100_000);
    let batch_max_age = reader.duration("BK__EVENT_BATCH_MAX_AGE", seconds(1)..=seconds(7 * 86_400));
    let pull_deadline = reader.duration("BK__EVENT_PULL_DEADLINE", seconds(1)..=seconds(600));
    let journal_max_bytes = reader.required("BK__JOURNAL_MAX_BYTES", |text| {
        value::bytes(text)
            .filter(|size| *size >= 1 << 20)
            .ok_or_else(Reason::new)
    });
    Some(EventSettings {
        batch_size: batch_size?,
        batch_max_age: batch_max_age?,
        pull_deadline: pull_deadline?,
        journal_max_bytes: journal_max_bytes?,
    })
}

fn streams(reader: &mut Reader<'_>) -> Option<StreamSettings> {
    let workers = stream_workers(reader);
    let channel_size = reader.number("BK__STREAM_CHANNEL_SIZE", 1..=1_000_000);
    let consecutive_failures = consecutive_failures(reader);
    let hit_cache_size = reader.number("BK__HIT_CACHE_SIZE", 1..=10_000_000);
    Some(StreamSettings {
        workers: workers?,
        channel_size: channel_size?,
        consecutive_failures: consecutive_failures?,
        hit_cache_size: hit_cache_size?,
    })
}

fn consecutive_failures(reader: &mut Reader<'_>) -> Option<u32> {
    reader.number("BK__CONSECUTIVE_BACKUP_STREAM_FAILURES", 1..=1_000_000)
}

fn stream_workers(reader: &mut Reader<'_>) -> Option<usize> {
    reader.number("BK__STREAM_ROUTINE_COUNT", 1..=1000)
}

fn is_given(reader: &Reader<'_>, variable: &str) -> bool {
    reader.layers().given(Setting::named(variable)).is_some()
}

fn any_text(text: &str) -> Result<String, Reason> {
    only(text, |c| !c.is_control())
}

fn bucket_text(text: &str) -> Result<String, Reason> {
    only(text, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c)
    })
}

/// `text`, if it is made of accepted characters only.
fn only(text: &str, accepted: impl Fn(char) -> bool) -> Result<String, Reason> {
    if text.chars().all(accepted) {
        Ok(text.to_owned())
    } else {
        Err(Reason::new())
    }
}

#[cfg(test)]
mod tests;
