use std::io::Read;

use flate2::read::{GzDecoder, MultiGzDecoder};
use proptest::prelude::*;

use super::*;

/// Gzips `content`, handed over in pieces of the given lengths in turn.
fn gzip(content: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut gzip = AdaptiveGzip::new();
    let mut out = Vec::new();
    let mut rest = content;
    for length in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, tail) = rest.split_at(rest.len().min(*length));
        gzip.push(piece, &mut out);
        rest = tail;
    }
    gzip.finish(&mut out);
    out
}

fn gunzip(gzipped: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    MultiGzDecoder::new(gzipped).read_to_end(&mut content).unwrap();
    content
}

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn text(length: usize) -> Vec<u8> {
    (0u32..)
        .flat_map(|n| format!("event {n} of source {}; ", n % 7).into_bytes())
        .take(length)
        .collect()
}

/// Content as it occurs: runs of text, of packed bytes, and of bytes that level 1 makes longer.
fn mixed() -> impl Strategy<Value = Vec<u8>> {
    let run = (0u8..4, 0usize..300_000, any::<u64>()).prop_map(|(kind, length, seed)| match kind {
        0 => text(length),
        1 => random(seed, length),
        2 => random(seed, length).into_iter().map(|byte| byte | 0x90).collect(),
        _ => vec![0; length],
    });
    prop::collection::vec(run, 0..5).prop_map(|runs| runs.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_goes_in_comes_out(content in mixed(), pieces in prop::collection::vec(1usize..200_000, 1..6)) {
        let gzipped = gzip(&content, &pieces);
        prop_assert!(gzipped.len() as u64 <= bound(content.len() as u64));
        prop_assert!(gunzip(&gzipped) == content);
    }

    #[test]
    fn the_same_content_gives_the_same_bytes_however_it_is_cut(
        content in mixed(),
        pieces in prop::collection::vec(1usize..200_000, 1..6),
    ) {
        let whole = gzip(&content, &[usize::MAX]);
        prop_assert!(gzip(&content, &pieces) == whole);
        // The output's spare room must not matter either.
        let mut roomy = Vec::with_capacity(4 << 20);
        let mut gzip = AdaptiveGzip::new();
        gzip.push(&content, &mut roomy);
        gzip.finish(&mut roomy);
        prop_assert!(roomy == whole);
    }
}

#[test]
fn nothing_becomes_the_shortest_gzip() {
    let gzipped = gzip(&[], &[1]);
    assert_eq!(gzipped.len() as u64, SHORTEST);
    assert_eq!(bound(0), SHORTEST);
    assert_eq!(gunzip(&gzipped), b"");
}

#[test]
fn borders_of_segments_and_blocks_are_met() {
    for length in [
        1,
        65_534,
        65_535,
        65_536,
        SEGMENT - 1,
        SEGMENT,
        SEGMENT + 1,
        3 * SEGMENT,
    ] {
        for content in [random(7, length), text(length)] {
            let gzipped = gzip(&content, &[SEGMENT - 1, 1, 2]);
            assert!(gzipped.len() as u64 <= bound(length as u64), "{length}");
            assert!(gunzip(&gzipped) == content, "{length}");
        }
    }
}

#[test]
fn it_is_one_member() {
    let content = [text(SEGMENT), random(3, 2 * SEGMENT), text(SEGMENT)].concat();
    let gzipped = gzip(&content, &[10_000]);
    let mut decoder = GzDecoder::new(gzipped.as_slice());
    let mut first = Vec::new();
    decoder.read_to_end(&mut first).unwrap();
    assert!(first == content);
    assert!(decoder.into_inner().is_empty());
}

#[test]
fn what_does_not_shrink_is_stored_and_what_does_shrinks() {
    let packed = random(5, 8 * SEGMENT);
    let gzipped = gzip(&packed, &[SEGMENT]);
    assert_eq!(gzipped.len() as u64, bound(packed.len() as u64));

    let content = [random(5, 4 * SEGMENT), text(4 * SEGMENT)].concat();
    let gzipped = gzip(&content, &[SEGMENT]);
    assert!(gzipped.len() < 4 * SEGMENT + 2 * SEGMENT, "{}", gzipped.len());
}

#[test]
fn a_sample_that_misleads_costs_time_and_not_space() {
    // Zeros exactly where the sample is taken, and around them bytes that level 1 makes longer.
    let mut content: Vec<u8> = random(9, 4 * SEGMENT)
        .into_iter()
        .map(|byte| byte | 0x90)
        .collect();
    for segment in content.chunks_mut(SEGMENT) {
        let stride = (SEGMENT - 4096) / 3;
        for slice in 0..4 {
            segment[slice * stride..][..600].fill(0);
        }
    }
    let gzipped = gzip(&content, &[SEGMENT]);
    assert!(gzipped.len() as u64 <= bound(content.len() as u64));
    assert!(gunzip(&gzipped) == content);
}

#[test]
fn one_step_grows_the_output_by_less_than_announced() {
    let content = random(11, 5 * SEGMENT + 77);
    let mut gzip = AdaptiveGzip::new();
    let mut out = Vec::with_capacity(LARGEST_STEP);
    for piece in content.chunks(SEGMENT - 13) {
        out.clear();
        gzip.push(piece, &mut out);
        assert_eq!(out.capacity(), LARGEST_STEP);
    }
    out.clear();
    gzip.finish(&mut out);
    assert_eq!(out.capacity(), LARGEST_STEP);
}
