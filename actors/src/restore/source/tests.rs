mod doubts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use actix::{Actor, Context, Handler, MessageResult};

use super::*;
use crate::ports::restore_state::StreamFigures;
use crate::restore::test_ports;
use crate::testkit::{ArchiveCall, FakeArchive, Gate, MemoryRestoreState, Trouble};

/// A worker that does as it is told, and keeps what it was asked for.
#[derive(Clone, Default)]
struct Workers(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// Of these keys, what becomes of them, again and again.
    fates: BTreeMap<String, Restored>,
    /// Of all others, once the first so many have been uploaded.
    outage_after: Option<usize>,
    /// What the dispatcher has.
    has: BTreeSet<String>,
    /// Where these keys age off before they can be read.
    ages_off: Option<(FakeArchive, String)>,
    jobs: Vec<RestoreStream>,
    /// How many jobs there were, those included in which the dispatcher is only asked.
    asked: usize,
}

impl Actor for Workers {
    type Context = Context<Self>;
}

impl Handler<RestoreStream> for Workers {
    type Result = MessageResult<RestoreStream>;

    fn handle(&mut self, job: RestoreStream, _: &mut Self::Context) -> Self::Result {
        let mut told = self.0.lock().unwrap();
        told.asked += 1;
        match (job.ask, told.has.contains(&job.key)) {
            (Ask::First | Ask::Only, true) => return MessageResult(Restored::There),
            (Ask::Only, false) => return MessageResult(Restored::Absent),
            _ => {}
        }
        told.jobs.push(job.clone());
        if let Some((archive, key)) = &told.ages_off
            && *key == job.key
        {
            archive.lose(Store::Streams, key);
            return MessageResult(Restored::Gone);
        }
        let is_away = told.outage_after.is_some_and(|after| told.jobs.len() > after);
        MessageResult(match told.fates.get(&job.key) {
            _ if is_away => Restored::Failed(Fault::transient("restore stream", &job.key, "503")),
            Some(fate) => fate.clone(),
            None => {
                told.has.insert(job.key);
                Restored::Uploaded { bytes: 1 }
            }
        })
    }
}

impl Workers {
    fn will(&self, key: &str, fate: Restored) {
        self.0.lock().unwrap().fates.insert(key.to_owned(), fate);
    }

    fn loses(&self, archive: &FakeArchive, key: &str) {
        self.0.lock().unwrap().ages_off = Some((archive.clone(), key.to_owned()));
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }

    /// What was sent since this was asked last.
    fn jobs(&self) -> Vec<String> {
        let mut told = self.0.lock().unwrap();
        std::mem::take(&mut told.jobs)
            .into_iter()
            .map(|job| job.key)
            .collect()
    }
}

struct Scene {
    archive: FakeArchive,
    workers: Workers,
    state: MemoryRestoreState,
    ports: SourcePorts,
}

const FIRST: Pass = Pass::First {
    ask_first: false,
    since: NOW,
};

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);

impl Scene {
    async fn new() -> Self {
        let (archive, workers, state) = (FakeArchive::new(), Workers::default(), MemoryRestoreState::new());
        test_ports::begin(&state).await;
        let ports = SourcePorts {
            archive: Rc::new(archive.clone()),
            workers: workers.clone().start().recipient(),
            state: Rc::new(state.clone()),
            standing: Standing::new([(source(), StreamFigures::default())], []),
            retry: test_ports::twice(),
            stop: StopFlag::default(),
            most_out: 3,
            failures_in_row: 3,
            prefer: Form::Plain,
            found: Rc::default(),
            seen: Rc::default(),
        };
        Self {
            archive,
            workers,
            state,
            ports,
        }
    }

    /// Streams of this label whose hashes begin with all digits in turn.
    fn plant(&self, label: &str, count: usize) -> Vec<String> {
        let keys: Vec<String> = (0..count)
            .map(|number| format!("samples/{label}/{}", Sha256::of(&number.to_be_bytes())))
            .collect();
        for key in &keys {
            self.archive.plant(Store::Streams, key.clone(), "x", NOW);
        }
        keys
    }

    async fn restore(&self) -> Result<(), Halt> {
        self.go_through(FIRST).await
    }

    async fn go_through(&self, pass: Pass) -> Result<(), Halt> {
        let labels = WhichStreams::Labels {
            labels: Vec::new(),
            hashes: Hashes::default(),
        };
        restore_source(&self.ports, &source(), labels, pass).await
    }

    fn figures(&self) -> StreamFigures {
        let mut all = StreamFigures::default();
        let lanes = self.state.lanes("samples/").unwrap();
        lanes.into_iter().for_each(|(_, mark)| all += mark.figures);
        all
    }

    fn dead(&self) -> Vec<String> {
        let letters = self.state.letters().into_iter();
        letters.map(|(letter, _)| letter.key).collect()
    }
}

fn source() -> SourceName {
    SourceName::new("samples").unwrap()
}

fn last(since: Timestamp) -> Pass {
    Pass::Last { since, asks: true }
}

fn failed(key: &str) -> Restored {
    Restored::Failed(Fault::transient("restore stream", key, "503"))
}

#[actix_rt::test]
async fn every_stream_of_every_label_is_restored_once_however_it_is_listed() {
    let scene = Scene::new().await;
    scene.archive.set_page(7);
    let mut keys = [scene.plant("content", 60), scene.plant("text", 5)].concat();
    scene.restore().await.unwrap();
    let mut jobs = scene.workers.jobs();
    jobs.sort();
    keys.sort();
    assert_eq!(jobs, keys);
    assert_eq!((scene.figures().restored, scene.figures().bytes), (65, 65));
    scene.restore().await.unwrap();
    assert!(scene.workers.jobs().is_empty(), "all of it lies behind the marks");
}

#[actix_rt::test]
async fn one_object_that_fails_while_others_do_not_is_a_dead_letter_in_the_end() {
    let scene = Scene::new().await;
    let keys = scene.plant("content", 20);
    scene.workers.will(&keys[3], failed(&keys[3]));
    scene.restore().await.unwrap();
    let tried = scene.workers.jobs().iter().filter(|key| **key == keys[3]).count();
    assert_eq!((tried, scene.dead()), (2, vec![keys[3].clone()]));
    assert_eq!((scene.figures().restored, scene.figures().dead), (19, 1));
}

#[actix_rt::test]
async fn an_outage_stops_the_restore_and_no_mark_passes_what_is_not_done() {
    let scene = Scene::new().await;
    let mut keys = scene.plant("content", 20);
    keys.sort();
    scene.workers.0.lock().unwrap().outage_after = Some(8);
    assert!(matches!(scene.restore().await, Err(Halt::Outage(_))));
    assert!(scene.dead().is_empty());
    assert_eq!(scene.figures().restored, 8);
    scene.workers.jobs();
    scene.workers.0.lock().unwrap().outage_after = None;
    scene.restore().await.unwrap();
    assert_eq!(scene.workers.jobs(), keys[8..]);
    assert_eq!(scene.figures().restored, 20);
}

#[actix_rt::test]
async fn where_nothing_succeeds_nothing_is_a_dead_letter() {
    let scene = Scene::new().await;
    let keys = scene.plant("content", 1);
    scene.workers.will(&keys[0], failed(&keys[0]));
    assert!(matches!(scene.restore().await, Err(Halt::Outage(_))));
    assert!(scene.dead().is_empty());
    assert_eq!(scene.figures(), StreamFigures::default());
}

#[actix_rt::test]
async fn what_is_permanently_bad_is_a_dead_letter_before_the_mark_passes_it() {
    let scene = Scene::new().await;
    let keys = scene.plant("content", 3);
    let stray = "samples/content/README".to_owned();
    scene.archive.plant(Store::Streams, stray.clone(), "x", NOW);
    let corrupt = Fault::corrupt("restore stream", &keys[1], "no gzip");
    scene.workers.will(&keys[1], Restored::Dead(corrupt));
    scene.workers.loses(&scene.archive, &keys[2]);
    scene.restore().await.unwrap();
    let mut dead = scene.dead();
    dead.sort();
    let mut expected = vec![keys[1].clone(), stray];
    expected.sort();
    assert_eq!(dead, expected);
    let figures = scene.figures();
    assert_eq!((figures.restored, figures.gone, figures.dead), (1, 1, 2));
    let changes = scene.state.changes();
    let buried = changes
        .iter()
        .rposition(|change| matches!(change, RestoreChange::GivenUp(..)));
    let first_mark = changes.iter().position(
        |change| matches!(change, RestoreChange::LaneReached(lane, _) if lane == "samples/content/"),
    );
    assert!(buried < first_mark, "{changes:?}");
}

fn named(keys: &[String]) -> NamedStreams {
    let keys = crate::restore::selection::Keys::read(keys.join("\n").as_bytes()).unwrap();
    keys.streams_of(&source())
}

fn encrypted(key: &str) -> String {
    format!("{key}.aesc1")
}

#[actix_rt::test]
async fn a_label_that_grows_or_shrinks_between_two_starts_is_neither_repeated_nor_counted_twice() {
    let scene = Scene::new().await;
    scene.archive.set_page(7);
    scene.plant("content", 5);
    scene.restore().await.unwrap();
    let mut sent = scene.workers.jobs();
    let keys = scene.plant("content", 60);
    scene.restore().await.unwrap();
    scene.archive.set_page(1000);
    scene.restore().await.unwrap();
    sent.extend(scene.workers.jobs());
    assert!(sent.len() > 10, "what sorts behind the mark");
    scene.go_through(last(NOW)).await.unwrap();
    sent.extend(scene.workers.jobs());
    let distinct: BTreeSet<&String> = sent.iter().collect();
    assert_eq!((sent.len(), distinct.len()), (keys.len(), keys.len()));
    assert_eq!(scene.figures().restored, 60);
}

#[actix_rt::test]
async fn one_that_fails_last_is_a_dead_letter_if_another_goes_through_once_more() {
    let scene = Scene::new().await;
    let mut keys = scene.plant("content", 4);
    keys.sort();
    scene.workers.will(&keys[3], failed(&keys[3]));
    scene.restore().await.unwrap();
    assert_eq!(
        (scene.dead(), scene.figures().restored),
        (vec![keys[3].clone()], 3)
    );
    // One of the others was the witness, between the two times that it was tried.
    let jobs = scene.workers.jobs();
    assert_eq!((jobs.len(), jobs.last()), (6, jobs.first()), "{jobs:?}");
}

#[actix_rt::test]
async fn as_many_bad_objects_in_a_row_as_set_stop_nothing_while_others_go_through() {
    let scene = Scene::new().await;
    let mut keys = scene.plant("content", 9);
    keys.sort();
    for key in &keys[1..] {
        scene.workers.will(key, failed(key));
    }
    scene.restore().await.unwrap();
    assert_eq!((scene.dead(), scene.figures().dead), (keys[1..].to_vec(), 8));
}

#[actix_rt::test]
async fn the_start_after_a_stop_asks_the_mark_who_is_to_blame() {
    let scene = Scene::new().await;
    let mut keys = scene.plant("content", 2);
    keys.sort();
    scene.workers.0.lock().unwrap().outage_after = Some(1);
    assert!(matches!(scene.restore().await, Err(Halt::Outage(_))));
    scene.workers.0.lock().unwrap().outage_after = None;
    scene.workers.will(&keys[1], failed(&keys[1]));
    *scene.ports.seen.borrow_mut() = Seen::default();
    scene.restore().await.unwrap();
    assert_eq!(scene.dead(), [keys[1].clone()]);
}

#[actix_rt::test]
async fn a_stop_begins_nothing_more_and_saves_the_marks() {
    let scene = Scene::new().await;
    scene.plant("content", 10);
    scene.ports.stop.raise();
    assert!(matches!(scene.restore().await, Err(Halt::Stopped)));
    assert!(scene.workers.jobs().is_empty());
}

mod both_forms;
mod last_pass;
mod names;
