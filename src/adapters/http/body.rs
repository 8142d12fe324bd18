//! A body that is read chunk by chunk, with a time-out on each and a count of all.

use std::time::Duration;

use actors::fault::Fault;
use actors::ports::ByteStream;
use async_trait::async_trait;
use bytes::Bytes;

/// Where chunks come from; an error is told as text for people.
#[async_trait(?Send)]
pub(crate) trait Chunks {
    /// The next chunk as it came in; `None` at the end, be it the true one or not.
    async fn next(&mut self) -> Option<Result<Bytes, String>>;
}

/// A body that ends well only if it has exactly as many bytes as were announced.
pub struct MeasuredBody {
    chunks: Box<dyn Chunks>,
    length: Option<u64>,
    received: u64,
    patience: Duration,
    operation: &'static str,
    target: String,
}

impl MeasuredBody {
    /// `length` is what was announced, if anything was; `patience` is granted to each chunk.
    pub(crate) fn new(
        chunks: Box<dyn Chunks>,
        length: Option<u64>,
        patience: Duration,
        operation: &'static str,
        target: &str,
    ) -> Self {
        Self {
            chunks,
            length,
            received: 0,
            patience,
            operation,
            target: target.to_owned(),
        }
    }

    /// The same body, of which something else than `Content-Length` told the length.
    pub(crate) fn announced(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// The beginning of the body, `most` bytes at most, for an error's text: as far as it can be had.
    pub(crate) async fn beginning(mut self, most: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while read.len() < most {
            match self.chunk().await {
                Ok(Some(chunk)) => read.extend_from_slice(&chunk[..chunk.len().min(most - read.len())]),
                // What is told is the answer's status: a body that breaks off only makes the text shorter.
                Ok(None) | Err(_) => break,
            }
        }
        read
    }

    fn broken(&self, detail: impl std::fmt::Display) -> Fault {
        let of = self
            .length
            .map(|length| format!(" of {length}"))
            .unwrap_or_default();
        let received = self.received;
        Fault::transient(
            self.operation,
            &self.target,
            format!("{detail} after {received}{of} bytes"),
        )
    }

    fn end(&self) -> Result<Option<Bytes>, Fault> {
        match self.length {
            Some(length) if self.received < length => Err(self.broken("the body broke off")),
            _ => Ok(None),
        }
    }
}

#[async_trait(?Send)]
impl ByteStream for MeasuredBody {
    fn length(&self) -> Option<u64> {
        self.length
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let Ok(next) = tokio::time::timeout(self.patience, self.chunks.next()).await else {
                return Err(self.broken(format!("no bytes for {:?}", self.patience)));
            };
            let chunk = match next {
                Some(Ok(chunk)) if chunk.is_empty() => continue,
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => return Err(self.broken(error)),
                None => return self.end(),
            };
            self.received += chunk.len() as u64;
            if self.length.is_some_and(|length| self.received > length) {
                return Err(self.broken("the body is longer than announced"));
            }
            return Ok(Some(chunk));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    struct Canned(VecDeque<Result<Bytes, String>>);

    #[async_trait(?Send)]
    impl Chunks for Canned {
        async fn next(&mut self) -> Option<Result<Bytes, String>> {
            self.0.pop_front()
        }
    }

    fn body(length: Option<u64>, chunks: &[&'static str]) -> MeasuredBody {
        let chunks = chunks.iter().map(|text| Ok(Bytes::from(*text))).collect();
        MeasuredBody::new(
            Box::new(Canned(chunks)),
            length,
            Duration::from_secs(1),
            "download",
            "key",
        )
    }

    async fn read(mut body: MeasuredBody) -> Result<String, Fault> {
        let mut text = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            text.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8(text).unwrap())
    }

    #[actix_rt::test]
    async fn a_body_of_another_length_than_announced_never_ends_well() {
        assert_eq!(read(body(Some(4), &["ab", "", "cd"])).await.unwrap(), "abcd");
        assert_eq!(read(body(None, &["ab"])).await.unwrap(), "ab");
        for (length, expected) in [
            (5, "download key: the body broke off after 4 of 5 bytes"),
            (
                3,
                "download key: the body is longer than announced after 4 of 3 bytes",
            ),
        ] {
            let fault = read(body(Some(length), &["ab", "cd"])).await.unwrap_err();
            assert!(fault.is_transient());
            assert_eq!(fault.to_string(), expected);
        }
    }

    #[actix_rt::test]
    async fn the_beginning_is_bounded() {
        assert_eq!(body(None, &["abc", "def"]).beginning(4).await, b"abcd");
        assert_eq!(body(Some(9), &["abc"]).beginning(4).await, b"abc");
    }
}
