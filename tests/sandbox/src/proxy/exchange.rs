//! One request and its answer on their way through the proxy, spoiled or not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::Shared;
use super::fault::{Fault, Reply, Spot};
use super::operation::Operation;
use super::wire::{Head, Wire};

/// How the connection goes on after an exchange.
enum Next {
    Again,
    Close,
    Reset,
    Hang,
}

/// Serves one connection of a client until it ends.
pub(super) async fn serve(shared: Arc<Shared>, tcp: TcpStream) -> io::Result<()> {
    let mut client = Wire::new(tcp);
    let mut server = None;
    while let Some(request) = client.head().await? {
        let operation = Operation::of(request.method(), request.target());
        let fault = shared.strike(operation, request.target());
        let exchange = Exchange {
            shared: &shared,
            operation,
            request,
            fault,
        };
        let next = match fault {
            None => exchange.pass(&mut client, &mut server).await?,
            Some(fault) => exchange.spoil(fault, &mut client, &mut server).await?,
        };
        match next {
            Next::Again => {}
            Next::Close => {
                client.finish().await;
                return Ok(());
            }
            Next::Reset => {
                client.reset();
                return Ok(());
            }
            Next::Hang => {
                client.gone().await;
                return Ok(());
            }
        }
    }
    Ok(())
}

struct Exchange<'a> {
    shared: &'a Shared,
    operation: Operation,
    request: Head,
    fault: Option<Fault>,
}

impl Exchange<'_> {
    async fn pass(&self, client: &mut Wire, server: &mut Option<Wire>) -> io::Result<Next> {
        let upstream = self.forward(client, server).await?;
        let Some(answer) = self.answer_head(client, upstream).await? else {
            return Ok(Next::Reset);
        };
        client.write(&answer.raw).await?;
        let mut body = answer.body(Some(self.request.method()));
        while let Some(piece) = body.next(upstream).await? {
            client.write(&piece.raw).await?;
        }
        self.arrived(&answer);
        Ok(self.next(Some(&answer)))
    }

    /// The next request comes on the same connection, where both sides want it.
    fn next(&self, answer: Option<&Head>) -> Next {
        let last = self.request.is_last()
            || answer.is_some_and(|answer| {
                answer.is_last()
                    || !(answer.header("content-length").is_some()
                        || answer.header("transfer-encoding").is_some()
                        || answer.body(Some(self.request.method())).is_nothing())
            });
        if last { Next::Close } else { Next::Again }
    }

    /// The client has the whole answer.
    fn arrived(&self, answer: &Head) {
        let whole = self.fault.is_none_or(Fault::leaves_answer_whole);
        if whole && (200..300).contains(&answer.status()) {
            self.shared.acknowledged(self.operation, self.request.target());
        }
    }

    /// Sends the request on, as it came, and flipped or cut where that is the fault.
    async fn forward<'w>(&self, client: &mut Wire, server: &'w mut Option<Wire>) -> io::Result<&'w mut Wire> {
        if server.is_none() {
            *server = Some(Wire::new(TcpStream::connect(self.shared.to()).await?));
        }
        let upstream = server.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        upstream.write(&self.request.raw).await?;
        let whole = self
            .request
            .header("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0u64);
        let (middle, mut sent) = (whole / 2, 0);
        let mut body = self.request.body(None);
        while let Some(piece) = body.next(client).await? {
            let (from, until) = (sent, sent + piece.raw.len() as u64);
            sent = until;
            if !(from..until).contains(&middle) {
                upstream.write(&piece.raw).await?;
                continue;
            }
            let mut raw = piece.raw.to_vec();
            match self.fault {
                Some(Fault::FlipInRequest) => raw[(middle - from) as usize] ^= 1,
                Some(Fault::ResetInRequest) => {
                    raw.truncate((middle - from) as usize);
                    upstream.write(&raw).await?;
                    return Ok(upstream);
                }
                _ => {}
            }
            upstream.write(&raw).await?;
        }
        self.shared
            .forwarded(self.operation, self.request.target(), self.fault);
        Ok(upstream)
    }

    /// The head of the server's answer; `None` where there is none, or nobody waits for it any more.
    async fn answer_head(&self, client: &Wire, upstream: &mut Wire) -> io::Result<Option<Head>> {
        tokio::select! {
            head = upstream.head() => head,
            () = client.gone() => Ok(None),
        }
    }

    /// Reads the request to its end, for nobody.
    async fn swallow(&self, client: &mut Wire) -> io::Result<()> {
        let mut body = self.request.body(None);
        while body.next(client).await?.is_some() {}
        Ok(())
    }

    async fn spoil(&self, fault: Fault, client: &mut Wire, server: &mut Option<Wire>) -> io::Result<Next> {
        match fault {
            Fault::Refused | Fault::ResetUnsent => {
                self.swallow(client).await?;
                Ok(Next::Reset)
            }
            Fault::HangUnsent => {
                self.swallow(client).await?;
                Ok(Next::Hang)
            }
            Fault::Answer(reply) => {
                self.swallow(client).await?;
                self.reply(reply, client).await
            }
            Fault::FlipInRequest => self.pass(client, server).await,
            Fault::ResetInRequest => {
                self.forward(client, server).await?;
                if let Some(upstream) = server.take() {
                    upstream.reset();
                }
                Ok(Next::Reset)
            }
            _ => {
                let upstream = self.forward(client, server).await?;
                let Some(answer) = self.answer_head(client, upstream).await? else {
                    return Ok(Next::Reset);
                };
                let body = answer.body(Some(self.request.method())).whole(upstream).await?;
                self.spoil_answer(fault, &answer, body, client).await
            }
        }
    }

    async fn reply(&self, reply: Reply, client: &mut Wire) -> io::Result<Next> {
        let answer = reply.render(self.request.method(), self.operation);
        client.write(&answer).await?;
        Ok(self.next(None))
    }

    /// The server has done its work, and this is what it said.
    async fn spoil_answer(
        &self,
        fault: Fault,
        answer: &Head,
        mut body: Vec<u8>,
        client: &mut Wire,
    ) -> io::Result<Next> {
        let by_length = |length: usize| answer.reframed(&format!("Content-Length: {length}"), str::to_owned);
        let whole = by_length(body.len());
        let half = &body[..body.len() / 2];
        match fault {
            Fault::ResetUnanswered => return Ok(Next::Reset),
            Fault::HangUnanswered => return Ok(Next::Hang),
            Fault::AwayUnanswered => {
                self.shared.go_away();
                return Ok(Next::Reset);
            }
            Fault::AnswerInstead(reply) => return self.reply(reply, client).await,
            Fault::ResetInHead => {
                client.write(&whole[..whole.len() / 2]).await?;
                return Ok(Next::Reset);
            }
            Fault::DripHead => {
                self.drip(&whole, client).await?;
                self.drip(&body, client).await?;
            }
            Fault::ResetInBody | Fault::HangInBody | Fault::CutByLength => {
                client.write(&[&whole, half].concat()).await?;
                return Ok(match fault {
                    Fault::ResetInBody => Next::Reset,
                    Fault::HangInBody => Next::Hang,
                    _ => Next::Close,
                });
            }
            Fault::CutChunked => {
                let head = answer.reframed("Transfer-Encoding: chunked", str::to_owned);
                client.write(&[&head, &chunk(half)[..]].concat()).await?;
                return Ok(Next::Close);
            }
            Fault::CutShorter => {
                client.write(&[&by_length(half.len()), half].concat()).await?;
            }
            Fault::DripBody(bytes) => {
                let (slow, fast) = body.split_at(bytes.min(body.len()));
                client.write(&whole).await?;
                self.drip(slow, client).await?;
                client.write(fast).await?;
            }
            Fault::Flip(spot) => {
                flip(&mut body, spot);
                client.write(&[&whole, &body[..]].concat()).await?;
            }
            Fault::WrongBoundary => {
                let framing = format!("Content-Length: {}", body.len());
                let head = answer.reframed(&framing, with_wrong_boundary);
                client.write(&[&head, &body[..]].concat()).await?;
            }
            Fault::WrongBoundaryChunked => {
                let head = answer.reframed("Transfer-Encoding: chunked", with_wrong_boundary);
                let body = [&head, &chunk(&body)[..], b"0\r\n\r\n"].concat();
                client.write(&body).await?;
            }
            _ => client.write(&[&whole, &body[..]].concat()).await?,
        }
        self.arrived(answer);
        Ok(match fault {
            Fault::ResetAfterBody => Next::Reset,
            _ => self.next(Some(answer)),
        })
    }

    /// One byte a second, until nobody waits for it any more.
    async fn drip(&self, bytes: &[u8], client: &mut Wire) -> io::Result<()> {
        for byte in bytes.chunks(1) {
            client.write(byte).await?;
            let second: Duration = self.shared.second();
            tokio::select! {
                () = tokio::time::sleep(second) => {}
                () = client.gone() => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        Ok(())
    }
}

fn chunk(content: &[u8]) -> Vec<u8> {
    let size = format!("{:x}\r\n", content.len());
    [size.as_bytes(), content, b"\r\n"].concat()
}

fn with_wrong_boundary(line: &str) -> String {
    line.replace("boundary=", "boundary=wrong")
}

fn flip(body: &mut [u8], spot: Spot) {
    let find = |text: &str| {
        body.windows(text.len())
            .position(|window| window == text.as_bytes())
    };
    let (at, bit) = match spot {
        Spot::Middle => (Some(body.len() / 2), 0),
        Spot::Boundary => (Some(4), 0),
        Spot::Text(text) => (find(text), 0),
        Spot::Bulk(at, bit) => {
            let part = find("events.json\"").unwrap_or(0);
            let end = body[part..].windows(4).position(|window| window == b"\r\n\r\n");
            (end.map(|end| part + end + 4 + at), bit)
        }
    };
    // a spot that is not there leaves the body whole, and the cell that counts on the damage fails
    if let Some(byte) = at.and_then(|at| body.get_mut(at)) {
        *byte ^= 1 << bit;
    }
}
