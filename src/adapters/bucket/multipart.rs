//! Objects in parts.

use actors::fault::{Fault, FaultKind};
use actors::ports::{PartTag, UploadId};
use bytes::Bytes;
use rusoto_core::RusotoError;
use rusoto_s3::{
    AbortMultipartUploadError, AbortMultipartUploadRequest, CompleteMultipartUploadRequest,
    CompletedMultipartUpload, CompletedPart, CreateMultipartUploadRequest, S3 as _,
};

use super::Place;
use super::client::{CONTENT_TYPE, S3};
use super::fault::S3Answer;
use super::object::head;

pub(super) async fn begin(s3: &S3, place: &Place<'_>) -> Result<UploadId, Fault> {
    let operation = s3.operation("begin upload", place);
    let request = CreateMultipartUploadRequest {
        bucket: place.bucket.to_owned(),
        key: place.key.clone(),
        content_type: Some(CONTENT_TYPE.to_owned()),
        ..Default::default()
    };
    let begun = s3
        .calls
        .create_multipart_upload(request)
        .await
        .map_err(|error| operation.of_call(error, |never| match never {}))?;
    match begun.upload_id {
        Some(id) if !id.is_empty() => Ok(UploadId(id)),
        _ => Err(operation.new_fault(
            FaultKind::Transient,
            "200 without the id of an upload: not a success",
        )),
    }
}

pub(super) async fn part(
    s3: &S3,
    place: &Place<'_>,
    upload: &UploadId,
    number: i64,
    content: Bytes,
) -> Result<PartTag, Fault> {
    let operation = s3.operation("upload part", &format_args!("{place} part {number}"));
    let params = [("partNumber", &*number.to_string()), ("uploadId", &upload.0)];
    let etag = s3.write(&operation, place, &params, content).await?;
    Ok(PartTag { number, etag })
}

pub(super) async fn complete(
    s3: &S3,
    place: &Place<'_>,
    upload: &UploadId,
    parts: &[PartTag],
    size: u64,
) -> Result<(), Fault> {
    let operation = s3.operation("complete upload", place);
    let parts = parts.iter().map(|part| CompletedPart {
        e_tag: Some(format!("\"{}\"", part.etag)),
        part_number: Some(part.number),
    });
    let request = CompleteMultipartUploadRequest {
        bucket: place.bucket.to_owned(),
        key: place.key.clone(),
        upload_id: upload.0.clone(),
        multipart_upload: Some(CompletedMultipartUpload {
            parts: Some(parts.collect()),
        }),
        ..Default::default()
    };
    let completed = s3
        .calls
        .complete_multipart_upload(request)
        .await
        .map_err(|error| operation.of_call(error, |never| match never {}))?;
    if completed.e_tag.is_none_or(|tag| tag.trim_matches('"').is_empty()) {
        return Err(operation.new_fault(FaultKind::Transient, "200 without an entity tag: not a success"));
    }
    let found = head(s3, place).await?.map(|info| info.size);
    if found == Some(size) {
        return Ok(());
    }
    let found = found.map_or_else(
        || "no object".to_owned(),
        |size| format!("an object of {size} bytes"),
    );
    Err(operation.new_fault(
        FaultKind::Transient,
        format!("200, but a HEAD finds {found} where {size} bytes were sent"),
    ))
}

pub(super) async fn abort(s3: &S3, place: &Place<'_>, upload: &UploadId) -> Result<(), Fault> {
    let operation = s3.operation("abort upload", place);
    let request = AbortMultipartUploadRequest {
        bucket: place.bucket.to_owned(),
        key: place.key.clone(),
        upload_id: upload.0.clone(),
        ..Default::default()
    };
    match s3.calls.abort_multipart_upload(request).await {
        Ok(_) | Err(RusotoError::Service(AbortMultipartUploadError::NoSuchUpload(_))) => Ok(()),
        Err(RusotoError::Unknown(answer)) if S3Answer::of(&answer).code() == Some("NoSuchUpload") => Ok(()),
        Err(error) => Err(
            operation.of_call(error, |AbortMultipartUploadError::NoSuchUpload(message)| {
                (404, "NoSuchUpload", message)
            }),
        ),
    }
}
