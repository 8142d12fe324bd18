//! What befalls a body on its way, as a test asks for it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Gate, lock};
use crate::fault::Fault;
use crate::ports::ByteStream;

/// How a body is not what was stored. Places are counted from the first byte as it is stored, salt and IV included.
#[derive(Clone, Debug)]
pub enum Damage {
    /// The connection breaks after so many bytes: a transient fault, as an adapter makes it of every body that is
    /// shorter than announced.
    BreaksOff {
        /// Bytes that come through.
        after: usize,
    },
    /// One bit of this byte is another one, and nobody says so.
    FlipsBit {
        /// The byte; none if the body is shorter.
        at: usize,
    },
    /// After so many bytes nothing comes until the gate opens.
    Stalls {
        /// Bytes that come through before.
        after: usize,
        /// What it waits at.
        gate: Gate,
    },
}

/// Large enough to be cheap, small enough for most bodies to come in several.
const CHUNK: usize = 64 * 1024;

/// A body that is handed out chunk by chunk.
pub(super) struct Body {
    content: Bytes,
    sent: usize,
    damage: Option<Damage>,
    target: String,
    bytes_read: Arc<Mutex<u64>>,
}

impl Body {
    pub(super) fn new(
        content: Bytes,
        damage: Option<Damage>,
        target: &str,
        bytes_read: Arc<Mutex<u64>>,
    ) -> Self {
        let content = match damage {
            Some(Damage::FlipsBit { at }) => flipped(&content, at),
            _ => content,
        };
        Self {
            content,
            sent: 0,
            damage,
            target: target.to_owned(),
            bytes_read,
        }
    }

    /// How far the body comes before its damage befalls it.
    fn end(&self) -> usize {
        let whole = self.content.len();
        match self.damage {
            Some(Damage::BreaksOff { after } | Damage::Stalls { after, .. }) => after.clamp(self.sent, whole),
            _ => whole,
        }
    }
}

fn flipped(content: &[u8], at: usize) -> Bytes {
    let mut bytes = content.to_vec();
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    bytes.into()
}

#[async_trait(?Send)]
impl ByteStream for Body {
    fn length(&self) -> Option<u64> {
        Some(self.content.len() as u64)
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.sent == self.end() {
            match self.damage.take() {
                Some(Damage::BreaksOff { .. }) => {
                    let of = self.content.len();
                    let detail = format!("the body broke off after {} of {of} bytes", self.sent);
                    return Err(Fault::transient("get object", &self.target, detail));
                }
                Some(Damage::Stalls { gate, .. }) => gate.pass().await,
                Some(Damage::FlipsBit { .. }) | None => {}
            }
        }
        let size = CHUNK.min(self.end() - self.sent);
        let chunk = self.content.slice(self.sent..self.sent + size);
        self.sent += size;
        *lock(&self.bytes_read) += size as u64;
        Ok((size > 0).then_some(chunk))
    }
}
