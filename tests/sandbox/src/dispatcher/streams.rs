//! `GET`, `HEAD` and `POST` of `/api/v3/stream/…`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use actix_web::body::{self, SizedStream};
use actix_web::http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use actix_web::{HttpRequest, HttpResponse, web};
use actors::stream_id::Sha256;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde_json::json;
use sha2::Digest;

use super::answers::{Refusal, UNSET, cut, error, json, page, says};
use super::faults::{Call, Fault};
use super::shared::Shared;
use super::spool::{Incoming, Spooled};
use crate::generator::Content;

/// How much of a download is made at once.
const PIECE: usize = 64 * 1024;

/// The bytes of a stream.
#[derive(Clone, Debug)]
pub enum Body {
    /// Made while it is sent.
    Made(Content),
    /// Given.
    Given(Bytes),
    /// Uploaded, and too large for memory.
    Spooled(Arc<Spooled>),
    /// Uploaded, and not kept: only the size is known.
    Forgotten(u64),
}

impl Body {
    /// Its length.
    pub fn size(&self) -> u64 {
        match self {
            Self::Made(content) => content.size,
            Self::Given(bytes) => bytes.len() as u64,
            Self::Spooled(spooled) => spooled.size(),
            Self::Forgotten(size) => *size,
        }
    }

    /// Some of its bytes from `at` on, not beyond `end`; none where they cannot be read.
    pub(crate) fn piece(&self, at: u64, end: u64) -> Bytes {
        let count = (end - at).min(PIECE as u64) as usize;
        match self {
            Self::Made(content) => {
                let mut piece = BytesMut::zeroed(count);
                content.read_at(at, &mut piece);
                piece.freeze()
            }
            Self::Given(bytes) => bytes.slice(at as usize..at as usize + count),
            Self::Spooled(spooled) => spooled.read(at, count),
            Self::Forgotten(_) => Bytes::new(),
        }
    }
}

/// What the dispatcher has, by `source/label/sha256`, and how often each was asked for.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) bodies: BTreeMap<String, Body>,
    pub(super) downloads: BTreeMap<String, u32>,
    pub(super) uploads: BTreeMap<String, u32>,
    pub(super) at_once: usize,
    pub(super) at_once_peak: usize,
}

type Named = web::Path<(String, String, String)>;

fn not_found() -> HttpResponse {
    error(404, "not found", "not found", UNSET)
}

pub(super) async fn head(named: Named, shared: web::Data<Shared>) -> HttpResponse {
    let (source, label, sha256) = named.into_inner();
    match shared
        .streams()
        .bodies
        .contains_key(&format!("{source}/{label}/{sha256}"))
    {
        true => HttpResponse::Ok().body(body::None::new()),
        false => HttpResponse::NotFound().body(body::None::new()),
    }
}

/// The bytes that `Range: bytes=a-b` or `bytes=a-` asks for.
fn range(header: &str, size: u64) -> Result<Range<u64>, Refusal> {
    let invalid = |detail: String| Refusal::new(400, "invalid range end", detail);
    let bounds = header
        .strip_prefix("bytes=")
        .and_then(|bounds| bounds.split_once('-'));
    let Some((Ok(start), end)) = bounds.map(|(start, end)| (start.parse::<u64>(), end)) else {
        return Err(Refusal::new(400, "invalid range", header));
    };
    let end = match end {
        "" => size,
        end => end.parse::<u64>().map_or(0, |last| last.saturating_add(1)),
    };
    if start >= size {
        return Err(invalid(format!("offset after EOF: {start}")));
    }
    if end <= start || end > size {
        return Err(invalid(format!("range end: {end}")));
    }
    Ok(start..end)
}

/// Counts a download as being under way for as long as it lives.
struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn new(shared: &Arc<Shared>, key: &str) -> Self {
        let mut streams = shared.streams();
        *streams.downloads.entry(key.to_owned()).or_default() += 1;
        streams.at_once += 1;
        streams.at_once_peak = streams.at_once_peak.max(streams.at_once);
        Self(Arc::clone(shared))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.streams().at_once -= 1;
        self.0.changed();
    }
}

/// Counts an upload as being under way for as long as it lives.
struct ComingIn<'a>(&'a Shared);

impl<'a> ComingIn<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.upload_begins();
        Self(shared)
    }
}

impl Drop for ComingIn<'_> {
    fn drop(&mut self) {
        self.0.upload_ends();
    }
}

pub(super) async fn get(named: Named, request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let (source, label, sha256) = named.into_inner();
    let key = format!("{source}/{label}/{sha256}");
    let under_way = UnderWay::new(&shared, &key);
    let fault = shared.fault(Call::Download);
    match fault {
        Some(Fault::Status(status)) => return error(status, "failed", "a fault on order", UNSET),
        Some(Fault::Hang) => std::future::pending().await,
        _ => {}
    }
    let Some(body) = shared.streams().bodies.get(&key).cloned() else {
        return not_found();
    };
    let size = body.size();
    let asked = request.headers().get(RANGE).and_then(|value| value.to_str().ok());
    let bytes = match asked.map_or(Ok(0..size), |header| range(header, size)) {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal.into(),
    };
    let mut response = match asked {
        Some(_) => HttpResponse::PartialContent(),
        None => HttpResponse::Ok(),
    };
    match asked {
        Some(_) => {
            let part = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
            response.insert_header((CONTENT_RANGE, part))
        }
        None => response.insert_header((ACCEPT_RANGES, "bytes")),
    };
    response.insert_header((CONTENT_TYPE, "application/octet-stream"));
    let length = bytes.end - bytes.start;
    response.body(SizedStream::new(length, pieces(body, bytes, fault, under_way)))
}

fn pieces(
    body: Body,
    bytes: Range<u64>,
    fault: Option<Fault>,
    under_way: UnderWay,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    let cut = match fault {
        Some(Fault::CutAfter(count)) => bytes.start + count as u64,
        _ => u64::MAX,
    };
    let flip = fault == Some(Fault::FlippedBit);
    futures_util::stream::unfold((bytes, under_way), move |(bytes, under_way)| {
        let body = body.clone();
        async move {
            if bytes.is_empty() {
                return None;
            }
            if bytes.start >= cut {
                let broken = std::io::Error::other("cut by a fault on order");
                return Some((Err(broken), (0..0, under_way)));
            }
            let mut piece = body.piece(bytes.start, bytes.end.min(cut));
            if piece.is_empty() {
                let gone = std::io::Error::other("the content was not kept");
                return Some((Err(gone), (0..0, under_way)));
            }
            if flip && bytes.start == 0 {
                let mut flipped = piece.to_vec();
                flipped[0] ^= 1;
                piece = flipped.into();
            }
            under_way.0.count_bytes_out(piece.len());
            let rest = bytes.start + piece.len() as u64..bytes.end;
            // a big download must not keep the others of this worker waiting
            tokio::task::yield_now().await;
            Some((Ok(piece), (rest, under_way)))
        }
    })
}

pub(super) async fn post(
    named: web::Path<(String, String)>,
    request: HttpRequest,
    mut payload: web::Payload,
    shared: web::Data<Shared>,
) -> HttpResponse {
    shared.receipts().uploaded.requests += 1;
    let _coming_in = ComingIn::new(&shared);
    let fault = shared.fault(Call::Upload);
    match fault {
        Some(Fault::Status(status)) => return error(status, "failed", "a fault on order", UNSET),
        Some(Fault::Page(status)) => return page(status),
        Some(Fault::Hang) => std::future::pending().await,
        _ => {}
    }
    let mut incoming = Incoming::new(shared.forgets());
    let mut hash = sha2::Sha256::new();
    while let Some(piece) = payload.next().await {
        let Ok(piece) = piece else {
            return error(500, "failed to read request body", "unexpected EOF", UNSET);
        };
        hash.update(&piece);
        shared.count_bytes_in(piece.len());
        if let Err(full) = incoming.take(&piece) {
            return error(500, "failed to store stream", &full.to_string(), UNSET);
        }
    }
    let size = incoming.size();
    if size == 0 {
        return error(400, "no content in request body", "no error provided", UNSET);
    }
    let found = Sha256::from_bytes(hash.finalize().into()).to_string();
    let mut query = url::form_urlencoded::parse(request.query_string().as_bytes());
    if let Some((_, expected)) = query.find(|(name, _)| name == "expected-sha256")
        && expected != found.as_str()
    {
        let detail = format!("sha256 mismatch - supplied: {expected} vs calc: {found}");
        return error(400, "sha256 mismatch", &detail, UNSET);
    }
    let (source, label) = named.into_inner();
    let key = format!("{source}/{label}/{found}");
    {
        let mut receipts = shared.receipts();
        receipts.uploaded.taken += 1;
        receipts.uploaded.bytes += size;
        let mut streams = shared.streams();
        *streams.uploads.entry(key.clone()).or_default() += 1;
        streams.bodies.insert(key, incoming.finish());
    }
    shared.changed();
    match fault {
        Some(Fault::LostAnswer) => return cut(),
        Some(Fault::Nonsense) => return page(200),
        Some(Fault::Says(status, text)) => return says(status, text),
        _ => {}
    }
    json(&json!({ "data": {
        "label": "", "size": size, "sha512": "", "sha256": found, "sha1": "", "md5": "", "mime": "", "magic": "",
    }}))
}
