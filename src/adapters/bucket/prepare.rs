//! Makes sure that the buckets are there before anything is backed up.

use actors::fault::{Fault, FaultKind};
use rusoto_core::RusotoError;
use rusoto_s3::{
    CreateBucketConfiguration, CreateBucketError, CreateBucketRequest, HeadBucketError, HeadBucketRequest,
    S3 as _,
};

use super::client::S3;

/// The region that a bucket is created in when nothing is said.
const DEFAULT_REGION: &str = "us-east-1";

pub(super) async fn prepare(s3: &S3, create: bool) -> Result<(), Fault> {
    let mut buckets = vec![&s3.config.streams_bucket];
    if s3.config.events_bucket != s3.config.streams_bucket {
        buckets.push(&s3.config.events_bucket);
    }
    for bucket in buckets {
        if exists(s3, bucket).await? {
            continue;
        }
        let (endpoint, region) = (s3.config.endpoint.as_str(), &s3.config.region);
        if !create {
            let detail = format!("there is no such bucket at {endpoint} (region {region})");
            return Err(s3
                .operation("check bucket", bucket)
                .new_fault(FaultKind::Rejected, detail));
        }
        log::warn!("there is no bucket `{bucket}` at {endpoint} (region {region}): creating it");
        make(s3, bucket).await?;
    }
    Ok(())
}

async fn exists(s3: &S3, bucket: &str) -> Result<bool, Fault> {
    let operation = s3.operation("check bucket", &bucket);
    let request = HeadBucketRequest {
        bucket: bucket.to_owned(),
        ..Default::default()
    };
    match s3.calls.head_bucket(request).await {
        Ok(()) => Ok(true),
        Err(RusotoError::Service(HeadBucketError::NoSuchBucket(_))) => Ok(false),
        Err(RusotoError::Unknown(answer)) if answer.status.as_u16() == 404 => Ok(false),
        Err(error) => Err(
            operation.of_call(error, |HeadBucketError::NoSuchBucket(message)| {
                (404, "NoSuchBucket", message)
            }),
        ),
    }
}

async fn make(s3: &S3, bucket: &str) -> Result<(), Fault> {
    let operation = s3.operation("create bucket", &bucket);
    let elsewhere = s3.config.region != DEFAULT_REGION;
    let request = CreateBucketRequest {
        bucket: bucket.to_owned(),
        create_bucket_configuration: elsewhere.then(|| CreateBucketConfiguration {
            location_constraint: Some(s3.config.region.clone()),
        }),
        ..Default::default()
    };
    match s3.calls.create_bucket(request).await {
        Ok(_) | Err(RusotoError::Service(CreateBucketError::BucketAlreadyOwnedByYou(_))) => {}
        Err(error) => {
            let taken = matches!(
                error,
                RusotoError::Service(CreateBucketError::BucketAlreadyExists(_))
            );
            let fault = operation.of_call(error, |error| match error {
                CreateBucketError::BucketAlreadyExists(message) => (409, "BucketAlreadyExists", message),
                CreateBucketError::BucketAlreadyOwnedByYou(message) => {
                    (409, "BucketAlreadyOwnedByYou", message)
                }
            });
            // Some servers say so of one's own bucket too: it was created by a request whose answer was lost, or
            // by another process just now. What may be used is ours.
            return match taken && exists(s3, bucket).await? {
                true => Ok(()),
                false => Err(fault),
            };
        }
    }
    // rusoto does not look at the body of the answer: the bucket itself is what proves it.
    match exists(s3, bucket).await? {
        true => Ok(()),
        false => Err(operation.new_fault(FaultKind::Transient, "200, but the bucket is not there")),
    }
}
