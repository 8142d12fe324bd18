//! Chunks of an object on their way to a parser that reads.

use std::io::{self, BufRead, ErrorKind, Read};

use bytes::{Buf, Bytes};

/// What has come of an object, and has not been read: it ends only where it is said to end.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    chunk: Bytes,
    is_all: bool,
}

impl Arrived {
    /// Takes the next chunk, or that there is none; what came before has been read.
    pub(super) fn take(&mut self, chunk: Option<Bytes>) {
        match chunk {
            Some(chunk) => self.chunk = chunk,
            None => self.is_all = true,
        }
    }
}

impl Read for Arrived {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut chunk = self.fill_buf()?;
        let count = chunk.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Arrived {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.chunk.is_empty() && !self.is_all {
            true => Err(ErrorKind::WouldBlock.into()),
            false => Ok(&self.chunk),
        }
    }

    fn consume(&mut self, count: usize) {
        self.chunk.advance(count);
    }
}
