//! The bytes of generated binaries: any range of any size from a seed, so that a binary of a gigabyte costs no
//! memory. Content is made of blocks of 64 bytes, each a function of the seed and its number alone.

use actors::stream_id::Sha256;
use sha2::Digest;

/// The unit of which content is made.
const BLOCK: usize = 64;

/// How content behaves under compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Words and line ends; shrinks to about a third.
    Text,
    /// Headers, code and padding like those of an executable; shrinks to about a half.
    Executable,
    /// Like packed malware: does not shrink.
    Packed,
}

/// The bytes of one generated binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// From where its bytes follow.
    pub seed: u64,
    /// How many there are.
    pub size: u64,
    /// Of which kind.
    pub kind: Kind,
}

/// A well-mixed function of a seed and a number (the finaliser of splitmix64).
pub fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const WORDS: [&[u8; 8]; 32] = [
    b"registry",
    b"packet  ",
    b"kernel  ",
    b"beacon  ",
    b"0x00ff  ",
    b"payload ",
    b"http:// ",
    b"dropper ",
    b"section ",
    b"import  ",
    b"thread  ",
    b"process ",
    b"mutex   ",
    b"service ",
    b"stager  ",
    b"loader  ",
    b"GET /   ",
    b"cookie= ",
    b"domain  ",
    b"base64  ",
    b"decode  ",
    b"entropy ",
    b"strings ",
    b"macro   ",
    b"archive ",
    b"header  ",
    b"offset  ",
    b"symbol  ",
    b"library ",
    b"address ",
    b"virtual ",
    b"handle\r\n",
];

const OPCODES: [&[u8; 4]; 16] = [
    b"\x48\x89\xe5\x53",
    b"\x48\x83\xec\x28",
    b"\xe8\x00\x00\x00",
    b"\x48\x8b\x45\xf8",
    b"\x89\x45\xfc\x90",
    b"\x0f\x84\x10\x00",
    b"\xc3\x66\x90\x90",
    b"\x55\x48\x89\xe5",
    b"\x41\x57\x41\x56",
    b"\x31\xc0\x5b\x5d",
    b"\xff\x15\x20\x10",
    b"\x48\x8d\x3d\x00",
    b"\xeb\x0c\x90\x90",
    b"\x74\x08\x48\x85",
    b"\x0f\xb6\x07\x48",
    b"\x83\xf8\x7f\x77",
];

impl Content {
    fn block(&self, number: u64) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        match self.kind {
            Kind::Packed => {
                for (word, place) in block.chunks_exact_mut(8).enumerate() {
                    place.copy_from_slice(&mix(self.seed, number * 8 + word as u64).to_le_bytes());
                }
            }
            Kind::Text => {
                let choice = mix(self.seed, number);
                for (word, place) in block.chunks_exact_mut(8).enumerate() {
                    place.copy_from_slice(WORDS[(choice >> (word * 5)) as usize & 31]);
                }
            }
            Kind::Executable => self.executable(number, &mut block),
        }
        block
    }

    /// Every eighth group of blocks is padding, every other eighth is data; the rest is code.
    fn executable(&self, number: u64, block: &mut [u8; BLOCK]) {
        if number == 0 {
            block[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
            block[8..16].copy_from_slice(&self.seed.to_le_bytes());
            return;
        }
        match mix(self.seed, number / 16) % 8 {
            0 => {}
            1 => {
                for (word, place) in block.chunks_exact_mut(8).enumerate() {
                    place.copy_from_slice(&mix(self.seed, number * 8 + word as u64).to_le_bytes());
                }
            }
            _ => {
                let choice = mix(self.seed, number);
                for (word, place) in block.chunks_exact_mut(4).enumerate() {
                    place.copy_from_slice(OPCODES[(choice >> (word * 4)) as usize & 15]);
                }
                block[BLOCK - 2..].copy_from_slice(&(choice as u16).to_le_bytes());
            }
        }
    }

    /// Fills `out` with the bytes from `offset` on; returns how many there were.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> usize {
        let wanted = (out.len() as u64).min(self.size.saturating_sub(offset)) as usize;
        let mut done = 0;
        while done < wanted {
            let at = offset + done as u64;
            let (number, skip) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let count = (BLOCK - skip).min(wanted - done);
            out[done..done + count].copy_from_slice(&self.block(number)[skip..skip + count]);
            done += count;
        }
        wanted
    }

    /// All bytes; for small ones.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; self.size as usize];
        self.read_at(0, &mut out);
        out
    }

    /// Reads it all, piece by piece.
    pub fn sha256(&self) -> Sha256 {
        let mut hash = sha2::Sha256::new();
        let mut piece = vec![0; 64 * 1024];
        let mut offset = 0;
        loop {
            let count = self.read_at(offset, &mut piece);
            if count == 0 {
                return Sha256::from_bytes(hash.finalize().into());
            }
            hash.update(&piece[..count]);
            offset += count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn shrunk(kind: Kind) -> f64 {
        let content = Content {
            seed: 7,
            size: 300_000,
            kind,
        };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&content.bytes()).unwrap();
        gzip.finish().unwrap().len() as f64 / 300_000.0
    }

    #[test]
    fn any_range_holds_the_bytes_of_the_whole() {
        for kind in [Kind::Text, Kind::Executable, Kind::Packed] {
            let content = Content {
                seed: 3,
                size: 1000,
                kind,
            };
            let whole = content.bytes();
            for (from, len) in [(0, 1000), (1, 63), (63, 2), (64, 64), (999, 10), (1000, 5)] {
                let mut part = vec![0; len];
                let count = content.read_at(from as u64, &mut part);
                assert_eq!(part[..count], whole[from..(from + len).min(1000)]);
            }
            assert_eq!(content.sha256(), Sha256::of(&whole));
        }
    }

    #[test]
    fn kinds_compress_as_they_say() {
        assert!((0.1..0.5).contains(&shrunk(Kind::Text)), "{}", shrunk(Kind::Text));
        assert!(
            (0.3..0.7).contains(&shrunk(Kind::Executable)),
            "{}",
            shrunk(Kind::Executable)
        );
        assert!(shrunk(Kind::Packed) > 0.99);
    }
}
