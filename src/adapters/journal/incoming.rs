//! An answer on its way to the disk.
//!
//! Where the disk has no room it waits, reads nothing more from the network, and goes on at the byte it had come to
//! when there is room. What has come in is not thrown away if it never becomes whole: it is put aside.

mod patience;

use std::io;
use std::sync::Arc;

use actors::fault::Fault;
use actors::fault_point::{self, FaultPoint};
use actors::memory_budget::{MemoryBudget, Reservation};
use actors::ports::dispatcher::AnswerSink;
use actors::ports::journal::{BatchFile, IncomingAnswer, NotKept};
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use futures_util::FutureExt;

use self::patience::{LOOK, Patience};
use super::disk::{blocking, fault};
use super::layout::Layout;
use super::part::Part;
use crate::adapters::volume::Volume;
use actors::fault::is_no_room;

/// What is written at once.
const BLOCK: usize = 256 * 1024;

const TAKE: &str = "write answer";
const KEEP: &str = "keep answer";

/// Bytes that wait to be written, and the memory reserved for them.
struct Block {
    bytes: Vec<u8>,
    _reserved: Reservation,
}

/// What is to be written next: the block, from where the last attempt ended, then the chunk.
#[derive(Default)]
struct Load {
    block: Option<Block>,
    from: usize,
    chunk: Bytes,
}

impl Load {
    fn write_to(&mut self, part: &mut Part) -> io::Result<()> {
        if let Some(block) = &self.block {
            while self.from < block.bytes.len() {
                self.from += part.write(&block.bytes[self.from..])?;
            }
        }
        (self.block, self.from) = (None, 0);
        while !self.chunk.is_empty() {
            let written = part.write(&self.chunk)?;
            self.chunk.advance(written);
        }
        Ok(())
    }

    fn len(&self) -> usize {
        let block = self.block.as_ref().map_or(0, |block| block.bytes.len());
        block - self.from + self.chunk.len()
    }
}

/// All that is needed to go on with an answer on any thread.
struct Work {
    layout: Arc<Layout>,
    volume: Arc<Volume>,
    batch: BatchFile,
    part: Option<Part>,
    load: Load,
    /// Nothing more comes: what there is gets its name.
    is_complete: bool,
    /// Tells of what could not be written, if it ends like this.
    waits: bool,
}

impl Work {
    /// Goes on where the last attempt ended.
    fn go_on(&mut self) -> io::Result<()> {
        self.volume.check_for_answer()?;
        fault_point::try_pass(FaultPoint::AnswerWriting)?;
        let part = match &mut self.part {
            Some(part) => part,
            none => none.insert(Part::create(&self.layout, &self.batch)?),
        };
        self.load.write_to(part)?;
        if self.is_complete { part.keep() } else { Ok(()) }
    }

    /// The same; where the disk is why it does not become whole, what there is is kept all the same.
    fn attempt(&mut self) -> io::Result<()> {
        let done = self.go_on();
        if let (Err(error), Some(part)) = (&done, &mut self.part) {
            part.hold_up(&match is_no_room(error) {
                true => "the disk had no room while it came in".to_owned(),
                false => error.to_string(),
            });
        }
        done
    }

    /// The same, and what is to be known of a disk that had no room.
    fn attempt_and_look(&mut self) -> (io::Result<()>, Look) {
        let done = self.attempt();
        let look = match &done {
            Err(error) if is_no_room(error) => Look {
                free: self.volume.free().ok(),
                place: self.volume.describe(),
            },
            _ => Look::default(),
        };
        (done, look)
    }

    /// Whether all that was taken from the network is still here, or on the disk.
    fn has_all(&self) -> bool {
        !self.part.as_ref().is_some_and(Part::is_doubtful)
    }

    fn has_its_name(&self) -> bool {
        self.part.as_ref().is_some_and(Part::has_its_name)
    }
}

/// What a disk looks like that has no room.
#[derive(Default)]
struct Look {
    free: Option<u64>,
    place: String,
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.waits && self.load.len() > 0 {
            log::error!(
                feed:% = self.batch.feed; "feed {}: {} bytes of an answer that found no room on the disk are given up with the program's end: \
                 this is a suspect pull",
                self.batch.feed,
                self.load.len()
            );
        }
    }
}

/// See [`super::FileJournal`].
pub(super) struct IncomingFile {
    layout: Arc<Layout>,
    volume: Arc<Volume>,
    buffers: MemoryBudget,
    batch: BatchFile,
    /// Known when it could not be kept.
    has_its_name: bool,
    filling: Option<Block>,
    /// Gone while a write is under way, and for good if it failed or was not waited for: then there is a hole.
    work: Option<Box<Work>>,
}

impl IncomingFile {
    pub(super) fn new(
        layout: Arc<Layout>,
        volume: Arc<Volume>,
        buffers: MemoryBudget,
        batch: BatchFile,
    ) -> Self {
        let work = Work {
            layout: Arc::clone(&layout),
            volume: Arc::clone(&volume),
            batch: batch.clone(),
            part: None,
            load: Load::default(),
            is_complete: false,
            waits: false,
        };
        Self {
            layout,
            volume,
            buffers,
            batch,
            has_its_name: false,
            filling: None,
            work: Some(Box::new(work)),
        }
    }

    /// Puts as much of `chunk` as fits into the block; false if there is none, and none is free.
    fn fill(&mut self, chunk: &mut Bytes) -> bool {
        if self.filling.is_none() {
            // Without waiting: a block may be held for as long as the dispatcher takes for its next byte.
            let reserved = self.buffers.reserve(BLOCK as u64).now_or_never();
            self.filling = reserved.map(|_reserved| Block {
                bytes: Vec::with_capacity(BLOCK),
                _reserved,
            });
        }
        let Some(block) = &mut self.filling else {
            return false;
        };
        let fits = chunk.len().min(BLOCK - block.bytes.len());
        block.bytes.extend_from_slice(&chunk[..fits]);
        chunk.advance(fits);
        true
    }

    fn is_full(&self) -> bool {
        self.filling
            .as_ref()
            .is_some_and(|block| block.bytes.len() == BLOCK)
    }

    fn check_whole(&self, operation: &'static str) -> Result<(), Fault> {
        match self.work {
            Some(_) => Ok(()),
            None => Err(Fault::corrupt(
                operation,
                &self.batch.feed,
                "an earlier part of the answer is not on disk",
            )),
        }
    }

    /// Writes what has been filled and `chunk`, and waits for room as long as there is none.
    async fn write(&mut self, operation: &'static str, chunk: Bytes) -> Result<(), Fault> {
        self.check_whole(operation)?;
        let Some(mut work) = self.work.take() else {
            return Ok(());
        };
        work.load.block = self.filling.take();
        work.load.chunk = chunk;
        let mut patience = None;
        loop {
            let (back, (done, look)) = self.attempt(operation, work).await?;
            work = back;
            match done {
                Ok(()) => break,
                Err(error) if is_no_room(&error) => {
                    work.waits = true;
                    let patience = patience.get_or_insert_with(Patience::new);
                    patience.failed(look.free);
                    self.wait(patience, &error, &look.place, work.has_all()).await;
                }
                Err(error) => {
                    self.has_its_name = work.has_its_name();
                    let fault = fault(operation, &self.batch.feed, error);
                    // What is left of it is put aside by being dropped, which blocks.
                    blocking(operation, &self.batch.feed, move || {
                        drop(work);
                        Ok(())
                    })
                    .await?;
                    return Err(fault);
                }
            }
        }
        if let Some(patience) = patience {
            let (feed, waited) = (&self.batch.feed, patience.all());
            log::info!(feed:% = feed; "feed {feed}: there is room again; the answer goes on after {waited:.1?}");
        }
        work.waits = false;
        self.work = Some(work);
        Ok(())
    }

    async fn attempt(
        &mut self,
        operation: &'static str,
        mut work: Box<Work>,
    ) -> Result<(Box<Work>, (io::Result<()>, Look)), Fault> {
        let attempted = blocking(operation, &self.batch.feed, move || {
            let done = work.attempt_and_look();
            Ok((work, done))
        })
        .await;
        if attempted.is_err() {
            // It has panicked, and its work is lost with it.
            let name = self.layout.path(&self.batch);
            let is_there = blocking(operation, &self.batch.feed, move || name.try_exists());
            self.has_its_name = is_there.await.unwrap_or(true);
        }
        attempted
    }

    /// Returns when it is to be tried again.
    async fn wait(&self, patience: &mut Patience, error: &io::Error, place: &str, has_all: bool) {
        let feed = &self.batch.feed;
        let promise = if has_all { ", and nothing is lost" } else { "" };
        loop {
            if patience.tells() {
                log::error!(
                    feed:% = feed, error:% = error; "feed {feed}: there is no room for the answer that is coming in on {place}: {error}. It \
                     waits{promise}: make room, or enlarge the volume, and it goes on by itself"
                );
            }
            tokio::time::sleep(LOOK).await;
            let volume = Arc::clone(&self.volume);
            let free = blocking("measure room", feed, move || volume.free()).await.ok();
            if patience.is_over(free) {
                return;
            }
        }
    }
}

#[async_trait(?Send)]
impl AnswerSink for IncomingFile {
    async fn take(&mut self, mut chunk: Bytes) -> Result<(), Fault> {
        self.check_whole(TAKE)?;
        while !chunk.is_empty() {
            if !self.fill(&mut chunk) {
                return self.write(TAKE, chunk).await;
            }
            if self.is_full() {
                self.write(TAKE, Bytes::new()).await?;
            }
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl IncomingAnswer for IncomingFile {
    async fn keep(mut self: Box<Self>) -> Result<(), NotKept> {
        self.check_whole(KEEP).map_err(NotKept::Lost)?;
        if let Some(work) = &mut self.work {
            work.is_complete = true;
        }
        let kept = self.write(KEEP, Bytes::new()).await;
        kept.map_err(|fault| match self.has_its_name {
            true => NotKept::Doubtful(fault),
            false => NotKept::Lost(fault),
        })
    }

    async fn give_up(mut self: Box<Self>, reason: &str) -> Result<Option<(String, u64)>, Fault> {
        const GIVE_UP: &str = "put broken answer aside";
        let parts = self.work.as_ref().and_then(|work| work.part.as_ref());
        if !parts.is_some_and(Part::is_held_up) {
            return Ok(None);
        }
        self.write(GIVE_UP, Bytes::new()).await?;
        let (Some(mut work), reason) = (self.work.take(), reason.to_owned()) else {
            return Ok(None);
        };
        blocking(GIVE_UP, &self.batch.feed, move || {
            let Some(part) = &mut work.part else {
                return Ok(None);
            };
            let place = part.put_aside(&reason)?;
            let bytes = place.metadata()?.len();
            Ok(Some((place.display().to_string(), bytes)))
        })
        .await
    }
}
