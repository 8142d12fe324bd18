//! What lies in the bucket, page by page.
//!
//! A listing that came to nothing looks like an empty one, and restore would end with "nothing to do". So an answer
//! is believed only if it is a whole `ListBucketResult` of the bucket and the prefix that were asked for, says
//! whether more follows, and if its keys begin with the prefix, follow what they were to follow, and rise. Anything
//! else is a transient fault, whatever its status is.
//!
//! * Keys are asked for in URL encoding, for XML cannot hold every character that a key may.
//! * Pages go on by the last key: a restart, or another process, can go on as well. The server's token is followed
//!   only where a page has no key and says that more follow: buckets that hold many deleted versions send such.
//! * `start-after` is sent only where it matters: some servers list nothing when it does not begin with the prefix.

mod page;

use actors::fault::{Fault, FaultKind};

use super::body::kept;
use super::client::S3;
use super::fault::{Operation, S3Answer};
use crate::adapters::http::ERROR_BODY;
use crate::settings::Place;
pub(super) use page::Page;

/// Objects of one page.
const PAGE: usize = 1000;

/// More pages without a key, in a row, are taken for a server that never ends.
const MOST_EMPTY: usize = 10_000;

/// What is asked for. Everything in keys of the bucket: with the folder.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    place: &'a Place,
    prefix: String,
    after: Option<String>,
    /// Whether keys in folders below the prefix are told by the name of the folder alone.
    folders: bool,
}

impl<'a> Asked<'a> {
    /// All keys below `prefix`.
    pub(super) fn keys(place: &'a Place, prefix: &str, after: Option<&str>) -> Self {
        let whole = |text: &str| format!("{}{text}", place.folder);
        let (prefix, after) = (whole(prefix), after.map(whole));
        Self {
            place,
            after: after.filter(|after| *after > prefix),
            prefix,
            folders: false,
        }
    }

    /// The folders directly below `prefix`, and the keys in none.
    pub(super) fn folders(place: &'a Place, prefix: &str, after: Option<&str>) -> Self {
        Self {
            folders: true,
            ..Self::keys(place, prefix, after)
        }
    }

    pub(super) fn params<'b>(&'b self, most: &'b str, token: Option<&'b str>) -> Vec<(&'b str, &'b str)> {
        let mut params = vec![("list-type", "2"), ("max-keys", most), ("encoding-type", "url")];
        if self.folders {
            params.push(("delimiter", "/"));
        }
        if !self.prefix.is_empty() {
            params.push(("prefix", &self.prefix));
        }
        match (token, &self.after) {
            (Some(token), _) => params.push(("continuation-token", token)),
            (None, Some(after)) => params.push(("start-after", after)),
            (None, None) => {}
        }
        params
    }
}

/// One page; empty only if nothing follows.
pub(super) async fn page(s3: &S3, asked: &Asked<'_>) -> Result<Page, Fault> {
    let target = format!("{}/{}", asked.place.bucket, asked.prefix);
    let operation = s3.operation("list objects", &target);
    let mut token: Option<String> = None;
    for _ in 0..MOST_EMPTY {
        let page = ask(s3, &operation, asked, token.as_deref()).await?;
        if !page.more || !page.is_empty() {
            return Ok(page);
        }
        if page.token.is_none() || page.token == token {
            break;
        }
        token = page.token;
    }
    Err(operation.new_fault(FaultKind::Transient, "pages without a key, and without an end"))
}

async fn ask(s3: &S3, operation: &Operation, asked: &Asked<'_>, token: Option<&str>) -> Result<Page, Fault> {
    let most = PAGE.to_string();
    let params = asked.params(&most, token);
    let answer = s3.ask(operation, &asked.place.bucket, &params).await?;
    if answer.status.as_u16() == 200 {
        let text = kept(answer).await;
        return Page::parse(&text, asked).map_err(|why| {
            operation.new_fault(FaultKind::Transient, format!("200, but {why}: not a success"))
        });
    }
    let answer = S3Answer::read(answer, ERROR_BODY).await;
    Err(match answer.is_no_bucket() {
        true => operation.fault_of(FaultKind::Missing, &answer),
        false => operation.fault(&answer),
    })
}
