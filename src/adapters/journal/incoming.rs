//! An answer on its way to the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use actors::fault::Fault;
use actors::fault_point::{self, FaultPoint};
use actors::memory_budget::{MemoryBudget, Reservation};
use actors::ports::dispatcher::AnswerSink;
use actors::ports::journal::{BatchFile, IncomingAnswer};
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use futures_util::FutureExt;

use super::disk::blocking;
use super::layout::Layout;

/// What is written at once.
const BLOCK: usize = 256 * 1024;

const TAKE: &str = "write answer";
const KEEP: &str = "keep answer";

/// A file without its name yet. Dropped, it is gone; one that has been given its name has gone already.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn create(path: PathBuf) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).open(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::warn!("{} is left until the next start: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

/// Bytes that wait to be written, and the memory reserved for them.
struct Block {
    bytes: Vec<u8>,
    _reserved: Reservation,
}

/// See [`super::FileJournal`].
pub(super) struct IncomingFile {
    layout: Arc<Layout>,
    buffers: MemoryBudget,
    file: BatchFile,
    part: Option<Part>,
    block: Option<Block>,
    /// False while a write is under way, and for good if it failed or was not waited for: then there is a hole.
    is_whole: bool,
}

impl IncomingFile {
    pub(super) fn new(layout: Arc<Layout>, buffers: MemoryBudget, file: BatchFile) -> Self {
        Self {
            layout,
            buffers,
            file,
            part: None,
            block: None,
            is_whole: true,
        }
    }

    /// Puts as much of `chunk` as fits into the block; false if there is none, and none is free.
    fn fill(&mut self, chunk: &mut Bytes) -> bool {
        if self.block.is_none() {
            // Without waiting: a block may be held for as long as the dispatcher takes for its next byte.
            let reserved = self.buffers.reserve(BLOCK as u64).now_or_never();
            self.block = reserved.map(|_reserved| Block {
                bytes: Vec::with_capacity(BLOCK),
                _reserved,
            });
        }
        let Some(block) = &mut self.block else {
            return false;
        };
        let fits = chunk.len().min(BLOCK - block.bytes.len());
        block.bytes.extend_from_slice(&chunk[..fits]);
        chunk.advance(fits);
        true
    }

    fn check_whole(&self, operation: &'static str) -> Result<(), Fault> {
        match self.is_whole {
            true => Ok(()),
            false => Err(Fault::corrupt(
                operation,
                &self.file.feed,
                "an earlier part of the answer is not on disk",
            )),
        }
    }

    async fn write(&mut self, block: Option<Block>, chunk: Bytes) -> Result<(), Fault> {
        self.is_whole = false;
        let (part, layout, file) = (self.part.take(), self.layout.clone(), self.file.clone());
        let written = blocking(TAKE, &self.file.feed, move || {
            fault_point::try_pass(FaultPoint::AnswerWriting)?;
            let mut part = match part {
                Some(part) => part,
                None => Part::create(layout.part(&file))?,
            };
            if let Some(block) = block {
                part.file.write_all(&block.bytes)?;
            }
            part.file.write_all(&chunk)?;
            Ok(part)
        });
        self.part = Some(written.await?);
        self.is_whole = true;
        Ok(())
    }
}

#[async_trait(?Send)]
impl AnswerSink for IncomingFile {
    async fn take(&mut self, mut chunk: Bytes) -> Result<(), Fault> {
        self.check_whole(TAKE)?;
        while !chunk.is_empty() {
            if !self.fill(&mut chunk) {
                return self.write(None, chunk).await;
            }
            if self
                .block
                .as_ref()
                .is_some_and(|block| block.bytes.len() == BLOCK)
            {
                let block = self.block.take();
                self.write(block, Bytes::new()).await?;
            }
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl IncomingAnswer for IncomingFile {
    async fn keep(mut self: Box<Self>) -> Result<(), Fault> {
        self.check_whole(KEEP)?;
        let block = self.block.take();
        self.write(block, Bytes::new()).await?;
        let Some(part) = self.part.take() else {
            return Ok(());
        };
        let (layout, file) = (self.layout.clone(), self.file.clone());
        blocking(KEEP, &self.file.feed, move || {
            fault_point::try_pass(FaultPoint::AnswerWritten)?;
            part.file.sync_data()?;
            fault_point::try_pass(FaultPoint::AnswerSynced)?;
            layout.adopt(&part.path, &file)
        })
        .await
    }
}
