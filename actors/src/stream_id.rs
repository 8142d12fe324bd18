//! Which binary: source, label and SHA-256. Text of the network becomes a [`StreamId`] only when it can stand
//! in a key, a path and a URL without escaping its place.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::feed::SourceName;
use crate::path_segment::{Unsafe, path_segment};

/// A SHA-256, printed and parsed as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The SHA-256 of `content`.
    pub fn of(content: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(content).into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = Unsafe;

    fn from_str(text: &str) -> Result<Self, Unsafe> {
        let lower_case = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut bytes = [0; 32];
        if lower_case && hex::decode_to_slice(text, &mut bytes).is_ok() {
            Ok(Self(bytes))
        } else {
            Err(Unsafe::new("SHA-256", text))
        }
    }
}

/// One stream: `source/label/sha256`, which is also its key in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId {
    source: SourceName,
    label: Arc<str>,
    sha256: Sha256,
}

impl StreamId {
    /// Checks what an event says.
    ///
    /// # Errors
    /// [`Unsafe`] names the part that cannot be used.
    pub fn new(source: &str, label: &str, sha256: &str) -> Result<Self, Unsafe> {
        let source = SourceName::new(source)?;
        path_segment("label", label)?;
        Ok(Self {
            source,
            label: label.into(),
            sha256: sha256.parse()?,
        })
    }

    /// The source of the event that named it.
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// What the stream is to its binary: `content`, `text`, `pcap` and so on; an open set.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What its bytes must hash to.
    pub fn sha256(&self) -> &Sha256 {
        &self.sha256
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.source, self.label, self.sha256)
    }
}

impl FromStr for StreamId {
    type Err = Unsafe;

    fn from_str(text: &str) -> Result<Self, Unsafe> {
        let mut parts = text.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(source), Some(label), Some(sha256)) => Self::new(source, label, sha256),
            _ => Err(Unsafe::new("stream", text)),
        }
    }
}

impl TryFrom<String> for StreamId {
    type Error = Unsafe;

    fn try_from(text: String) -> Result<Self, Unsafe> {
        text.parse()
    }
}

impl From<StreamId> for String {
    fn from(stream: StreamId) -> Self {
        stream.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "5cc7f416087731c86203a1789fd29c913bf8e6d46fcff7e9a85a5aed5405ab1c";

    #[test]
    fn a_stream_is_its_key() {
        let stream = StreamId::new("samples", "content", HEX).unwrap();
        assert_eq!(stream.to_string(), format!("samples/content/{HEX}"));
        assert_eq!(stream.to_string().parse::<StreamId>().unwrap(), stream);
    }

    #[test]
    fn text_that_could_leave_its_place_is_refused() {
        let upper = HEX.to_uppercase();
        for (source, label, sha256) in [
            ("", "content", HEX),
            ("..", "content", HEX),
            ("a/b", "content", HEX),
            ("a", "", HEX),
            ("a", "../b", HEX),
            ("a", "con\0tent", HEX),
            ("a", "content", ""),
            ("a", "content", &HEX[1..]),
            ("a", "content", upper.as_str()),
        ] {
            assert!(
                StreamId::new(source, label, sha256).is_err(),
                "{source:?} {label:?} {sha256:?}"
            );
        }
    }
}
