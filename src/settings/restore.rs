//! What a restore needs. Settings that only a backup needs are not looked at.

use std::net::SocketAddr;
use std::path::PathBuf;

use actors::feed::{Feed, SourceName};
use actors::ports::restore_state::RestoreId;
use actors::restore::selection::{RestoreType, Selection};
use actors::retry::RetryPolicy;

use super::effective::Effective;
use super::reader::{Reader, Reason};
use super::{
    BucketSettings, Common, DispatcherSettings, Layers, Place, ReadingSide, SettingFaults, Sources,
    StageSettings, bucket, consecutive_failures, listen, local_data, stream_workers,
};

/// Everything that a restore needs.
#[derive(Clone, Debug)]
pub struct RestoreSettings {
    /// Where Azul is.
    pub dispatcher: DispatcherSettings,
    /// What may be restored.
    pub sources: Sources,
    /// Names the buckets, and is a part of names told to the dispatcher.
    pub backup_id: String,
    /// Where the backup is.
    pub bucket: BucketSettings,
    /// Where in it the objects lie, and what they are read with.
    pub reading: ReadingSide,
    /// How often a request is tried.
    pub retry: RetryPolicy,
    /// How many streams are copied at once.
    pub workers: usize,
    /// So many streams failing in a row, with no success in between, stop the restore.
    pub consecutive_failures: u32,
    /// How long a stop may take.
    pub stages: StageSettings,
    /// Folder of the local state.
    pub local_data: PathBuf,
    /// Where metrics, health and status are served; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Streams, events, or both.
    pub restore_type: RestoreType,
    /// What is to be logged about the settings at the start.
    pub effective: Effective,
}

/// Reads what to restore; a backup only makes sure of it.
pub(super) fn restore_type(reader: &mut Reader<'_>) -> Option<RestoreType> {
    reader.required("BK__RESTORE_TYPE", |text| {
        [RestoreType::All, RestoreType::Streams, RestoreType::Events]
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(Reason::new)
    })
}

impl RestoreSettings {
    /// The settings of a restore.
    ///
    /// # Errors
    /// Every fault.
    pub fn for_restore(layers: &Layers) -> Result<Self, SettingFaults> {
        let mut reader = Reader::new(layers);
        let common = Common::read(&mut reader);
        let bucket = bucket(&mut reader);
        let reading = bucket
            .as_ref()
            .and_then(|bucket| ReadingSide::read(&mut reader, &bucket.streams, &bucket.events));
        let workers = stream_workers(&mut reader);
        let consecutive_failures = consecutive_failures(&mut reader);
        let stages = StageSettings::read(&mut reader);
        let local_data = local_data(&mut reader);
        let metrics_listen = listen::metrics_listen(&mut reader);
        let restore_type = restore_type(&mut reader);
        let notes = reader.take_notes();
        let settings = (|| {
            let common = common?;
            Some(Self {
                effective: Effective::new(layers, &common.sources, notes),
                dispatcher: common.dispatcher,
                sources: common.sources,
                backup_id: common.backup_id,
                bucket: bucket?,
                reading: reading?,
                retry: common.retry,
                workers: workers?,
                consecutive_failures: consecutive_failures?,
                stages: stages?,
                local_data: local_data?,
                metrics_listen: metrics_listen?,
                restore_type: restore_type?,
            })
        })();
        reader.finish(settings)
    }

    /// The sources that are restored where none is named: those that are not excluded.
    pub fn restored_sources(&self) -> Vec<SourceName> {
        self.by_exclusion(false)
    }

    /// The sources that are restored only where they are named.
    pub fn excluded_sources(&self) -> Vec<SourceName> {
        self.by_exclusion(true)
    }

    fn by_exclusion(&self, excluded: bool) -> Vec<SourceName> {
        let sources = self.sources.iter().filter(|source| source.excluded == excluded);
        sources.map(|source| source.name.clone()).collect()
    }

    /// The name under which the events of a feed are published.
    pub fn publisher(&self, feed: &Feed) -> String {
        let (source, event, id) = (feed.source(), feed.event_word(), &self.backup_id);
        format!("restore-events-{source}-{event}-{id}")
    }

    /// The name under which streams are uploaded.
    pub fn uploader(&self) -> String {
        format!("restore-streams-events-all-all-{}", self.backup_id)
    }

    /// What the checkpoints of a restore of this selection belong to.
    pub fn restore_id(&self, selection: &Selection) -> RestoreId {
        let endpoint = &self.bucket.endpoint;
        let place = |place: &Place| {
            let whole = format!("{endpoint}/{}/{}", place.bucket, place.folder);
            whole.trim_end_matches('/').to_owned()
        };
        RestoreId {
            bucket: format!("{} {}", place(&self.reading.streams), place(&self.reading.events)),
            target: format!("{} {}", self.dispatcher.events, self.dispatcher.streams),
            selection: selection.canonical(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a restore cannot do without.
    const LEAST: [(&str, &str); 5] = [
        ("BK__DISPATCHER_EVENTS", "http://dispatcher:8111/"),
        ("BK__EXTERNAL_BACKUP__ENDPOINT", "minio:9000"),
        ("BK__EXTERNAL_BACKUP__ACCESS_KEY", "access"),
        ("BK__EXTERNAL_BACKUP__SECRET_KEY", "hunter2"),
        (
            "BK__SOURCES",
            "sources: {zoo: {}, abc: {}, private: {exclude_from_backup: true}}",
        ),
    ];

    fn read(more: &[(&str, &str)]) -> Result<RestoreSettings, SettingFaults> {
        let variables = LEAST
            .iter()
            .chain(more)
            .map(|(name, value)| (name.into(), value.into()));
        RestoreSettings::for_restore(&Layers::read(&variables.collect(), None))
    }

    #[test]
    fn what_only_a_backup_needs_is_not_looked_at() {
        let settings = read(&[
            ("BK__EVENT_BATCH_SIZE", "none"),
            ("BK__HIT_CACHE_SIZE", "none"),
            ("BK__RECHECK_SHARE", "0.05"),
            ("BK__ENABLE_AUTOMATIC_AGEOFF", "true"),
            ("BK__STREAM_ROUTINE_COUNT", "7"),
        ])
        .unwrap();
        assert_eq!((settings.workers, settings.restore_type), (7, RestoreType::All));
        let names = |sources: Vec<SourceName>| sources.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(settings.restored_sources()), ["abc", "zoo"]);
        assert_eq!(names(settings.excluded_sources()), ["private"]);
    }

    #[test]
    fn faults_are_those_of_what_a_restore_needs() {
        let faults = RestoreSettings::for_restore(&Layers::default()).expect_err("nothing is set");
        assert_eq!(faults.0.len(), 5, "{faults}");
        let fault = read(&[("BK__RESTORE_TYPE", "binaries")])
            .expect_err("a fault")
            .to_string();
        assert_eq!(
            fault,
            "BK__RESTORE_TYPE: `binaries` is not accepted; accepted: all, streams or events"
        );
        let fault = read(&[("BK__METRICS_LISTEN", "8900")])
            .expect_err("a fault")
            .to_string();
        assert!(fault.starts_with("BK__METRICS_LISTEN: `8900` is not"), "{fault}");
    }

    #[test]
    fn checkpoints_belong_to_bucket_target_and_selection_and_hold_no_secret() {
        let id = |more: &[(&str, &str)]| read(more).unwrap().restore_id(&Selection::default());
        let here = id(&[]);
        assert_eq!(
            here,
            RestoreId {
                bucket: "http://minio:9000/azul-backup-1-streams http://minio:9000/azul-backup-1-events"
                    .to_owned(),
                target: "http://dispatcher:8111 http://dispatcher:8111".to_owned(),
                selection: r#"{"restore":"all"}"#.to_owned(),
            }
        );
        for other in [
            ("BK__BACKUP_ID", "2"),
            ("BK__EXTERNAL_BACKUP__ENDPOINT", "other:9000"),
            ("BK__DISPATCHER_STREAMS", "http://other:8111"),
        ] {
            assert_ne!(id(&[other]), here, "{other:?}");
        }
        assert_eq!(id(&[("BK__EXTERNAL_BACKUP__SECRET_KEY", "other")]), here);
        assert_eq!(id(&[("BK__STREAM_ROUTINE_COUNT", "1")]), here);
    }

    #[test]
    fn the_dispatcher_is_told_who_restores() {
        let settings = read(&[("BK__BACKUP_ID", "7")]).unwrap();
        let names: Vec<_> = Feed::of_system()
            .iter()
            .map(|feed| settings.publisher(feed))
            .collect();
        assert_eq!(
            names,
            ["restore-events-system-insert-7", "restore-events-system-delete-7"]
        );
        let zoo = "zoo/binary/mapped".parse().unwrap();
        assert_eq!(settings.publisher(&zoo), "restore-events-zoo-mapped-7");
        assert_eq!(settings.uploader(), "restore-streams-events-all-all-7");
    }
}
