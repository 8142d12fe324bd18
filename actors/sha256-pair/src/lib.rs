//! SHA-256 of two messages at once, in the time of a little more than one.
//!
//! Where a processor has instructions for SHA-256, each of them waits for the one before, and not for those of another
//! message: a block of each in turn, two messages take some 0.6 of the time that they take one after the other.
//!
//! This is the part that costs time, and no more: whole blocks go into a [`State`], and [`padding`] is what a message
//! ends with. What is done to one message alone is the library's (sha2), which the pair is tested against, too.

#![allow(
    unsafe_code,
    reason = "the instructions are reached by intrinsics, and the library wants arrays of a kind of its own"
)]

#[cfg(target_arch = "x86_64")]
mod x86;

use sha2::digest::generic_array::GenericArray;
use sha2::digest::typenum::U64;

/// The length of a block, in bytes.
pub const BLOCK: usize = 64;

/// What is known of a message after some blocks of it (FIPS 180-4, 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State([u32; 8]);

impl Default for State {
    /// Before the first block (FIPS 180-4, 5.3.3).
    fn default() -> Self {
        Self([
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ])
    }
}

impl State {
    /// Takes the next blocks of one message.
    ///
    /// # Panics
    /// They are not whole.
    pub fn take(&mut self, blocks: &[u8]) {
        let blocks = whole(blocks);
        // SAFETY: an array of 64 bytes lies in memory as the library's own kind of array does.
        let blocks: &[GenericArray<u8, U64>] =
            unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), blocks.len()) };
        sha2::compress256(&mut self.0, blocks);
    }

    /// Takes the next blocks of two messages, as many of the one as of the other.
    ///
    /// # Panics
    /// They are not whole, or not as many.
    pub fn take_two(states: [&mut Self; 2], blocks: [&[u8]; 2]) {
        let [first, second] = blocks.map(whole);
        assert_eq!(first.len(), second.len(), "as many blocks of one as of the other");
        #[cfg(target_arch = "x86_64")]
        if is_faster() {
            let mut both = [states[0].0, states[1].0];
            // SAFETY: the instructions are there.
            unsafe { x86::compress(&mut both, [first, second]) };
            states
                .into_iter()
                .zip(both)
                .for_each(|(state, now)| state.0 = now);
            return;
        }
        let [one, other] = states;
        one.take(blocks[0]);
        other.take(blocks[1]);
    }

    /// The hash, once all blocks are taken and the [`padding`].
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        let (words, _) = digest.as_chunks_mut();
        words
            .iter_mut()
            .zip(self.0)
            .for_each(|(bytes, word)| *bytes = word.to_be_bytes());
        digest
    }
}

/// Whether this processor takes two messages faster at once than one after the other.
pub fn is_faster() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// The last blocks of a message of `length` bytes, of which `rest` is in no block yet (FIPS 180-4, 5.1.1).
pub fn padding(rest: &[u8], length: u64) -> Vec<u8> {
    let mut last = rest.to_vec();
    last.push(0x80);
    last.resize((last.len() + 8).next_multiple_of(BLOCK) - 8, 0);
    last.extend_from_slice(&length.wrapping_mul(8).to_be_bytes());
    last
}

fn whole(bytes: &[u8]) -> &[[u8; BLOCK]] {
    let (blocks, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "whole blocks");
    blocks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    fn hash(message: &[u8]) -> [u8; 32] {
        let mut state = State::default();
        let (blocks, rest) = message.split_at(message.len() / BLOCK * BLOCK);
        state.take(blocks);
        state.take(&padding(rest, message.len() as u64));
        state.digest()
    }

    #[test]
    fn every_length_around_a_block_is_padded_right() {
        for length in 0..4 * BLOCK {
            let message = vec![length as u8; length];
            assert_eq!(hash(&message)[..], Sha256::digest(&message)[..], "{length}");
        }
        // FIPS 180-4's own example.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(hash(b"abc")), known);
    }

    proptest! {
        #[test]
        fn two_at_once_are_what_each_is_alone(
            blocks in 0usize..40,
            before in 0usize..3,
            bytes in any::<u64>(),
        ) {
            let mut next = bytes | 1;
            let mut message = || Vec::from_iter((0..BLOCK * (before + blocks)).map(|_| {
                next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (next >> 56) as u8
            }));
            let (one, other) = (message(), message());
            let [mut first, mut second] = [State::default(), State::default()];
            first.take(&one[..BLOCK * before]);
            second.take(&other[..BLOCK * before]);
            State::take_two([&mut first, &mut second], [&one[BLOCK * before..], &other[BLOCK * before..]]);
            for (state, message) in [(&mut first, one), (&mut second, other)] {
                state.take(&padding(&[], message.len() as u64));
                prop_assert_eq!(&state.digest()[..], &Sha256::digest(&message)[..]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "whole blocks")]
    fn what_is_no_whole_block_is_not_taken() {
        State::default().take(&[0; 63]);
    }

    #[test]
    #[should_panic(expected = "as many blocks")]
    fn nor_more_of_one_than_of_the_other() {
        let [mut one, mut other] = [State::default(), State::default()];
        State::take_two([&mut one, &mut other], [&[0; 64], &[0; 128]]);
    }
}
