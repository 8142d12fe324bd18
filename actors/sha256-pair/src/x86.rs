//! With the SHA extensions of x86 (Intel's manual, volume 1, 12.6), which take two rounds at a time.
//!
//! Their halves of the state are (a, b, e, f) and (c, d, g, h), the former in the high lane first.

use std::arch::x86_64::*;

use crate::BLOCK;

/// FIPS 180-4, 4.2.2; four to a row, as they are used.
static ROUNDS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// How many messages; with three, the registers do not suffice, and it is slower than with one.
const TWO: usize = 2;

/// Takes the next blocks of each message: as many as there are of the one that has fewer.
///
/// # Safety
/// The processor has what is enabled.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(crate) fn compress(states: &mut [[u32; 8]; TWO], messages: [&[[u8; BLOCK]]; TWO]) {
    let mut halves = states.map(|state| into_halves(&state));
    for (one, other) in messages[0].iter().zip(messages[1]) {
        let before = halves;
        let mut words = [load_words(one), load_words(other)];
        // Four rows are written out, so that every word has a register of its own.
        for (quarter, rows) in ROUNDS.as_chunks().0.iter().enumerate() {
            let [first, second, third, fourth] = rows;
            let is_read = quarter == 0;
            row::<0>(&mut halves, &mut words, first, is_read);
            row::<1>(&mut halves, &mut words, second, is_read);
            row::<2>(&mut halves, &mut words, third, is_read);
            row::<3>(&mut halves, &mut words, fourth, is_read);
        }
        for (now, before) in halves.iter_mut().zip(before) {
            now[0] = _mm_add_epi32(now[0], before[0]);
            now[1] = _mm_add_epi32(now[1], before[1]);
        }
    }
    *states = halves.map(|halves| from_halves(halves));
}

/// Four rounds of each message; their words are read from the block, or else made from those before.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn row<const OLDEST: usize>(
    halves: &mut [[__m128i; 2]; TWO],
    words: &mut [[__m128i; 4]; TWO],
    constants: &[u32; 4],
    are_read: bool,
) {
    for ([abef, cdgh], words) in halves.iter_mut().zip(words) {
        if !are_read {
            extend::<OLDEST>(words);
        }
        let words = _mm_add_epi32(words[OLDEST], load(constants));
        *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, words);
        *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(words, 0b00_00_11_10));
    }
}

/// The next four words of the schedule, in place of the oldest.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn extend<const OLDEST: usize>(words: &mut [__m128i; 4]) {
    let [oldest, older, newer, newest] = [0, 1, 2, 3].map(|age| words[(OLDEST + age) % 4]);
    let next = _mm_sha256msg1_epu32(oldest, older);
    let next = _mm_add_epi32(next, _mm_alignr_epi8(newest, newer, 4));
    words[OLDEST] = _mm_sha256msg2_epu32(next, newest);
}

/// The sixteen words of a block, which has them in the order of the network.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn load_words(block: &[u8; BLOCK]) -> [__m128i; 4] {
    let reversed = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let (rows, _) = block.as_chunks::<16>();
    [0, 1, 2, 3].map(|row| {
        // SAFETY: there are 16 bytes, and the load wants no alignment.
        let words = unsafe { _mm_loadu_si128(rows[row].as_ptr().cast()) };
        _mm_shuffle_epi8(words, reversed)
    })
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn load(words: &[u32; 4]) -> __m128i {
    // SAFETY: there are 16 bytes, and the load wants no alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn into_halves(&[a, b, c, d, e, f, g, h]: &[u32; 8]) -> [__m128i; 2] {
    [load(&[f, e, b, a]), load(&[h, g, d, c])]
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn from_halves(halves: [__m128i; 2]) -> [u32; 8] {
    let [[f, e, b, a], [h, g, d, c]] = halves.map(|half| {
        let mut words = [0u32; 4];
        // SAFETY: there is room for 16 bytes, and the store wants no alignment.
        unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), half) };
        words
    });
    [a, b, c, d, e, f, g, h]
}
