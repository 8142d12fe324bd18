//! Answers in the shape in which the dispatcher was recorded giving them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

/// What Go's server sends with a length; anything longer it sends in chunks.
pub(super) const LONGEST_WITH_LENGTH: usize = 2048;

/// The error code of most errors.
pub(super) const UNSET: &str = "ErrorStringEnumUnset";

/// An error: JSON, always in chunks.
pub(super) fn error(status: u16, title: &str, detail: &str, code: &str) -> HttpResponse {
    let body = json!({
        "status": status.to_string(), "title": title, "detail": detail, "error_enum": code,
    });
    let body = Bytes::from(body.to_string());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, "application/json; charset=utf-8"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .streaming(stream::iter([Ok::<_, std::io::Error>(body)]))
}

/// 200 with JSON.
pub(super) fn json(body: &serde_json::Value) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .body(body.to_string())
}

/// A page of something that stands in between.
pub(super) fn page(status: u16) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, "text/html"))
        .body("<html>a page of something in between</html>")
}

/// Any status with any JSON.
pub(super) fn says(status: u16, body: &'static str) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, "application/json"))
        .body(body)
}

/// No answer: the connection is cut where it should come.
pub(super) fn cut() -> HttpResponse {
    let broken = std::io::Error::other("cut by a fault on order");
    let body = actix_web::body::SizedStream::new(1, stream::iter([Err::<Bytes, _>(broken)]));
    HttpResponse::Ok().body(body)
}

/// A request that is refused: what [`error`] says of it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) title: &'static str,
    pub(super) detail: String,
    pub(super) code: &'static str,
}

impl Refusal {
    pub(super) fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title,
            detail: detail.into(),
            code: UNSET,
        }
    }
}

impl From<Refusal> for HttpResponse {
    fn from(refusal: Refusal) -> Self {
        error(refusal.status, refusal.title, &refusal.detail, refusal.code)
    }
}
