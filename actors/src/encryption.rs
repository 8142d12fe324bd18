//! Objects that were encrypted before they came into the bucket, as they are read again.
//!
//! The key of such an object ends with [`ENCRYPTED`]. Its bytes are a salt of 8, an IV of 16, and AES-256-CTR of
//! the gzip; the AES key is the configured 24 bytes followed by the salt. The counter is the whole IV, big-endian,
//! and begins at the first byte of the gzip.
//!
//! CTR has no integrity of its own: a wrong key, or a flipped bit, makes other bytes and no error. The gzip's
//! checksum, and the SHA-256 in the key of a stream, are what finds it.

use std::fmt;

use aes::Aes256;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::ports::ByteStream;
use crate::ports::archive::ENCRYPTED;

/// Length of the configured part of the AES key.
pub const KEY_LENGTH: usize = 24;

const SALT: usize = 8;
const IV: usize = 16;

/// What stands before the ciphertext: salt and IV.
pub const HEADER: usize = SALT + IV;

const OPERATION: &str = "decrypt object";

/// The configured part of the AES key: shows itself nowhere, and is wiped when it is dropped.
#[derive(Clone)]
pub struct AesKey(Zeroizing<[u8; KEY_LENGTH]>);

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// It has so many bytes.
    #[error("it has {0} bytes")]
    Length(usize),
    /// It is not printable ASCII.
    #[error("it holds something else than printable ASCII")]
    NotAscii,
}

impl AesKey {
    /// Of exactly 24 printable ASCII characters.
    ///
    /// # Errors
    /// Why it is none, without the text.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(NotAKey::NotAscii);
        }
        let bytes = text.as_bytes().try_into();
        bytes
            .map(|bytes| Self(Zeroizing::new(bytes)))
            .map_err(|_| NotAKey::Length(text.len()))
    }
}

impl fmt::Debug for AesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesKey(****)")
    }
}

/// The cipher of one object. Encrypting and decrypting are the same.
struct Cipher(Ctr128BE<Aes256>);

impl Cipher {
    fn new(key: &AesKey, header: &[u8; HEADER]) -> Self {
        let (salt, iv) = header.split_at(SALT);
        let mut whole = Zeroizing::new([0; KEY_LENGTH + SALT]);
        whole[..KEY_LENGTH].copy_from_slice(&*key.0);
        whole[KEY_LENGTH..].copy_from_slice(salt);
        Self(Ctr128BE::new((&*whole).into(), iv.into()))
    }

    /// The next bytes, in place.
    fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }
}

/// `plain` as it lies in the bucket, with this salt and IV. For tests: nothing of this program encrypts.
#[cfg(any(test, feature = "testkit"))]
pub fn encrypted(key: &AesKey, header: &[u8; HEADER], plain: &[u8]) -> Vec<u8> {
    let mut bytes = [header, plain].concat();
    Cipher::new(key, header).apply(&mut bytes[HEADER..]);
    bytes
}

/// How an object is to be read, by its key.
#[derive(Debug)]
pub enum Reading<'a> {
    /// As it is.
    Plain,
    /// Decrypted with this key.
    Encrypted(&'a AesKey),
}

impl<'a> Reading<'a> {
    /// Looks at the `object`'s key before anything is asked for; `target` is what the fault names.
    ///
    /// # Errors
    /// Rejected: the object is encrypted, and there is no key.
    pub fn of(object: &str, key: Option<&'a AesKey>, target: impl fmt::Display) -> Result<Self, Fault> {
        match (object.ends_with(ENCRYPTED), key) {
            (false, _) => Ok(Self::Plain),
            (true, Some(key)) => Ok(Self::Encrypted(key)),
            (true, None) => Err(Fault::rejected(
                OPERATION,
                target,
                "the object is encrypted, and there is no key: set BK__EXTERNAL_BACKUP__AES_KEY to the one of this backup",
            )),
        }
    }

    /// The object's content, of the `body` that the bucket sends.
    ///
    /// # Errors
    /// Corrupt: the body is known to be too short to be an encrypted one.
    pub fn content(
        self,
        body: Box<dyn ByteStream>,
        target: impl fmt::Display,
    ) -> Result<Box<dyn ByteStream>, Fault> {
        let Self::Encrypted(key) = self else {
            return Ok(body);
        };
        let length = match body.length() {
            Some(length) if length < HEADER as u64 => return Err(too_short(target)),
            length => length.map(|length| length - HEADER as u64),
        };
        Ok(Box::new(Decrypted {
            body,
            length,
            key: key.clone(),
            header: [0; HEADER],
            filled: 0,
            cipher: None,
            target: target.to_string(),
        }))
    }
}

fn too_short(target: impl fmt::Display) -> Fault {
    let detail = format!("it is shorter than the {HEADER} bytes of salt and IV: not an encrypted object");
    Fault::corrupt(OPERATION, target, detail)
}

/// A body that is decrypted chunk by chunk, in place.
struct Decrypted {
    body: Box<dyn ByteStream>,
    /// That of the content.
    length: Option<u64>,
    key: AesKey,
    header: [u8; HEADER],
    filled: usize,
    /// Once the header is whole.
    cipher: Option<Cipher>,
    target: String,
}

impl Decrypted {
    /// The cipher, as soon as its salt and IV have come: they are taken from the front of `chunk`.
    fn cipher(&mut self, chunk: &mut BytesMut) -> Option<&mut Cipher> {
        if self.cipher.is_none() {
            let header = chunk.split_to(chunk.len().min(HEADER - self.filled));
            self.header[self.filled..][..header.len()].copy_from_slice(&header);
            self.filled += header.len();
            if self.filled == HEADER {
                self.cipher = Some(Cipher::new(&self.key, &self.header));
            }
        }
        self.cipher.as_mut()
    }
}

#[async_trait(?Send)]
impl ByteStream for Decrypted {
    fn length(&self) -> Option<u64> {
        self.length
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let Some(chunk) = self.body.chunk().await? else {
                return match self.cipher {
                    Some(_) => Ok(None),
                    None => Err(too_short(&self.target)),
                };
            };
            // Without a copy where nobody else holds it.
            let mut chunk = BytesMut::from(chunk);
            let Some(cipher) = self.cipher(&mut chunk) else {
                continue;
            };
            if !chunk.is_empty() {
                cipher.apply(&mut chunk);
                return Ok(Some(chunk.freeze()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
