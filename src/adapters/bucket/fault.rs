//! What the bucket answered, and what to do about it.

use std::fmt;
use std::time::Duration;

use actors::fault::{Fault, FaultKind};
use futures_util::StreamExt;
use hyper::HeaderMap;
use rusoto_core::RusotoError;
use rusoto_core::request::{BufferedHttpResponse, HttpResponse};

use super::S3Config;
use crate::adapters::http::{excerpt, is_transient_status, retry_after, without_credentials};

/// One call: what is tried on what, for the text of its faults.
pub(super) struct Operation {
    name: &'static str,
    target: String,
    /// Must not be told.
    secret: String,
    endpoint: String,
}

impl Operation {
    pub(super) fn new(name: &'static str, target: String, config: &S3Config) -> Self {
        Self {
            name,
            target,
            secret: config.secret_key.reveal().to_owned(),
            endpoint: config.endpoint.as_str().to_owned(),
        }
    }

    /// The name, for a body that is read later.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The target, for a body that is read later.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// A fault of a kind of its own.
    pub(super) fn new_fault(&self, kind: FaultKind, detail: impl fmt::Display) -> Fault {
        let mut detail = detail.to_string();
        if !self.secret.is_empty() {
            detail = detail.replace(&self.secret, "***");
        }
        Fault::new(kind, self.name, &self.target, detail)
    }

    /// The bucket's answer is no success.
    pub(super) fn fault(&self, answer: &S3Answer) -> Fault {
        self.fault_of(answer.kind(), answer)
    }

    /// The same for a call that sees another kind in it.
    pub(super) fn fault_of(&self, kind: FaultKind, answer: &S3Answer) -> Fault {
        let advice = answer.advice(&self.endpoint);
        let fault = self.new_fault(kind, format!("{answer}{advice}"));
        let fault = fault.retry_after(answer.retry_after);
        match answer.is_for_whoever_asks() {
            true => fault.of_whoever_asks(),
            false => fault,
        }
    }

    /// A call of rusoto's failed; `service` gives the code back to an error that rusoto took it from.
    pub(super) fn of_call<E>(
        &self,
        error: RusotoError<E>,
        service: impl Fn(E) -> (u16, &'static str, String),
    ) -> Fault {
        match error {
            RusotoError::Service(error) => {
                let (status, code, message) = service(error);
                self.fault(&S3Answer::said(status, code, message))
            }
            RusotoError::Unknown(answer) => self.fault(&S3Answer::of(&answer)),
            RusotoError::HttpDispatch(error) => self.new_fault(FaultKind::Transient, error),
            RusotoError::Credentials(error) => self
                .new_fault(FaultKind::Rejected, format!("credentials: {error}"))
                .of_whoever_asks(),
            RusotoError::Validation(text) | RusotoError::ParseError(text) => {
                let text = excerpt(text.as_bytes());
                self.new_fault(FaultKind::Transient, format!("the answer is not S3's: {text}"))
            }
            RusotoError::Blocking => self.new_fault(FaultKind::Transient, "the call did not run"),
        }
    }
}

/// What an answer says about itself.
#[derive(Debug)]
pub(super) struct S3Answer {
    status: u16,
    code: Option<String>,
    text: String,
    retry_after: Option<Duration>,
    region: Option<String>,
    page: bool,
}

impl S3Answer {
    pub(super) fn of(answer: &BufferedHttpResponse) -> Self {
        Self::parse(answer.status.as_u16(), &answer.headers, &answer.body)
    }

    /// Reads the body, `most` bytes of it at most.
    pub(super) async fn read(answer: HttpResponse, most: usize) -> Self {
        let HttpResponse {
            status,
            headers,
            mut body,
        } = answer;
        let mut read = Vec::new();
        while let Some(Ok(chunk)) = body.next().await {
            read.extend_from_slice(&chunk[..chunk.len().min(most - read.len())]);
            if read.len() == most {
                break;
            }
        }
        Self::parse(status.as_u16(), &headers, &read)
    }

    fn said(status: u16, code: &str, message: String) -> Self {
        Self {
            status,
            code: Some(code.to_owned()),
            text: without_credentials(&message),
            retry_after: None,
            region: None,
            page: false,
        }
    }

    fn parse(status: u16, headers: &HeaderMap<String>, body: &[u8]) -> Self {
        let header = |name: &str| headers.get(name).map(String::as_str);
        let body_text = String::from_utf8_lossy(body);
        let start = body_text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let error = start.find("<Error").map(|place| &start[place..]);
        let code = error
            .and_then(|error| element(error, "Code"))
            .map(|code| match is_name(code) {
                true => code.to_owned(),
                false => excerpt(code.as_bytes()),
            });
        let message = error.and_then(|error| element(error, "Message"));
        Self {
            status,
            text: match (&code, message) {
                (Some(_), Some(message)) => excerpt(unescaped(message).as_bytes()),
                (Some(_), None) => String::new(),
                (None, _) => excerpt(body),
            },
            page: error.is_some() || is_page(start),
            code,
            retry_after: retry_after(header("retry-after")),
            region: header("x-amz-bucket-region")
                .or_else(|| error.and_then(|error| element(error, "Region")))
                .map(|region| excerpt(region.as_bytes())),
        }
    }

    /// Whether the body says something else than a status of success.
    pub(super) fn contradicts(&self) -> bool {
        self.page
    }

    /// Whether the server does not know what it was asked for.
    pub(super) fn is_not_implemented(&self) -> bool {
        matches!(self.status, 405 | 501) || self.code() == Some("NotImplemented")
    }

    /// Whether there is no such bucket: said by the server itself.
    pub(super) fn is_no_bucket(&self) -> bool {
        self.code() == Some("NoSuchBucket")
    }

    /// The code that S3 gives.
    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// The region that the server names as that of the bucket.
    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    fn kind(&self) -> FaultKind {
        match (self.code.as_deref(), self.status) {
            (Some("NoSuchKey"), _) => FaultKind::Missing,
            (Some("NoSuchUpload"), _) => FaultKind::Lapsed,
            // The bytes arrived damaged, or not all of them: what is sent again may not be.
            (Some("BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody" | "RequestTimeout"), _) => {
                FaultKind::Transient
            }
            (Some("SlowDown" | "InternalError" | "ServiceUnavailable" | "OperationAborted"), _) => {
                FaultKind::Transient
            }
            (_, 501) => FaultKind::Rejected,
            // Without a code it is not the bucket that says so, but something in between.
            (None, 404) => FaultKind::Transient,
            (_, status) if is_transient_status(status) => FaultKind::Transient,
            (_, 300..=499) => FaultKind::Rejected,
            // A success that is none.
            _ => FaultKind::Transient,
        }
    }

    /// Whether it would be said of any object.
    fn is_for_whoever_asks(&self) -> bool {
        match (self.code.as_deref(), self.status) {
            (Some("NoSuchBucket"), _) => true,
            // One that lies where it cannot be read from.
            (Some("InvalidObjectState"), _) => false,
            (_, 401 | 403) | (_, 300..=399) => true,
            _ => self.region.is_some() && self.kind() == FaultKind::Rejected,
        }
    }

    fn advice(&self, endpoint: &str) -> String {
        if let Some(region) = self
            .region
            .as_ref()
            .filter(|_| self.kind() == FaultKind::Rejected)
        {
            return format!(" (the bucket is in the region {region}: check the region)");
        }
        match (self.code.as_deref(), self.status) {
            (Some("NoSuchBucket"), _) => {
                format!(" (there is no such bucket at {endpoint}: check its name, or create it)")
            }
            (Some("RequestTimeTooSkewed"), _) => {
                " (the clocks of this machine and the bucket differ)".to_owned()
            }
            (_, 401 | 403) => " (check the access key, its secret and what it may do)".to_owned(),
            (_, 301 | 302 | 307 | 308) => {
                " (redirects are not followed: check endpoint and region)".to_owned()
            }
            _ => String::new(),
        }
    }
}

impl fmt::Display for S3Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = if self.status < 300 {
            ", but not a success"
        } else {
            ""
        };
        match &self.code {
            Some(code) => write!(f, "{}{refused} {code}: {}", self.status, self.text),
            None => write!(f, "{}{refused}: {}", self.status, self.text),
        }
    }
}

/// Whether a code is one: a word such as `AuthorizationHeaderMalformed`, which echoes nothing.
fn is_name(code: &str) -> bool {
    (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a text is a web page.
fn is_page(text: &str) -> bool {
    let start: String = text.chars().take(15).collect::<String>().to_ascii_lowercase();
    start.starts_with("<html") || start.starts_with("<!doctype")
}

/// What stands between the first `<name>` and `</name>`.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(content, _)| content)
}

fn unescaped(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests;
