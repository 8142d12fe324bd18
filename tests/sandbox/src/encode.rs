//! Avro as Azul's own encoder writes it: arrays and maps come in blocks of at most a hundred items, each with a
//! *negative* count followed by its size in bytes. Only what Azul's schemas use is here, and nothing decodes:
//! the proof is that apache-avro reads it.

/// The most items that Azul's encoder puts into one block.
pub const BLOCK: usize = 100;

/// Appends a zigzag varint.
pub fn long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends bytes, length first.
pub fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    long(out, value.len() as i64);
    out.extend_from_slice(value);
}

/// Appends a string.
pub fn string(out: &mut Vec<u8>, value: &str) {
    bytes(out, value.as_bytes());
}

/// Appends a boolean.
pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// Appends Azul's `u64`, a fixed of eight bytes, the highest first.
pub fn fixed_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends one sized block of `count` encoded items.
pub fn block(out: &mut Vec<u8>, count: usize, items: &[u8]) {
    block_head(out, count, items.len());
    out.extend_from_slice(items);
}

/// Appends what stands before the items of a sized block.
pub fn block_head(out: &mut Vec<u8>, count: usize, size: usize) {
    long(out, -(count as i64));
    long(out, size as i64);
}

/// Appends an array (or, with items that begin with their key, a map).
pub fn array<T>(out: &mut Vec<u8>, items: &[T], mut item: impl FnMut(&mut Vec<u8>, &T)) {
    let mut encoded = Vec::new();
    for chunk in items.chunks(BLOCK) {
        encoded.clear();
        for one in chunk {
            item(&mut encoded, one);
        }
        block(out, chunk.len(), &encoded);
    }
    long(out, 0);
}

/// Appends a map of strings.
pub fn string_map(out: &mut Vec<u8>, entries: &[(String, String)]) {
    array(out, entries, |out, (key, value)| {
        string(out, key);
        string(out, value);
    });
}

/// How the blocks of a bulk are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As Azul writes it: sized blocks of at most [`BLOCK`] events.
    Sized,
    /// As other encoders write it: blocks of this many events, without sizes.
    Unsized(usize),
}

/// A bulk of encoded events; `version` as the bulk's first field, which version 4 does not have.
pub fn bulk(version: i64, events: &[impl AsRef<[u8]>], layout: Layout) -> Vec<u8> {
    let mut out = Vec::new();
    bulk_head(&mut out, version);
    let per_block = match layout {
        Layout::Sized => BLOCK,
        Layout::Unsized(count) => count.max(1),
    };
    for chunk in events.chunks(per_block) {
        let size = chunk.iter().map(|event| event.as_ref().len()).sum();
        match layout {
            Layout::Sized => block_head(&mut out, chunk.len(), size),
            Layout::Unsized(_) => long(&mut out, chunk.len() as i64),
        }
        chunk
            .iter()
            .for_each(|event| out.extend_from_slice(event.as_ref()));
    }
    long(&mut out, 0);
    out
}

/// Appends what stands before the blocks of a bulk.
pub fn bulk_head(out: &mut Vec<u8>, version: i64) {
    if version > 4 {
        long(out, version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bulk_is_the_recorded_one() {
        let none: [&[u8]; 0] = [];
        assert_eq!(bulk(6, &none, Layout::Sized), b"\x0c\x00");
        assert_eq!(bulk(4, &none, Layout::Sized), b"\x00");
    }

    #[test]
    fn blocks_are_sized_and_hold_a_hundred_items() {
        let events = vec![b"ab"; 101];
        let mut expected = vec![0x0c];
        block(&mut expected, 100, &b"ab".repeat(100));
        block(&mut expected, 1, b"ab");
        expected.push(0);
        assert_eq!(bulk(6, &events, Layout::Sized), expected);
    }
}
