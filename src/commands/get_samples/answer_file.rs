//! Where an answer goes as it comes in: a file without a name, gone with the process whatever becomes of it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use actors::fault::Fault;
use actors::feed::Feed;
use actors::ports::AnswerSink;
use actors::pull_answer::{MultipartScanner, PullParts};
use async_trait::async_trait;
use bytes::Bytes;

/// The body of one answer.
pub struct AnswerFile {
    file: File,
    feed: Feed,
    scanner: MultipartScanner,
}

impl AnswerFile {
    /// Creates it in `folder`, for an answer of `feed`.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn create(folder: &Path, feed: &Feed) -> Result<Self, Fault> {
        let path = folder.join(format!(".{}.part", super::sample::stem(feed)));
        let create = || {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)?;
            // The open file lives on without its name.
            std::fs::remove_file(&path)?;
            Ok(file)
        };
        create()
            .map(|file| Self {
                file,
                feed: feed.clone(),
                scanner: MultipartScanner::new(),
            })
            .map_err(|error: std::io::Error| Fault::rejected("create file", path.display(), error))
    }

    /// The file, and where its parts lie.
    ///
    /// # Errors
    /// The answer cannot be understood.
    pub fn finish(self) -> Result<(File, PullParts), Fault> {
        match self.scanner.finish() {
            Ok(parts) => Ok((self.file, parts)),
            Err(error) => Err(Fault::corrupt("read answer", self.feed, error)),
        }
    }
}

#[async_trait(?Send)]
impl AnswerSink for AnswerFile {
    async fn take(&mut self, chunk: Bytes) -> Result<(), Fault> {
        self.scanner.push(&chunk);
        self.file
            .write_all(&chunk)
            .map_err(|error| Fault::rejected("write answer", &self.feed, error))
    }
}
