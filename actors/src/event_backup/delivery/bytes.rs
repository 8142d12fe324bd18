//! The bytes of a bundle: joined and compressed on the blocking pool, poured into the bucket chunk by chunk, or
//! digested to be compared with what lies there. Memory is bounded whatever the size of the bundle.

use std::io::{self, Write};
use std::rc::Rc;

use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::avro::join::{Part, write_bundle};
use crate::event_backup::FeedPorts;
use crate::fault::Fault;
use crate::gzip::{self, AdaptiveGzip};
use crate::object_key::ObjectKey;
use crate::object_writer::{Destination, Finished, ObjectWriter, PartPlan};
use crate::ports::bucket::Bucket;
use crate::ports::journal::JournalOpener;
use crate::ports::state::{BatchRow, SealedBundle};

/// How much compressed output goes from the compressor to the bucket at a time.
const CHUNK: usize = 256 * 1024;

/// What identifies a bundle's content.
pub(super) struct Digests {
    /// Of the object as it would be written: the entity tag of a single PUT.
    pub(super) gzip_md5: String,
    /// Of the bulk inside.
    pub(super) bulk_sha256: [u8; 32],
}

/// A bundle that can be produced on any thread.
struct Recipe {
    sealed: SealedBundle,
    rows: Vec<BatchRow>,
    opener: std::sync::Arc<dyn JournalOpener>,
}

impl Recipe {
    fn new(ports: &FeedPorts, sealed: &SealedBundle, rows: &[BatchRow]) -> Result<Self, Fault> {
        let rows = sealed.members.iter().map(|member| {
            rows.iter()
                .find(|row| row.file.seq == member.seq)
                .cloned()
                .ok_or_else(|| {
                    Fault::corrupt(
                        "read journal",
                        &sealed.key,
                        format!("batch {} is gone", member.seq),
                    )
                })
        });
        Ok(Self {
            sealed: sealed.clone(),
            rows: rows.collect::<Result<_, _>>()?,
            opener: ports.journal.opener(),
        })
    }

    /// The length of the bulk, a little rounded up.
    fn length(&self) -> u64 {
        let all: u64 = self
            .rows
            .iter()
            .map(|row| row.contents.bulk.end - row.contents.bulk.start)
            .sum();
        all * u64::from(self.sealed.copies)
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Fault> {
        let parts: Vec<_> = self
            .rows
            .iter()
            .zip(&self.sealed.members)
            .map(|(row, member)| Part {
                contents: &row.contents,
                events: member.events.clone(),
            })
            .collect();
        let mut open = |index: usize| self.opener.open(&self.rows[index].file);
        let model = self.sealed.key.feed().model();
        write_bundle(
            model,
            self.sealed.version,
            &parts,
            self.sealed.copies,
            &mut open,
            out,
        )
        .map_err(|error| Fault::corrupt("join bundle", &self.sealed.key, error))
    }
}

/// Writes the bundle under its key.
pub(super) async fn pour_bundle(
    ports: &FeedPorts,
    sealed: &SealedBundle,
    rows: &[BatchRow],
    to: Destination,
) -> Result<Finished, Fault> {
    let recipe = Recipe::new(ports, sealed, rows)?;
    let plan = PartPlan::new(Some(gzip::bound(recipe.length())));
    let _held = ports.memory.reserve(plan.memory() + 2 * CHUNK as u64).await;
    let (chunks, compressed) = mpsc::channel(1);
    let produce = ports.joining(move || {
        let mut out = GzipPipe {
            gzip: AdaptiveGzip::new(),
            ready: Vec::with_capacity(CHUNK),
            chunks,
        };
        recipe.write(&mut out)?;
        out.finish();
        Ok::<(), Fault>(())
    });
    let mut writer = ObjectWriter::new(to, sealed.key.clone().into(), plan, None);
    // It owns the receiver: a producer whose chunks nobody takes any more must not wait for ever.
    let consumed = async {
        let mut compressed = compressed;
        while let Some(chunk) = compressed.recv().await {
            writer.buffer().extend_from_slice(&chunk);
            writer.drain().await?;
        }
        drop(compressed);
        Ok::<(), Fault>(())
    };
    let (produced, consumed) = tokio::join!(produce, consumed);
    match consumed.and(produced).and_then(|produced| produced) {
        Ok(()) => writer.finish().await,
        Err(fault) => {
            writer.abort().await;
            Err(fault)
        }
    }
}

/// Compresses what is written to it and sends it on in chunks.
struct GzipPipe {
    gzip: AdaptiveGzip,
    ready: Vec<u8>,
    chunks: mpsc::Sender<Vec<u8>>,
}

impl GzipPipe {
    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.ready, Vec::with_capacity(CHUNK));
        self.chunks
            .blocking_send(chunk)
            .map_err(|_| io::Error::other("nobody takes the compressed bytes"))
    }

    fn finish(mut self) {
        let gzip = std::mem::take(&mut self.gzip);
        gzip.finish(&mut self.ready);
        let _nobody_listens = self.chunks.blocking_send(self.ready);
    }
}

impl Write for GzipPipe {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        for step in content.chunks(CHUNK) {
            self.gzip.push(step, &mut self.ready);
            if self.ready.len() >= CHUNK {
                self.send()?;
            }
        }
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Digests the bundle as it would be written.
pub(super) async fn digest_bundle(
    ports: &FeedPorts,
    sealed: &SealedBundle,
    rows: &[BatchRow],
) -> Result<Digests, Fault> {
    let recipe = Recipe::new(ports, sealed, rows)?;
    ports
        .joining(move || {
            let mut out = Digester {
                gzip: AdaptiveGzip::new(),
                ready: Vec::new(),
                gzip_md5: Md5::new(),
                bulk_sha256: Sha256::new(),
            };
            recipe.write(&mut out)?;
            Ok(out.finish())
        })
        .await?
}

struct Digester {
    gzip: AdaptiveGzip,
    ready: Vec<u8>,
    gzip_md5: Md5,
    bulk_sha256: Sha256,
}

impl Digester {
    fn finish(mut self) -> Digests {
        self.gzip.finish(&mut self.ready);
        self.gzip_md5.update(&self.ready);
        Digests {
            gzip_md5: hex::encode(self.gzip_md5.finalize()),
            bulk_sha256: self.bulk_sha256.finalize().into(),
        }
    }
}

impl Write for Digester {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.bulk_sha256.update(content);
        for step in content.chunks(CHUNK) {
            self.gzip.push(step, &mut self.ready);
            self.gzip_md5.update(&self.ready);
            self.ready.clear();
        }
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of what an object decompresses to; `None` if it does not decompress.
pub(super) async fn digest_object(
    bucket: &Rc<dyn Bucket>,
    key: &ObjectKey,
) -> Result<Option<[u8; 32]>, Fault> {
    let mut object = bucket.get(key).await?;
    let mut digest = flate2::write::MultiGzDecoder::new(Hasher(Sha256::new()));
    let mut intact = true;
    while let Some(chunk) = object.chunk().await? {
        intact = intact && digest.write_all(&chunk).is_ok();
        // Decompressing goes on the thread of the actors: let them have their turn.
        tokio::task::yield_now().await;
    }
    Ok(digest
        .finish()
        .ok()
        .filter(|_| intact)
        .map(|hasher| hasher.0.finalize().into()))
}

struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.0.update(content);
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
