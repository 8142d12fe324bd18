//! The bare work: what must be done with the bytes whoever does it, on one thread, over memory.
//!
//! For a binary: SHA-256 of its content, gzip as the program chooses it (stored where nothing is gained), and
//! SHA-256 of what is sent, which is the checksum in transit that the program chooses. For events: gzip of each
//! bundle. For a restore: gunzip of each object, and SHA-256 of what comes out. Only the CPU time of this thread counts, and not that of making the bytes.

use std::io::{self, Read};
use std::time::Duration;

use actors::gzip::{AdaptiveGzip, LARGEST_STEP, SEGMENT};
use actors::ports::bucket::SMALLEST_PART;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::Case;
use super::load::Load;

/// How much is unpacked at once.
const PIECE: usize = 64 * 1024;

/// The CPU time that the bare work of a case takes.
pub(super) fn cpu(case: Case, load: &Load) -> io::Result<Duration> {
    match case.restores() {
        true => restore(load),
        false => Ok(backup(case, load)),
    }
}

fn restore(load: &Load) -> io::Result<Duration> {
    let (mut taken, mut piece) = (Duration::ZERO, vec![0; PIECE]);
    for (_, object) in load.objects() {
        let begun = thread_time();
        let (mut gunzip, mut hash) = (MultiGzDecoder::new(&object[..]), Sha256::new());
        loop {
            match gunzip.read(&mut piece)? {
                0 => break,
                count => hash.update(&piece[..count]),
            }
        }
        std::hint::black_box(hash.finalize());
        taken += thread_time().saturating_sub(begun);
    }
    Ok(taken)
}

fn backup(case: Case, load: &Load) -> Duration {
    let mut part = Vec::with_capacity(SMALLEST_PART + LARGEST_STEP);
    let mut taken = Duration::ZERO;
    let mut count = |content: &[u8], work: fn(&[u8], &mut Vec<u8>)| {
        let begun = thread_time();
        work(content, &mut part);
        taken += thread_time().saturating_sub(begun);
    };
    match case {
        Case::Events => load.bundles().for_each(|bulk| count(&bulk, gzip)),
        _ => load.contents().for_each(|content| count(&content, binary)),
    }
    taken
}

fn binary(content: &[u8], part: &mut Vec<u8>) {
    std::hint::black_box(Sha256::digest(content));
    compress(content, part, |sent| {
        std::hint::black_box(Sha256::digest(sent));
    });
}

fn gzip(bulk: &[u8], part: &mut Vec<u8>) {
    compress(bulk, part, |sent| {
        std::hint::black_box(sent);
    });
}

/// Compresses into parts, as they are sent.
fn compress(content: &[u8], part: &mut Vec<u8>, send: fn(&[u8])) {
    let mut gzip = AdaptiveGzip::new();
    for piece in content.chunks(SEGMENT) {
        gzip.push(piece, part);
        if part.len() >= SMALLEST_PART {
            send(part);
            part.clear();
        }
    }
    gzip.finish(part);
    send(part);
    part.clear();
}

#[allow(unsafe_code, reason = "std does not tell the CPU time of a thread")]
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the place is ours, and lives through the call.
    match unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) } {
        0 => Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32),
        _ => Duration::ZERO,
    }
}
