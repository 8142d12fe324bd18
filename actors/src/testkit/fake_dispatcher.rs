//! A dispatcher that answers as scripted.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::answer::Answer;
use super::calls::{Calls, RunningCall};
use super::lock;
use crate::fault::Fault;
use crate::feed::Feed;
use crate::ports::bucket::ByteStream;
use crate::ports::dispatcher::{AnswerSink, Dispatcher, Pull, PullAnswer, PullFault};
use crate::stream_id::StreamId;

/// The calls of a dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DispatcherCall {
    /// [`Dispatcher::pull`]; its target is the feed. Troubles do not apply: an [`Answer`] says all.
    Pull,
    /// [`Dispatcher::download`]; its target is the stream. Runs until the body has been dropped.
    Download,
    /// One chunk of a download; its target is the stream.
    Chunk,
}

/// The bytes that are handed out for a stream.
#[derive(Clone, Debug)]
pub struct Content {
    block: Bytes,
    length: u64,
    breaks_at: Option<u64>,
    breaks: u32,
}

impl Content {
    /// `block` again and again, up to `length` bytes: a binary that need not be held in memory.
    ///
    /// # Panics
    /// If `block` is empty and `length` is not 0.
    pub fn repeated(block: impl Into<Bytes>, length: u64) -> Self {
        let block = block.into();
        assert!(!block.is_empty() || length == 0, "nothing to repeat");
        Self {
            block,
            length,
            breaks_at: None,
            breaks: 0,
        }
    }

    /// The connection breaks when `at` bytes of the stream have been sent, `times` times.
    #[must_use]
    pub fn breaking_at(mut self, at: u64, times: u32) -> Self {
        self.breaks_at = Some(at);
        self.breaks = times;
        self
    }

    fn slice(&self, from: u64, longest: u64) -> Bytes {
        let size = self.block.len() as u64;
        // Both are below the block's length, which is a usize.
        let start = (from % size) as usize;
        let end = (size - start as u64).min(longest) as usize + start;
        self.block.slice(start..end)
    }
}

impl From<Bytes> for Content {
    fn from(block: Bytes) -> Self {
        let length = block.len() as u64;
        Self::repeated(block, length)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<&'static [u8]> for Content {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

/// A dispatcher in memory. A stream that it was not given is missing; a pull that no answer was scripted for
/// collects until its deadline and brings nothing.
#[derive(Clone)]
pub struct FakeDispatcher {
    calls: Calls<DispatcherCall>,
    held: Arc<Mutex<Held>>,
}

struct Held {
    answers: HashMap<Feed, VecDeque<Answer>>,
    pulls: Vec<Pull>,
    streams: HashMap<StreamId, Content>,
    downloads: Vec<(StreamId, u64)>,
    chunk: u64,
}

impl Default for FakeDispatcher {
    fn default() -> Self {
        let held = Held {
            answers: HashMap::new(),
            pulls: Vec::new(),
            streams: HashMap::new(),
            downloads: Vec::new(),
            chunk: 64 * 1024,
        };
        Self {
            calls: Calls::default(),
            held: Arc::new(Mutex::new(held)),
        }
    }
}

impl FakeDispatcher {
    /// One without events and streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its calls, and the trouble with them.
    pub fn calls(&self) -> &Calls<DispatcherCall> {
        &self.calls
    }

    /// Answers the next pull of `feed` that has no answer yet.
    pub fn answer(&self, feed: &Feed, answer: Answer) {
        lock(&self.held)
            .answers
            .entry(feed.clone())
            .or_default()
            .push_back(answer);
    }

    /// How many scripted answers of `feed` have not been asked for.
    pub fn unasked(&self, feed: &Feed) -> usize {
        lock(&self.held).answers.get(feed).map_or(0, VecDeque::len)
    }

    /// All pulls so far.
    pub fn pulls(&self) -> Vec<Pull> {
        lock(&self.held).pulls.clone()
    }

    /// Hands out `content` for `stream`, whatever its name says.
    pub fn hold(&self, stream: &StreamId, content: impl Into<Content>) {
        lock(&self.held).streams.insert(stream.clone(), content.into());
    }

    /// Has `stream` no more.
    pub fn lose(&self, stream: &StreamId) {
        lock(&self.held).streams.remove(stream);
    }

    /// Every download so far, with the byte at which it began; missing streams included.
    pub fn downloads(&self) -> Vec<(StreamId, u64)> {
        lock(&self.held).downloads.clone()
    }

    /// Sends bodies in chunks of at most `bytes` (64 KiB unless told otherwise).
    pub fn chunk(&self, bytes: u64) {
        lock(&self.held).chunk = bytes.max(1);
    }

    /// What `stream` is answered with, and the place at which this one breaks.
    fn begin_download(&self, stream: &StreamId, from: u64) -> Result<Download, Fault> {
        let mut held = lock(&self.held);
        held.downloads.push((stream.clone(), from));
        let chunk = held.chunk;
        let Some(content) = held.streams.get_mut(stream) else {
            return Err(Fault::missing("get stream", stream, "404"));
        };
        if from > content.length {
            return Err(Fault::rejected("get stream", stream, "400 invalid range end"));
        }
        let breaks_at = content.breaks_at.filter(|at| content.breaks > 0 && *at >= from);
        if breaks_at.is_some() {
            content.breaks -= 1;
        }
        Ok(Download {
            calls: self.calls.clone(),
            stream: stream.clone(),
            content: content.clone(),
            breaks_at,
            from,
            at: from,
            chunk,
            _running: None,
        })
    }
}

#[async_trait(?Send)]
impl Dispatcher for FakeDispatcher {
    async fn pull(&self, pull: &Pull, sink: &mut dyn AnswerSink) -> Result<PullAnswer, PullFault> {
        let _running = self.calls.begin(DispatcherCall::Pull, &pull.feed);
        let answer = {
            let mut held = lock(&self.held);
            held.pulls.push(pull.clone());
            held.answers.get_mut(&pull.feed).and_then(VecDeque::pop_front)
        };
        let answer = match answer {
            Some(answer) => answer,
            None => {
                tokio::time::sleep(pull.deadline).await;
                Answer::empty()
            }
        };
        if let Some(gate) = &answer.gate {
            gate.pass().await;
        }
        for chunk in answer.chunks {
            sink.take(chunk).await.map_err(PullFault::Suspect)?;
        }
        match answer.end {
            Some(fault) => Err(fault),
            None => Ok(PullAnswer {
                content_type: answer.content_type,
            }),
        }
    }

    async fn download(&self, stream: &StreamId, from: u64) -> Result<Box<dyn ByteStream>, Fault> {
        let running = self.calls.begin(DispatcherCall::Download, stream);
        running.before().await?;
        let mut download = self.begin_download(stream, from)?;
        running.after().await?;
        download._running = Some(running);
        Ok(Box::new(download))
    }
}

/// A body on its way.
struct Download {
    calls: Calls<DispatcherCall>,
    stream: StreamId,
    content: Content,
    breaks_at: Option<u64>,
    from: u64,
    at: u64,
    chunk: u64,
    _running: Option<RunningCall<DispatcherCall, Fault>>,
}

#[async_trait(?Send)]
impl ByteStream for Download {
    fn length(&self) -> Option<u64> {
        Some(self.content.length - self.from)
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let end = self
            .breaks_at
            .unwrap_or(self.content.length)
            .min(self.content.length);
        let (at, left) = (self.at, end.saturating_sub(self.at));
        if left == 0 {
            return match self.breaks_at {
                Some(_) => Err(Fault::transient(
                    "get stream",
                    &self.stream,
                    "the connection broke",
                )),
                None => Ok(None),
            };
        }
        let bytes = self
            .calls
            .make(DispatcherCall::Chunk, &self.stream, || {
                Ok(self.content.slice(at, left.min(self.chunk)))
            })
            .await?;
        self.at += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> StreamId {
        StreamId::new("samples", "content", &"0".repeat(64)).unwrap()
    }

    async fn read(dispatcher: &FakeDispatcher, from: u64) -> (Vec<u8>, Option<Fault>) {
        let mut body = dispatcher.download(&stream(), from).await.unwrap();
        let mut bytes = Vec::new();
        loop {
            match body.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return (bytes, None),
                Err(fault) => return (bytes, Some(fault)),
            }
        }
    }

    #[tokio::test]
    async fn a_broken_download_goes_on_where_it_broke() {
        let dispatcher = FakeDispatcher::new();
        dispatcher.chunk(4);
        dispatcher.hold(&stream(), Content::repeated(&b"abc"[..], 10).breaking_at(7, 1));
        let (first, fault) = read(&dispatcher, 0).await;
        assert!(fault.unwrap().is_transient());
        let (second, fault) = read(&dispatcher, first.len() as u64).await;
        assert!(fault.is_none());
        assert_eq!([first, second].concat(), b"abcabcabca");
        assert_eq!(dispatcher.downloads(), [(stream(), 0), (stream(), 7)]);
        assert_eq!(dispatcher.calls().running(DispatcherCall::Download), 0);
    }

    struct Kept(Vec<u8>);

    #[async_trait(?Send)]
    impl AnswerSink for Kept {
        async fn take(&mut self, chunk: Bytes) -> Result<(), Fault> {
            self.0.extend_from_slice(&chunk);
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pull_without_a_script_collects_until_its_deadline() {
        let dispatcher = FakeDispatcher::new();
        let pull = Pull {
            feed: "samples/binary/mapped".parse().unwrap(),
            consumer: "test".to_owned(),
            deployment_key: None,
            count: 1000,
            deadline: std::time::Duration::from_secs(10),
        };
        dispatcher.answer(&pull.feed, Answer::events(1, b"bulk").in_chunks(7));
        dispatcher.answer(&pull.feed, Answer::events(1, b"bulk").breaking_off_after(9));
        let begun = tokio::time::Instant::now();
        let mut kept = Kept(Vec::new());
        assert!(dispatcher.pull(&pull, &mut kept).await.is_ok());
        assert!(kept.0.windows(8).any(|bytes| bytes == b"\r\nbulk\r\n"));
        let mut kept = Kept(Vec::new());
        assert!(matches!(
            dispatcher.pull(&pull, &mut kept).await,
            Err(PullFault::Suspect(_))
        ));
        assert_eq!(kept.0.len(), 9);
        assert_eq!(begun.elapsed().as_secs(), 0);
        assert!(dispatcher.pull(&pull, &mut Kept(Vec::new())).await.is_ok());
        assert_eq!(begun.elapsed(), pull.deadline);
        assert_eq!(dispatcher.pulls().len(), 3);
    }
}
