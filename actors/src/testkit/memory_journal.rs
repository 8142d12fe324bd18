//! The journal's files in memory: what was kept survives [`MemoryJournal::reopen`].

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::calls::Calls;
use super::lock;
use crate::fault::Fault;
use crate::ports::dispatcher::AnswerSink;
use crate::ports::journal::{BatchFile, IncomingAnswer, Journal, JournalOpener, NotKept, ReadSeek};

/// The calls of a journal; their target is the feed of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JournalCall {
    /// [`Journal::receive`]
    Receive,
    /// [`AnswerSink::take`]
    Take,
    /// [`IncomingAnswer::keep`]
    Keep,
    /// [`Journal::open`] and [`JournalOpener::open`]; cannot be held at a gate.
    Open,
    /// [`Journal::remove`]
    Remove,
    /// [`Journal::put_aside`]
    PutAside,
}

/// A file that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsideFile {
    /// Which file it was.
    pub file: BatchFile,
    /// Why.
    pub reason: String,
    /// Its bytes.
    pub content: Bytes,
}

/// The journal in memory.
#[derive(Clone, Default)]
pub struct MemoryJournal {
    calls: Calls<JournalCall>,
    disk: Arc<Mutex<Disk>>,
    start: u64,
}

#[derive(Default)]
struct Disk {
    start: u64,
    files: BTreeMap<BatchFile, Bytes>,
    aside: Vec<AsideFile>,
    receiving: usize,
}

impl MemoryJournal {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The journal as the next start finds it: what was being received is gone, and every handle of this start
    /// fails from now on.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut disk = lock(&self.disk);
        disk.start += 1;
        disk.receiving = 0;
        Self {
            calls: Calls::default(),
            disk: self.disk.clone(),
            start: disk.start,
        }
    }

    /// Its calls, and the trouble with them.
    pub fn calls(&self) -> &Calls<JournalCall> {
        &self.calls
    }

    /// Puts a file in place, as an earlier start may have left it.
    pub fn plant(&self, file: &BatchFile, content: impl Into<Bytes>) {
        lock(&self.disk).files.insert(file.clone(), content.into());
    }

    /// The bytes of a file.
    pub fn content(&self, file: &BatchFile) -> Option<Bytes> {
        lock(&self.disk).files.get(file).cloned()
    }

    /// What was put aside.
    pub fn aside(&self) -> Vec<AsideFile> {
        lock(&self.disk).aside.clone()
    }

    /// How many answers are being received: begun, and neither kept nor dropped.
    pub fn receiving(&self) -> usize {
        lock(&self.disk).receiving
    }

    fn with<T>(
        &self,
        operation: &'static str,
        file: &BatchFile,
        act: impl FnOnce(&mut Disk) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut disk = lock(&self.disk);
        if disk.start == self.start {
            act(&mut disk)
        } else {
            Err(Fault::rejected(
                operation,
                &file.feed,
                "opened anew by a later start",
            ))
        }
    }
}

struct Incoming {
    journal: MemoryJournal,
    file: BatchFile,
    content: Vec<u8>,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut disk = lock(&self.journal.disk);
        if disk.start == self.journal.start {
            disk.receiving -= 1;
        }
    }
}

#[async_trait(?Send)]
impl AnswerSink for Incoming {
    async fn take(&mut self, chunk: Bytes) -> Result<(), Fault> {
        let content = &mut self.content;
        let effect = || {
            content.extend_from_slice(&chunk);
            Ok(())
        };
        self.journal
            .calls
            .make(JournalCall::Take, &self.file.feed, effect)
            .await
    }
}

#[async_trait(?Send)]
impl IncomingAnswer for Incoming {
    async fn keep(self: Box<Self>) -> Result<(), NotKept> {
        let call = self.journal.calls.begin(JournalCall::Keep, &self.file.feed);
        call.before().await.map_err(NotKept::Lost)?;
        let kept = self.journal.with("keep answer", &self.file, |disk| {
            if disk.files.contains_key(&self.file) {
                return Err(Fault::rejected(
                    "keep answer",
                    &self.file.feed,
                    "there is a file of that name",
                ));
            }
            disk.files.insert(self.file.clone(), self.content.clone().into());
            Ok(())
        });
        kept.map_err(NotKept::Lost)?;
        call.after().await.map_err(NotKept::Doubtful)
    }

    async fn give_up(self: Box<Self>, _reason: &str) -> Result<Option<(String, u64)>, Fault> {
        Ok(None)
    }
}

impl JournalOpener for MemoryJournal {
    fn open(&self, file: &BatchFile) -> Result<Box<dyn ReadSeek>, Fault> {
        self.calls.make_now(JournalCall::Open, &file.feed, || {
            self.with("open answer", file, |disk| match disk.files.get(file) {
                Some(content) => Ok(Box::new(Cursor::new(content.clone())) as Box<dyn ReadSeek>),
                None => Err(Fault::missing("open answer", &file.feed, "no such file")),
            })
        })
    }
}

#[async_trait(?Send)]
impl Journal for MemoryJournal {
    async fn receive(&self, file: &BatchFile) -> Result<Box<dyn IncomingAnswer>, Fault> {
        let effect = || {
            self.with("receive answer", file, |disk| {
                disk.receiving += 1;
                Ok(())
            })?;
            Ok(Box::new(Incoming {
                journal: self.clone(),
                file: file.clone(),
                content: Vec::new(),
            }) as Box<dyn IncomingAnswer>)
        };
        self.calls.make(JournalCall::Receive, &file.feed, effect).await
    }

    fn open(&self, file: &BatchFile) -> Result<Box<dyn ReadSeek>, Fault> {
        JournalOpener::open(self, file)
    }

    fn opener(&self) -> Arc<dyn JournalOpener> {
        Arc::new(self.clone())
    }

    async fn remove(&self, file: &BatchFile) -> Result<(), Fault> {
        let effect = || {
            self.with("remove answer", file, |disk| {
                disk.files.remove(file);
                Ok(())
            })
        };
        self.calls.make(JournalCall::Remove, &file.feed, effect).await
    }

    async fn put_aside(&self, file: &BatchFile, reason: &str) -> Result<String, Fault> {
        let effect = || {
            self.with("put answer aside", file, |disk| {
                let Some(content) = disk.files.remove(file) else {
                    return Err(Fault::missing("put answer aside", &file.feed, "no such file"));
                };
                disk.aside.push(AsideFile {
                    file: file.clone(),
                    reason: reason.to_owned(),
                    content,
                });
                Ok(format!("memory: aside {}/{}", file.feed, file.seq))
            })
        };
        self.calls.make(JournalCall::PutAside, &file.feed, effect).await
    }

    async fn bytes_aside(&self) -> Result<u64, Fault> {
        let disk = lock(&self.disk);
        Ok(disk.aside.iter().map(|aside| aside.content.len() as u64).sum())
    }

    fn files(&self) -> Result<Vec<(BatchFile, u64)>, Fault> {
        let disk = lock(&self.disk);
        let files = disk.files.iter();
        Ok(files
            .map(|(file, content)| (file.clone(), content.len() as u64))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::journal::{self, Reopen};
    use super::*;

    struct InMemory(MemoryJournal);

    impl Reopen for InMemory {
        type Journal = MemoryJournal;

        fn journal(&self) -> &MemoryJournal {
            &self.0
        }

        fn reopen(self) -> Self {
            Self(self.0.reopen())
        }
    }

    #[tokio::test]
    async fn keeps_the_promises_of_the_journal() {
        journal::all(|| InMemory(MemoryJournal::new())).await;
    }
}
