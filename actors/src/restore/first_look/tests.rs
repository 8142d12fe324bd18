use std::rc::Rc;

use actix::{Actor, Context, Handler, MessageResult};

use super::*;
use crate::ports::restore_state::{EventFigures, StreamFigures};
use crate::restore::feed::WhichBundles;
use crate::restore::plan::PlanTerms;
use crate::restore::selection::{Asked, Selection, Window};
use crate::restore::source::{SourcePorts, WhichStreams};
use crate::restore::standing::Standing;
use crate::restore::test_ports::feed_ports;
use crate::restore::worker::RestoreStream;
use crate::testkit::{FakeArchive, FakeTarget, MemoryRestoreState, TargetCall, Trouble};
use crate::timestamp::Timestamp;

/// Nothing is sent in a first look.
struct NoWorkers;

impl Actor for NoWorkers {
    type Context = Context<Self>;
}

impl Handler<RestoreStream> for NoWorkers {
    type Result = MessageResult<RestoreStream>;

    fn handle(&mut self, job: RestoreStream, _: &mut Self::Context) -> Self::Result {
        panic!("{} is sent", job.key);
    }
}

struct Scene {
    archive: FakeArchive,
    target: FakeTarget,
    task: RestoreTask,
}

/// `alpha` and `zoo` are restored, as far as is asked for.
async fn scene(change: impl FnOnce(&mut Asked)) -> Scene {
    let (archive, target) = (FakeArchive::new(), FakeTarget::new());
    let mut asked = Asked::default();
    change(&mut asked);
    let selection = Selection::of(asked).unwrap();
    let restored = ["alpha", "zoo"].map(|name| SourceName::new(name).unwrap());
    let sources = selection.stream_sources(&restored);
    let feeds = selection.feeds(&restored);
    let standing = Standing::new(
        sources
            .iter()
            .map(|source| (source.clone(), StreamFigures::default())),
        feeds.iter().map(|feed| (feed.clone(), EventFigures::default())),
    );
    let state = MemoryRestoreState::new();
    let feed_ports = feed_ports(&archive, &target, &standing, &state).await;
    let source_ports = SourcePorts {
        archive: Rc::new(archive.clone()),
        workers: NoWorkers.start().recipient(),
        state: Rc::new(state),
        standing,
        retry: feed_ports.retry.clone(),
        stop: feed_ports.stop.clone(),
        prefer: crate::restore::listed_key::Form::Plain,
        most_out: 1,
        failures_in_row: 3,
        found: Rc::default(),
        seen: Rc::default(),
    };
    let which = WhichStreams::Labels {
        labels: Vec::new(),
        hashes: Default::default(),
    };
    let rules = feeds.into_iter().map(|feed| FeedRestoreRules {
        feed,
        which: WhichBundles::All,
        window: Window::default(),
        keeps: None,
    });
    let task = RestoreTask {
        sources: sources
            .into_iter()
            .map(|source| (source, which.clone()))
            .collect(),
        feeds: rules.collect(),
        terms: PlanTerms {
            selection,
            restored: restored.to_vec(),
            excluded: Vec::new(),
            can_decrypt: false,
            retry: feed_ports.retry.clone(),
            at_once: 2,
        },
        skip_existing: false,
        allow_empty: false,
        begun: Timestamp::default(),
        source_ports,
        feed_ports,
    };
    Scene {
        archive,
        target,
        task,
    }
}

impl Scene {
    fn plant(&self, store: Store, key: &str, content: &'static str) {
        self.archive.plant(store, key, content, Timestamp::default());
    }

    fn full(self) -> Self {
        for source in ["alpha", "zoo"] {
            let sha256 = "ab".repeat(32);
            self.plant(Store::Streams, &format!("{source}/content/{sha256}"), "x");
            self.plant(
                Store::Events,
                &format!("{source}/binary/mapped/2025-07-30T06:02:59Z-1-k"),
                "x",
            );
        }
        self
    }

    fn empty(&self) -> Vec<String> {
        self.task.feed_ports.standing.progress().empty
    }

    async fn unfit(&self) -> String {
        match look(&self.task).await {
            Err(Halt::Unfit(why)) => why,
            other => panic!("{other:?}"),
        }
    }
}

#[actix_rt::test]
async fn a_bucket_that_has_something_of_every_source_is_fit() {
    let scene = scene(|_| {}).await.full();
    assert_eq!(look(&scene.task).await.unwrap(), Found::Something);
    assert_eq!(scene.empty(), [""; 0]);
    let probed = scene.target.calls().log();
    assert_eq!(
        probed,
        ["streams", "events"].map(|sent| (TargetCall::Probe, sent.to_owned()))
    );
}

#[actix_rt::test]
async fn only_what_the_selection_needs_is_looked_at() {
    let scene = scene(|asked| asked.actions = vec![crate::feed::Action::Mapped])
        .await
        .full();
    scene.archive.lose_bucket(Store::Streams);
    assert_eq!(look(&scene.task).await.unwrap(), Found::Something);
    assert_eq!(
        scene.target.calls().log(),
        [(TargetCall::Probe, "events".to_owned())]
    );
}

#[actix_rt::test]
async fn everything_that_is_unfit_is_told_at_once() {
    let scene = scene(|_| {}).await.full();
    let wrong = Fault::rejected("ask the dispatcher who it is", "http://wrong/", "404");
    let trouble = Trouble::fails(TargetCall::Probe, wrong).on("events");
    scene.target.calls().plan(trouble.always());
    scene.archive.lose_bucket(Store::Events);
    let why = scene.unfit().await;
    for part in [
        "look at BK__DISPATCHER_EVENTS: ask the dispatcher who it is http://wrong/: 404",
        "the bucket of events does not exist",
        "nothing was uploaded",
    ] {
        assert!(why.contains(part), "{part} in {why}");
    }
    assert!(!why.contains("bucket of streams"), "{why}");
}

#[actix_rt::test]
async fn empty_sources_are_told_and_the_others_gone_on_with() {
    let scene = scene(|_| {}).await.full();
    for (store, keys) in [Store::Streams, Store::Events].map(|store| (store, scene.archive.keys(store))) {
        let zoo = keys.iter().filter(|key| key.starts_with("zoo/"));
        zoo.for_each(|key| scene.archive.lose(store, key));
    }
    // A mark of a folder is nothing.
    scene.plant(Store::Streams, "zoo/content/", "");
    assert_eq!(look(&scene.task).await.unwrap(), Found::Something);
    let empty = [
        "source zoo: no streams in the bucket",
        "source zoo: no events in the bucket",
    ];
    assert_eq!(scene.empty(), empty);
    let progress = scene.task.feed_ports.standing.progress();
    let nothing_of = progress.nothing_of(&scene.task.terms.selection);
    assert!(
        empty.iter().all(|what| nothing_of.contains(&(*what).to_owned())),
        "{nothing_of:?}"
    );
}

#[actix_rt::test]
async fn where_everything_is_empty_there_is_nothing_to_begin() {
    let nothing = scene(|_| {}).await;
    assert_eq!(look(&nothing.task).await.unwrap(), Found::Nothing);
    assert_eq!(nothing.empty().len(), 4);
    let of_system = scene(|asked| asked.models = vec![crate::feed::Model::Insert]).await;
    assert_eq!(look(&of_system.task).await.unwrap(), Found::Nothing);
    assert_eq!(
        of_system.empty(),
        ["nothing of what is selected is in the bucket"]
    );
}

#[actix_rt::test]
async fn a_dispatcher_that_has_whatever_it_is_asked_for_is_not_asked() {
    let mut scene = scene(|_| {}).await.full();
    scene.target.claim_all(true);
    assert!(look(&scene.task).await.is_ok(), "nobody asks it");
    assert!(!heads_are_believable(&scene.task).await.unwrap());
    scene.task.skip_existing = true;
    let why = scene.unfit().await;
    assert!(why.contains("--skip-existing would send nothing"), "{why}");
    scene.target.claim_all(false);
    assert!(look(&scene.task).await.is_ok());
}

#[actix_rt::test]
async fn what_is_left_behind_is_known_before_anything_is_begun() {
    let scene = scene(|_| {}).await.full();
    scene.plant(Store::Streams, "old/content/x", "x");
    scene.plant(Store::Events, "zoo/binary/rescored/2025-07-30T06:02:59Z-1-k", "x");
    scene.plant(Store::Events, "zoo/README", "x");
    look(&scene.task).await.unwrap();
    let left = scene.task.feed_ports.standing.progress().left_behind;
    assert_eq!(
        left.names(),
        ["source `old`", "`zoo/binary/rescored/`", "1 stray keys"]
    );
}
