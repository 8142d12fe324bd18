use super::*;
use crate::fault::FaultKind;
use crate::stream_id::Sha256;

const KEY: &str = "0123456789abcdefghijklmn";

fn key() -> AesKey {
    AesKey::parse(KEY).unwrap()
}

/// A body of these bytes, in chunks of this size.
struct Chunks {
    bytes: Bytes,
    size: usize,
    announced: bool,
}

#[async_trait(?Send)]
impl ByteStream for Chunks {
    fn length(&self) -> Option<u64> {
        self.announced.then_some(self.bytes.len() as u64)
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let size = self.bytes.len().min(self.size);
        Ok((size > 0).then(|| self.bytes.split_to(size)))
    }
}

fn reading(bytes: &[u8], size: usize, announced: bool) -> Result<Box<dyn ByteStream>, Fault> {
    let body = Chunks {
        bytes: Bytes::copy_from_slice(bytes),
        size,
        announced,
    };
    let key = key();
    Reading::of("a/b/c.aesc1", Some(&key), "streams/a/b/c.aesc1")?
        .content(Box::new(body), "streams/a/b/c.aesc1")
}

async fn read(bytes: &[u8], size: usize, announced: bool) -> Result<Vec<u8>, Fault> {
    let mut content = reading(bytes, size, announced)?;
    let mut plain = Vec::new();
    while let Some(chunk) = content.chunk().await? {
        assert!(!chunk.is_empty());
        plain.extend_from_slice(&chunk);
    }
    Ok(plain)
}

/// Salt, IV and ciphertext by OpenSSL 3.0, with the salt's hex behind the key's and that of the IV:
/// `printf '…' | openssl enc -aes-256-ctr -K $(printf 0123456789abcdefghijklmn | xxd -p)0001020304050607
/// -iv 000102030405060708090a0b0c0d0e0f | xxd -p`; and the same by Python's `cryptography`.
const KNOWN: [(&str, &str); 3] = [
    (
        "0001020304050607000102030405060708090a0b0c0d0e0f\
         593c5fd72165b457bc0136c4899b19c1f4979f31bbe94f217c2343a8c080d6b274be9cc3e8d61202",
        "The gzip of a binary, forty bytes long..",
    ),
    // The counter is of 128 bits, and goes on from 0 behind the largest.
    (
        "73616c7473616c74ffffffffffffffffffffffffffffffff\
         b67bb51f105101df96966a2f919e5357c146799410a515557df3ae6d42901926f70aa9f5d0e0f214d893b5077a30c4759b",
        "a counter that wraps around after the first block",
    ),
    ("000000000000000000000000000000000000000000000000", ""),
];

#[tokio::test]
async fn what_others_encrypted_is_read_whatever_its_chunks_are() {
    for (bytes, plain) in KNOWN {
        let bytes = hex::decode(bytes).unwrap();
        for size in [1, 7, 24, 25, 64, 1000] {
            for announced in [true, false] {
                let read = read(&bytes, size, announced).await.unwrap();
                assert_eq!(String::from_utf8(read).unwrap(), plain, "chunks of {size}");
            }
        }
    }
}

/// A megabyte, whose counter carries into its upper half, by its SHA-256, in Python:
/// `c = Cipher(algorithms.AES(b"0123456789abcdefghijklmn" + b"\x80" * 8), modes.CTR(b"\xff" * 15 + b"\xfe"))
/// .encryptor(); hashlib.sha256(b"\x80" * 8 + b"\xff" * 15 + b"\xfe" + c.update(bytes(i % 251 for i in
/// range(1000003)))).hexdigest()`
#[tokio::test]
async fn a_large_object_is_decrypted_to_its_last_byte() {
    let plain: Vec<u8> = (0..1_000_003_u32).map(|i| (i % 251) as u8).collect();
    let mut header = [0xff; HEADER];
    header[..SALT].fill(0x80);
    header[HEADER - 1] = 0xfe;
    let bytes = encrypted(&key(), &header, &plain);
    assert_eq!(
        Sha256::of(&bytes).to_string(),
        "90990d7454ca8cb5db3367b63677ad0ee3605e4b870bddc4d3252d5d26cd56b6"
    );
    assert_eq!(read(&bytes, 8191, true).await.unwrap(), plain);
}

#[test]
fn the_length_is_that_of_the_content() {
    let bytes = hex::decode(KNOWN[0].0).unwrap();
    assert_eq!(reading(&bytes, 9, true).unwrap().length(), Some(40));
    assert_eq!(reading(&bytes, 9, false).unwrap().length(), None);
}

#[tokio::test]
async fn what_is_too_short_to_be_encrypted_is_corrupt() {
    for length in [0, 1, 23] {
        for announced in [true, false] {
            let fault = read(&vec![7; length], 10, announced).await.unwrap_err();
            assert_eq!(fault.kind(), FaultKind::Corrupt, "{length} bytes, {announced}");
            assert!(
                fault
                    .to_string()
                    .starts_with("decrypt object streams/a/b/c.aesc1: it is shorter"),
                "{fault}"
            );
        }
    }
}

#[test]
fn without_a_key_only_plain_objects_are_read() {
    assert!(matches!(Reading::of("a/b/c", None, "x"), Ok(Reading::Plain)));
    assert!(matches!(
        Reading::of("a.aesc1/c", Some(&key()), "x"),
        Ok(Reading::Plain)
    ));
    let fault = Reading::of("a/b/c.aesc1", None, "streams/a/b/c.aesc1").unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Rejected);
    assert_eq!(
        fault.to_string(),
        "decrypt object streams/a/b/c.aesc1: the object is encrypted, and there is no key: set \
         BK__EXTERNAL_BACKUP__AES_KEY to the one of this backup"
    );
}

#[test]
fn a_key_is_24_printable_characters_and_never_shown() {
    for (text, fault) in [
        ("0123456789abcdefghijklm", NotAKey::Length(23)),
        ("0123456789abcdefghijklmno", NotAKey::Length(25)),
        ("", NotAKey::Length(0)),
        ("0123456789abcdefghijkl\u{fc}", NotAKey::NotAscii),
        ("0123456789abcdefghijklm\n", NotAKey::NotAscii),
    ] {
        assert_eq!(AesKey::parse(text).unwrap_err(), fault, "{text:?}");
    }
    let key = AesKey::parse("0123456789 bcdefghijkl~n").unwrap();
    let shown = format!("{key:?} {:?}", Reading::Encrypted(&key));
    assert!(!shown.contains("0123") && shown.contains("****"), "{shown}");
}
