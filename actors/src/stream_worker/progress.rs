//! The signs of life of the stream workers: a number per worker that rises with everything that it gets done.
//!
//! A worker may be slow, for it may work on gigabytes; what it may not is get nothing done at all: every wait of
//! an adapter has a time-out and ends in an attempt that failed, which counts. Waits for what others give (memory,
//! room on the disk of local state) are no business of its own and are told apart.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::StreamPorts;
use crate::fault::Fault;
use crate::object_writer::UploadLog;
use crate::ports::ByteStream;
use crate::ports::dispatcher::{AnswerSink, Dispatcher, Pull, PullAnswer, PullFault};
use crate::ports::state::OpenUpload;
use crate::stream_id::StreamId;

/// The longest that a worker which has a stream may get nothing done. No time-out of an adapter, and no pause
/// between attempts, comes near it.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(600);

/// What one worker gets done. Clones share it; threads may differ.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Life>);

#[derive(Debug, Default)]
struct Life {
    steps: AtomicU64,
    waits: AtomicBool,
    gone: AtomicBool,
    job: Mutex<Option<(StreamId, Instant)>>,
}

impl Progress {
    /// Something was done: bytes came or went, an attempt ended.
    pub fn step(&self) {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for what others give.
    pub(super) async fn waiting<T>(&self, wait: impl Future<Output = T>) -> T {
        self.0.waits.store(true, Ordering::Relaxed);
        let given = wait.await;
        self.0.waits.store(false, Ordering::Relaxed);
        self.step();
        given
    }

    /// It has got a stream.
    pub(crate) fn begin(&self, stream: &StreamId) {
        *self.job() = Some((stream.clone(), Instant::now()));
        self.step();
    }

    /// It is done with it.
    pub(crate) fn end(&self) {
        *self.job() = None;
        self.0.waits.store(false, Ordering::Relaxed);
        self.step();
    }

    /// Its thread ends.
    pub(crate) fn leave(&self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }

    fn job(&self) -> std::sync::MutexGuard<'_, Option<(StreamId, Instant)>> {
        self.0.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All workers. Clones share it; threads may differ.
#[derive(Clone, Debug)]
pub struct Crew {
    workers: Arc<Mutex<Vec<Progress>>>,
    strength: usize,
}

/// A stream that a worker has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOut {
    /// Which one.
    pub stream: StreamId,
    /// Since when.
    pub since: Instant,
}

impl Crew {
    /// A crew that will be of this `strength`.
    pub fn of(strength: usize) -> Self {
        Self {
            workers: Arc::default(),
            strength,
        }
    }

    /// A worker joins it, on its thread.
    pub fn enlist(&self) -> Progress {
        let progress = Progress::default();
        self.all().push(progress.clone());
        progress
    }

    /// The streams that are being worked on, the eldest first.
    pub fn out(&self) -> Vec<StreamOut> {
        let workers = self.all();
        let jobs = workers.iter().filter_map(|worker| worker.job().clone());
        let mut out: Vec<_> = jobs.map(|(stream, since)| StreamOut { stream, since }).collect();
        out.sort_by_key(|out| out.since);
        out
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Progress>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a worker counts as lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostWorker {
    /// Its thread has ended.
    Gone {
        /// Counted from 1.
        number: usize,
    },
    /// Its thread never began.
    NotBegun {
        /// Counted from 1.
        number: usize,
    },
    /// It got nothing done.
    Silent {
        /// Counted from 1.
        number: usize,
        /// What it has.
        stream: StreamId,
        /// For how long.
        time: Duration,
    },
}

/// Looks at a crew in a rhythm, and remembers when each worker got something done.
#[derive(Debug)]
pub struct CrewWatch {
    crew: Crew,
    rhythm: Duration,
    seen: Vec<(u64, Instant)>,
    begun: Option<Instant>,
    looked: Option<Instant>,
}

impl CrewWatch {
    /// Watches `crew`; there is a look every `rhythm`.
    pub fn new(crew: Crew, rhythm: Duration) -> Self {
        Self {
            crew,
            rhythm,
            seen: Vec::new(),
            begun: None,
            looked: None,
        }
    }

    /// The crew that is watched.
    pub fn crew(&self) -> &Crew {
        &self.crew
    }

    /// Looks at everybody; returns the first who is lost.
    pub fn look(&mut self, now: Instant) -> Option<LostWorker> {
        self.note(now);
        let workers = self.crew.all();
        let lost = |(index, worker)| lost(index, worker, self.seen[index].1, now);
        let late = self.begun.is_some_and(|begun| now - begun >= LONGEST_SILENCE);
        let number = workers.len() + 1;
        let not_begun =
            || (late && workers.len() < self.crew.strength).then_some(LostWorker::NotBegun { number });
        workers.iter().enumerate().find_map(lost).or_else(not_begun)
    }

    /// How many hang with a stream that they have.
    pub fn hung(&mut self, now: Instant) -> usize {
        self.note(now);
        let workers = self.crew.all();
        let lost = |(index, worker)| lost(index, worker, self.seen[index].1, now);
        let lost = workers.iter().enumerate().filter_map(lost);
        lost.filter(|lost| matches!(lost, LostWorker::Silent { .. }))
            .count()
    }

    fn note(&mut self, now: Instant) {
        let looked = self.looked.replace(now);
        if looked.is_none_or(|looked| now - looked > 3 * self.rhythm) {
            // Who looks was held up itself (a machine put to sleep): so were those who are looked at.
            self.begun = Some(now);
            self.seen.iter_mut().for_each(|(_, at)| *at = now);
        }
        for (index, worker) in self.crew.all().iter().enumerate() {
            let steps = worker.0.steps.load(Ordering::Relaxed);
            match self.seen.get_mut(index) {
                Some((before, _)) if *before == steps => {}
                Some(seen) => *seen = (steps, now),
                None => self.seen.push((steps, now)),
            }
        }
    }
}

/// Whether a worker that did something last at `seen` is lost.
fn lost(index: usize, worker: &Progress, seen: Instant, now: Instant) -> Option<LostWorker> {
    let number = index + 1;
    if worker.0.gone.load(Ordering::Relaxed) {
        return Some(LostWorker::Gone { number });
    }
    if worker.0.waits.load(Ordering::Relaxed) {
        return None;
    }
    let (stream, since) = worker.job().clone()?;
    // Who was idle for long and has just got a stream has had no time for it yet.
    let time = (now - seen).min(now - since);
    (time >= LONGEST_SILENCE).then_some(LostWorker::Silent { number, stream, time })
}

/// A dispatcher whose every byte counts as progress.
struct Noting {
    dispatcher: Rc<dyn Dispatcher>,
    progress: Progress,
}

#[async_trait(?Send)]
impl Dispatcher for Noting {
    async fn pull(&self, pull: &Pull, sink: &mut dyn AnswerSink) -> Result<PullAnswer, PullFault> {
        self.dispatcher.pull(pull, sink).await
    }

    async fn download(&self, stream: &StreamId, from: u64) -> Result<Box<dyn ByteStream>, Fault> {
        let body = self.dispatcher.download(stream, from).await;
        self.progress.step();
        let progress = self.progress.clone();
        Ok(Box::new(NotingBody {
            body: body?,
            progress,
        }))
    }
}

struct NotingBody {
    body: Box<dyn ByteStream>,
    progress: Progress,
}

#[async_trait(?Send)]
impl ByteStream for NotingBody {
    fn length(&self) -> Option<u64> {
        self.body.length()
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let chunk = self.body.chunk().await;
        self.progress.step();
        chunk
    }
}

/// Local state may wait for room on its disk: no business of a worker.
struct NotingLog {
    uploads: Rc<dyn UploadLog>,
    progress: Progress,
}

#[async_trait(?Send)]
impl UploadLog for NotingLog {
    async fn begun(&self, upload: &OpenUpload) -> Result<(), Fault> {
        self.progress.waiting(self.uploads.begun(upload)).await
    }

    async fn ended(&self, upload: &OpenUpload) -> Result<(), Fault> {
        self.progress.waiting(self.uploads.ended(upload)).await
    }

    fn this_start(&self) -> u64 {
        self.uploads.this_start()
    }
}

/// The same ports; what goes through them counts. The bucket's adapter counts by itself: only it sees the bytes
/// that it sends.
pub(super) fn noting(ports: StreamPorts, progress: &Progress) -> StreamPorts {
    StreamPorts {
        dispatcher: Rc::new(Noting {
            dispatcher: ports.dispatcher,
            progress: progress.clone(),
        }),
        bucket: ports.bucket,
        uploads: Rc::new(NotingLog {
            uploads: ports.uploads,
            progress: progress.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> StreamId {
        StreamId::new("samples", "content", &"a".repeat(64)).unwrap()
    }

    const RHYTHM: Duration = Duration::from_secs(2);

    /// Looks in its rhythm for `time`, and finds nobody lost.
    fn look_for(watch: &mut CrewWatch, time: Duration, now: &mut Instant, mut each: impl FnMut()) {
        let end = *now + time;
        while *now < end {
            *now += RHYTHM;
            each();
            assert_eq!((watch.look(*now), watch.hung(*now)), (None, 0));
        }
    }

    fn watching(crew: &Crew) -> (CrewWatch, Instant) {
        let (mut watch, begun) = (CrewWatch::new(crew.clone(), RHYTHM), Instant::now());
        assert_eq!(watch.look(begun), None);
        (watch, begun)
    }

    #[test]
    fn a_worker_that_gets_nothing_done_is_lost_and_a_slow_or_idle_one_is_not() {
        let crew = Crew::of(3);
        let [idle, slow, stuck] = [(); 3].map(|()| crew.enlist());
        let (mut watch, mut now) = watching(&crew);
        slow.begin(&stream());
        stuck.begin(&stream());
        look_for(&mut watch, LONGEST_SILENCE, &mut now, || slow.step());
        let lost = watch.look(now + RHYTHM);
        let time = LONGEST_SILENCE;
        assert_eq!(
            lost,
            Some(LostWorker::Silent {
                number: 3,
                stream: stream(),
                time
            })
        );
        assert_eq!((crew.out().len(), watch.hung(now + RHYTHM)), (2, 1));
        stuck.end();
        assert_eq!(
            (watch.look(now + 2 * RHYTHM), watch.hung(now + 2 * RHYTHM)),
            (None, 0)
        );
        drop(idle);
    }

    #[test]
    fn a_worker_that_was_idle_for_long_and_has_just_got_a_stream_is_not_lost() {
        let crew = Crew::of(1);
        let worker = crew.enlist();
        let (mut watch, mut now) = watching(&crew);
        look_for(&mut watch, 2 * LONGEST_SILENCE, &mut now, || {});
        // It has got it, and the look comes before the step that says so.
        *worker.job() = Some((stream(), now));
        look_for(&mut watch, LONGEST_SILENCE - RHYTHM, &mut now, || {});
        assert!(watch.look(now + RHYTHM).is_some());
    }

    #[test]
    fn who_was_held_up_itself_accuses_no_worker() {
        let crew = Crew::of(2);
        let worker = crew.enlist();
        let (mut watch, mut now) = watching(&crew);
        worker.begin(&stream());
        now += 10 * LONGEST_SILENCE;
        assert_eq!(watch.look(now), None);
        look_for(&mut watch, LONGEST_SILENCE - RHYTHM, &mut now, || {});
        assert!(matches!(
            watch.look(now + RHYTHM),
            Some(LostWorker::Silent { number: 1, .. })
        ));
    }

    #[test]
    fn who_waits_for_others_is_excused() {
        let crew = Crew::of(1);
        let worker = crew.enlist();
        let (mut watch, mut now) = watching(&crew);
        worker.begin(&stream());
        let mut waits = Box::pin(worker.waiting(std::future::pending::<()>()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        look_for(&mut watch, 10 * LONGEST_SILENCE, &mut now, || {});
    }

    #[test]
    fn a_thread_that_ended_or_never_began_is_lost() {
        let crew = Crew::of(2);
        let worker = crew.enlist();
        let (mut watch, mut now) = watching(&crew);
        look_for(&mut watch, LONGEST_SILENCE - RHYTHM, &mut now, || {});
        let late = watch.look(now + RHYTHM);
        assert_eq!(late, Some(LostWorker::NotBegun { number: 2 }));
        worker.leave();
        assert_eq!(watch.look(now + RHYTHM), Some(LostWorker::Gone { number: 1 }));
    }
}
