//! Where uploaded streams are kept: small ones in memory, large ones in files of their own, so that a stand-in to
//! which gigabytes are restored does not hold them.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tempfile::TempPath;

use super::streams::Body;

/// What is larger goes to a file.
const MOST_IN_MEMORY: usize = 1024 * 1024;

/// A stream in a file, which goes with it.
#[derive(Debug)]
pub struct Spooled {
    path: TempPath,
    size: u64,
}

impl Spooled {
    /// Its length.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Some of its bytes; fewer than were asked for where the file cannot be read.
    pub(super) fn read(&self, at: u64, count: usize) -> Bytes {
        let mut piece = BytesMut::zeroed(count);
        let read = File::open(&self.path).and_then(|file| file.read_exact_at(&mut piece, at));
        match read {
            Ok(()) => piece.freeze(),
            Err(_) => Bytes::new(),
        }
    }
}

/// An upload that is coming in.
#[derive(Debug)]
pub(super) struct Incoming {
    forget: bool,
    memory: BytesMut,
    file: Option<(File, TempPath)>,
    size: u64,
}

impl Incoming {
    /// With `forget`, nothing is kept but the size.
    pub(super) fn new(forget: bool) -> Self {
        Self {
            forget,
            memory: BytesMut::new(),
            file: None,
            size: 0,
        }
    }

    pub(super) fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        self.size += piece.len() as u64;
        if self.forget {
            return Ok(());
        }
        if let Some((file, _)) = &mut self.file {
            return file.write_all(piece);
        }
        self.memory.extend_from_slice(piece);
        if self.memory.len() > MOST_IN_MEMORY {
            let (mut file, path) = tempfile::Builder::new()
                .prefix("stand-in-upload-")
                .tempfile_in(folder())?
                .into_parts();
            file.write_all(&self.memory)?;
            self.memory = BytesMut::new();
            self.file = Some((file, path));
        }
        Ok(())
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn finish(self) -> Body {
        match self.file {
            _ if self.forget => Body::Forgotten(self.size),
            Some((_, path)) => Body::Spooled(Arc::new(Spooled {
                path,
                size: self.size,
            })),
            None => Body::Given(self.memory.freeze()),
        }
    }
}

fn folder() -> PathBuf {
    std::env::temp_dir()
}
