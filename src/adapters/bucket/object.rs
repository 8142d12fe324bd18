//! Whole objects.

use actors::fault::Fault;
use actors::ports::ObjectInfo;
use actors::timestamp::Timestamp;
use bytes::Bytes;
use rusoto_core::RusotoError;
use rusoto_s3::{
    GetObjectError, GetObjectRequest, HeadObjectError, HeadObjectOutput, HeadObjectRequest, S3 as _,
};

use super::Place;
use super::body::RusotoChunks;
use super::client::{S3, unquoted};
use crate::adapters::http::MeasuredBody;

pub(super) async fn head(s3: &S3, place: &Place<'_>) -> Result<Option<ObjectInfo>, Fault> {
    let operation = s3.operation("head object", place);
    let request = HeadObjectRequest {
        bucket: place.bucket.to_owned(),
        key: place.key.clone(),
        ..Default::default()
    };
    match s3.calls.head_object(request).await {
        Ok(found) => match info(found) {
            Some(info) => Ok(Some(info)),
            None => Err(operation.new_fault(
                actors::fault::FaultKind::Transient,
                "200 without a length or an entity tag, or of a web page: not an answer of S3",
            )),
        },
        Err(RusotoError::Service(HeadObjectError::NoSuchKey(_))) => Ok(None),
        // 403 is what those get who may not list: the bucket will not say, so nothing is known to be there.
        Err(RusotoError::Unknown(answer)) if matches!(answer.status.as_u16(), 403 | 404) => Ok(None),
        Err(error) => Err(operation.of_call(error, |HeadObjectError::NoSuchKey(message)| {
            (404, "NoSuchKey", message)
        })),
    }
}

/// A HEAD has no body that could tell who answered: what S3 says of every object, and what no object of a backup is,
/// has to. Something in between that answers 200 to everything would make the program believe that all is stored.
fn info(found: HeadObjectOutput) -> Option<ObjectInfo> {
    if is_page(found.content_type.as_deref()) {
        return None;
    }
    let etag = unquoted(&found.e_tag?).to_owned();
    Some(ObjectInfo {
        size: u64::try_from(found.content_length?).ok()?,
        etag: (!etag.is_empty()).then_some(etag),
        last_modified: found.last_modified.as_deref().and_then(http_date),
    })
}

fn is_page(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"))
}

fn http_date(text: &str) -> Option<Timestamp> {
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(Timestamp::from_micros(date.timestamp_micros()))
}

pub(super) async fn put(s3: &S3, place: &Place<'_>, content: Bytes) -> Result<(), Fault> {
    let operation = s3.operation("put object", place);
    s3.write(&operation, place, &[], content).await.map(|_| ())
}

pub(super) async fn get(s3: &S3, place: &Place<'_>) -> Result<MeasuredBody, Fault> {
    let operation = s3.operation("get object", place);
    let request = GetObjectRequest {
        bucket: place.bucket.to_owned(),
        key: place.key.clone(),
        ..Default::default()
    };
    let found = s3.calls.get_object(request).await.map_err(|error| {
        operation.of_call(error, |error| match error {
            GetObjectError::NoSuchKey(message) => (404, "NoSuchKey", message),
            GetObjectError::InvalidObjectState(message) => (403, "InvalidObjectState", message),
        })
    })?;
    // A body cannot tell who sent it either: that of a login page would pass for a damaged object.
    if found.e_tag.is_none() || is_page(found.content_type.as_deref()) {
        return Err(operation.new_fault(
            actors::fault::FaultKind::Transient,
            "200 without an entity tag, or with a web page: not an answer of S3",
        ));
    }
    let length = found.content_length.and_then(|length| u64::try_from(length).ok());
    let Some(body) = found.body else {
        return Err(operation.new_fault(actors::fault::FaultKind::Transient, "an answer without a body"));
    };
    Ok(MeasuredBody::new(
        Box::new(RusotoChunks(body)),
        length,
        s3.config.timeouts.chunk,
        operation.name(),
        operation.target(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_a_head_is_understood() {
        let date = http_date("Mon, 23 Nov 2026 08:12:10 GMT").unwrap();
        assert_eq!(date.to_string(), "2026-11-23T08:12:10Z");
        assert_eq!(http_date("yesterday"), None);
    }
}
