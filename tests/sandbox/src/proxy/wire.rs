//! One connection, as far as HTTP/1.1 has to be understood to find where messages begin and end.
//!
//! Whatever is read is kept as it came: what passes, passes byte for byte.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head of a message.
const LONGEST_HEAD: usize = 256 * 1024;

/// How much is read at once.
const STEP: usize = 64 * 1024;

/// A connection with what was read from it and not yet used.
pub(super) struct Wire {
    tcp: TcpStream,
    read: BytesMut,
}

impl Wire {
    pub(super) fn new(tcp: TcpStream) -> Self {
        // a failure costs speed, and nothing else
        let _ = tcp.set_nodelay(true);
        Self {
            tcp,
            read: BytesMut::new(),
        }
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        self.read.reserve(STEP);
        Ok(self.tcp.read_buf(&mut self.read).await? > 0)
    }

    /// The head of the next message, its empty line included; `None` where the other side has ended.
    pub(super) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                return Head::parse(self.read.split_to(end + 4).freeze()).map(Some);
            }
            if self.read.len() > LONGEST_HEAD {
                return Err(io::Error::other("the head of a message does not end"));
            }
            if !self.fill().await? {
                return match self.read.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    async fn some(&mut self, most: u64) -> io::Result<Option<Bytes>> {
        if self.read.is_empty() && !self.fill().await? {
            return Ok(None);
        }
        let count = (self.read.len() as u64).min(most) as usize;
        Ok(Some(self.read.split_to(count).freeze()))
    }

    async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n") {
                return Ok(self.read.split_to(end + 2).freeze());
            }
            if self.read.len() > LONGEST_HEAD || !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tcp.write_all(bytes).await
    }

    /// Ends it in good order, as far as the other side lets it.
    pub(super) async fn finish(mut self) {
        // whoever has gone does not need to be told that it ends
        let _ = self.tcp.shutdown().await;
    }

    /// Ends it with a reset.
    pub(super) fn reset(self) {
        // without it the end is in good order, and a cell that counts on the reset fails
        let _ = self.tcp.set_zero_linger();
    }

    /// Returns when the other side has gone.
    pub(super) async fn gone(&self) {
        match self.tcp.peek(&mut [0; 1]).await {
            Ok(0) | Err(_) => {}
            Ok(_) => std::future::pending().await,
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The head of a request or an answer.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// As it came.
    pub(super) raw: Bytes,
    start: [String; 3],
    headers: Vec<(String, String)>,
}

impl Head {
    fn parse(raw: Bytes) -> io::Result<Self> {
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().splitn(3, ' ').map(str::to_owned);
        let start = [(); 3].map(|()| words.next().unwrap_or_default());
        if start[1].is_empty() {
            return Err(io::Error::other("this is not HTTP"));
        }
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Self { raw, start, headers })
    }

    /// The method of a request.
    pub(super) fn method(&self) -> &str {
        &self.start[0]
    }

    /// The target of a request.
    pub(super) fn target(&self) -> &str {
        &self.start[1]
    }

    /// The status of an answer.
    pub(super) fn status(&self) -> u16 {
        self.start[1].parse().unwrap_or(0)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether nothing follows on the same connection.
    pub(super) fn is_last(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// How its body ends, where it has one.
    pub(super) fn body(&self, of_answer: Option<&str>) -> Body {
        let without = match of_answer {
            Some(method) => method == "HEAD" || matches!(self.status(), 100..=199 | 204 | 304),
            None => false,
        };
        let chunked = self
            .header("transfer-encoding")
            .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
        let length = self
            .header("content-length")
            .and_then(|length| length.parse().ok());
        Body(match (without, chunked, length, of_answer) {
            (true, ..) => Left::Nothing,
            (_, true, ..) => Left::ChunkSize,
            (_, _, Some(length), _) => Left::Bytes(length),
            (_, _, None, Some(_)) => Left::ToTheEnd,
            (_, _, None, None) => Left::Nothing,
        })
    }

    /// The head with other framing, and with `change` made to each of the other lines.
    pub(super) fn reframed(&self, framing: &str, change: impl Fn(&str) -> String) -> Vec<u8> {
        let text = String::from_utf8_lossy(&self.raw).into_owned();
        let lines = text.trim_end().split("\r\n").filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("transfer-encoding")
        });
        let lines: Vec<String> = lines.map(change).chain([framing.to_owned()]).collect();
        format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    }
}

enum Left {
    Nothing,
    Bytes(u64),
    ToTheEnd,
    ChunkSize,
    Chunk(u64),
}

/// The rest of a body that is being read.
pub(super) struct Body(Left);

/// Some bytes of a body.
pub(super) struct Piece {
    /// As they came.
    pub(super) raw: Bytes,
    /// Of these what is content, and not framing.
    pub(super) content: Bytes,
}

impl Body {
    /// Whether there is none, as far as the head tells.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.0, Left::Nothing | Left::Bytes(0))
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self, wire: &mut Wire) -> io::Result<Option<Piece>> {
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let content = match &mut self.0 {
            Left::Nothing | Left::Bytes(0) => return Ok(None),
            Left::ToTheEnd => match wire.some(u64::MAX).await? {
                Some(content) => content,
                None => return Ok(None),
            },
            Left::Bytes(left) => {
                let content = wire.some(*left).await?.ok_or_else(broken)?;
                *left -= content.len() as u64;
                content
            }
            Left::ChunkSize => return self.chunk_size(wire).await.map(Some),
            Left::Chunk(0) => {
                self.0 = Left::ChunkSize;
                return Ok(Some(Piece::framing(wire.line().await?)));
            }
            Left::Chunk(left) => {
                let content = wire.some(*left).await?.ok_or_else(broken)?;
                *left -= content.len() as u64;
                content
            }
        };
        Ok(Some(Piece {
            raw: content.clone(),
            content,
        }))
    }

    async fn chunk_size(&mut self, wire: &mut Wire) -> io::Result<Piece> {
        let line = wire.line().await?;
        let text = String::from_utf8_lossy(&line);
        let size = text.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
        if size > 0 {
            self.0 = Left::Chunk(size);
            return Ok(Piece::framing(line));
        }
        let mut raw = BytesMut::from(&line[..]);
        loop {
            let trailer = wire.line().await?;
            raw.extend_from_slice(&trailer);
            if trailer.len() == 2 {
                self.0 = Left::Nothing;
                return Ok(Piece::framing(raw.freeze()));
            }
        }
    }

    /// All that is left of the content.
    pub(super) async fn whole(&mut self, wire: &mut Wire) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        while let Some(piece) = self.next(wire).await? {
            content.extend_from_slice(&piece.content);
        }
        Ok(content)
    }
}

impl Piece {
    fn framing(raw: Bytes) -> Self {
        Self {
            raw,
            content: Bytes::new(),
        }
    }
}
