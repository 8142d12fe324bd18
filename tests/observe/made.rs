//! Programs that are made by hand: what they tell is set by the test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::ports::restore_state::{EventFigures, StreamFigures};
use actors::restore::progress::{
    FeedProgress, LeftBehind, LeftOut, LeftOutBecause, Progress, SourceProgress, Stage, Total,
};
use actors::statistics::SourceFigures;
use actors::supervisor::Pulse;
use actors::timestamp::Timestamp;
use azul_backup::observe::server::{Server, Views};
use azul_backup::observe::snapshot::{
    BackupStanding, Doing, FeedStatus, JournalStatus, Remark, RestoreStanding, Snapshot, StreamBacklog,
};
use azul_backup::observe::usage::Usage;

/// Text as somebody writes it who wants to be more than text.
pub const HOSTILE: &str =
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

/// A program, served.
pub struct Made {
    pub server: Option<Server>,
    pub snapshot: Arc<Mutex<Snapshot>>,
    pub pulse: Pulse,
}

impl Made {
    pub fn new(snapshot: Snapshot) -> Self {
        Self::with(snapshot, Duration::from_secs(30))
    }

    /// The pulse may stand still for `longest_silence`.
    pub fn with(snapshot: Snapshot, longest_silence: Duration) -> Self {
        let (snapshot, pulse) = (Arc::new(Mutex::new(snapshot)), Pulse::default());
        let told = Arc::clone(&snapshot);
        let views = Views {
            snapshot: Arc::new(move || Snapshot {
                taken: Timestamp::now(),
                ..told.lock().unwrap().clone()
            }),
            metrics: Arc::new(|| "azul_backup_ready 1\n".to_owned()),
            pulse: pulse.clone(),
            longest_silence,
        };
        let server = Server::start("127.0.0.1:0".parse().unwrap(), views).unwrap();
        Self {
            server: Some(server),
            snapshot,
            pulse,
        }
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    pub fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot.lock().unwrap());
    }
}

fn ago(seconds: u64) -> Timestamp {
    Timestamp::now().before(Duration::from_secs(seconds))
}

fn feed(name: &str, behind_since: Option<Timestamp>) -> FeedStatus {
    FeedStatus {
        feed: name.parse().unwrap(),
        configured: true,
        ready: Some(true),
        behind_since,
        last_event: Some(ago(14)),
        last_bundle: Some(ago(200)),
        last_pull: Some(ago(1)),
        oldest_waiting: Some(ago(190)),
        waiting_events: 730,
        waiting_bytes: 1_423_000,
        events: 48_230,
        bundles: 47,
        suspect_pulls: 0,
        backpressure_seconds: 0.0,
        errors: BTreeMap::new(),
        trouble: None,
    }
}

fn bare(mode: Doing, stage: &str) -> Snapshot {
    Snapshot {
        taken: Timestamp::now(),
        version: "0.1.0",
        mode,
        backup_id: "1".to_owned(),
        started: ago(7900),
        stage: stage.to_owned(),
        not_ready: Vec::new(),
        last_sign_of_life_seconds: Some(0.4),
        process: Usage::default(),
        sources: BTreeMap::new(),
        backup: None,
        restore: None,
        retries: BTreeMap::new(),
        object_errors: BTreeMap::new(),
        recent: Vec::new(),
    }
}

/// A backup to which nothing has happened.
pub fn healthy_backup() -> Snapshot {
    let figures = SourceFigures {
        events_received: 289_380,
        events_ok: 285_000,
        bundles: 282,
        streams_ok: 96_000,
        streams_present: 310,
        bytes_in: 96_000_000_000,
        bytes_out: 71_000_000_000,
        ..SourceFigures::default()
    };
    Snapshot {
        sources: [("samples".to_owned(), figures)].into(),
        backup: Some(BackupStanding {
            feeds: ["sourced", "extracted", "augmented", "mapped", "enriched"]
                .iter()
                .map(|action| feed(&format!("samples/binary/{action}"), None))
                .collect(),
            streams: StreamBacklog {
                pending: 12,
                oldest_pending_seconds: Some(3.5),
                ..StreamBacklog::default()
            },
            journal: JournalStatus {
                bytes: 48 << 20,
                reserved_bytes: 2 << 20,
                aside_bytes: 0,
                taken_bytes: 50 << 20,
                max_bytes: 512 << 20,
                volume_free_bytes: Some(700 << 20),
                volume_bytes: Some(1 << 30),
            },
            suspect_pulls: 0,
            suspect_pulls_in_all: 0,
        }),
        ..bare(Doing::Backup, "running")
    }
}

/// The same on a bad day.
pub fn backup_in_trouble() -> Snapshot {
    let mut snapshot = healthy_backup();
    snapshot.not_ready =
        vec!["feed incidents/binary/mapped has not been answered since the start".to_owned()];
    snapshot.retries = [("put object".to_owned(), 31), ("pull events".to_owned(), 4)].into();
    snapshot.object_errors = [("timeout".to_owned(), 12)].into();
    snapshot.recent = vec![
        Remark {
            time: ago(12),
            level: "ERROR".to_owned(),
            message: format!(
                "put object samples/content/{HOSTILE}: 503 Slow Down, given up after 5 attempts"
            ),
        },
        Remark {
            time: ago(130),
            level: "WARN".to_owned(),
            message: "suspect pull of feed samples/binary/mapped: the answer broke off".to_owned(),
        },
    ];
    let backup = snapshot.backup.as_mut().unwrap();
    backup.feeds[2].behind_since = Some(ago(9300));
    backup.feeds[2].backpressure_seconds = 812.0;
    backup.feeds[3].suspect_pulls = 1;
    backup.feeds[3].trouble = Some(format!("bundle: {HOSTILE}"));
    backup.feeds[3].errors = [("bundle".to_owned(), 3), ("pull".to_owned(), 1)].into();
    backup.feeds[4].ready = Some(false);
    backup.feeds.push(FeedStatus {
        ready: None,
        last_event: None,
        last_bundle: None,
        last_pull: None,
        oldest_waiting: None,
        waiting_events: 0,
        waiting_bytes: 0,
        events: 0,
        bundles: 0,
        ..feed("incidents/binary/mapped", None)
    });
    backup.streams = StreamBacklog {
        pending: 4_800,
        oldest_pending_seconds: Some(5400.0),
        failed: 27,
        failed_names: (0..3)
            .map(|n| format!("samples/content/{}{n}{HOSTILE}", "0d993dc350cb2475".repeat(3)))
            .collect(),
        missing: 3,
    };
    // By what has been received alone it would not be full.
    backup.journal.bytes = 400 << 20;
    backup.journal.reserved_bytes = 60 << 20;
    backup.journal.aside_bytes = 10 << 20;
    backup.journal.taken_bytes = 470 << 20;
    backup.journal.volume_free_bytes = Some(90 << 20);
    backup.suspect_pulls = 2;
    backup.suspect_pulls_in_all = 1_414;
    snapshot
}

/// A restore on its way.
pub fn restore() -> Snapshot {
    let source = |name: &str, restored, total, is_active| SourceProgress {
        source: actors::feed::SourceName::new(name).unwrap(),
        figures: StreamFigures {
            restored,
            dead: u64::from(is_active),
            bytes: restored * 700_000,
            ..StreamFigures::default()
        },
        total: Some(Total {
            objects: total,
            events: 0,
            bytes: total * 700_000,
        }),
        is_active,
        is_done: false,
    };
    let feed = |name: &str| FeedProgress {
        feed: name.parse().unwrap(),
        figures: EventFigures::default(),
        not_wanted: 0,
        total: None,
        reached: None,
        is_active: false,
        is_done: false,
    };
    Snapshot {
        restore: Some(RestoreStanding {
            progress: Progress {
                stage: Stage::Streams,
                streams: vec![
                    source("incidents", 2000, 2000, false),
                    source("samples", 31_000, 96_000, true),
                ],
                feeds: vec![feed("system/insert/default"), feed("samples/binary/sourced")],
                left_behind: LeftBehind {
                    sources: vec![LeftOut {
                        source: format!("old {HOSTILE}"),
                        because: LeftOutBecause::NotConfigured,
                    }],
                    ..LeftBehind::default()
                },
                looked_at: 33_000,
                ..Progress::default()
            },
            bytes_done: 33_000 * 700_000,
            bytes_total: Some(98_000 * 700_000),
            eta_seconds: Some(4000.0),
            last_progress: Some(ago(1)),
            starts: Some(1),
            dead_letters: 1,
            verdict: None,
        }),
        ..bare(Doing::Restore, "running")
    }
}

/// Its end.
pub fn end_of_restore(snapshot: &mut Snapshot) {
    snapshot.stage = "ended".to_owned();
    let restore = snapshot.restore.as_mut().unwrap();
    restore.progress.stage = Stage::Ended;
    restore.progress.feeds[0].figures.bundles = 7;
    restore.progress.feeds[0].reached = "2025-07-30T06:02:59.5Z".parse().ok();
    restore.verdict = Some("RESTORED: everything that was planned is back and was verified".to_owned());
}
