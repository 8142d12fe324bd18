//! The client: rusoto's calls where they hold, signed requests of our own where they do not.

use std::convert::Infallible;

use actors::fault::Fault;
use actors::stream_worker::progress::Progress;
use bytes::Bytes;
use rusoto_core::request::HttpResponse;
use rusoto_core::signature::SignedRequest;
use rusoto_core::{Client, Region, RusotoError};
use rusoto_credential::StaticProvider;
use rusoto_s3::S3Client;

use super::fault::{Operation, S3Answer};
use super::wire::BucketHttp;
use super::{Place, S3Config};
use crate::adapters::http::ERROR_BODY;

/// What Azul's Go tool sets on every object.
pub(super) const CONTENT_TYPE: &str = "binary/octet-stream";

/// The clients of one thread.
pub(super) struct S3 {
    pub(super) config: S3Config,
    /// For everything that has no payload to speak of.
    pub(super) calls: S3Client,
    signed: Client,
    region: Region,
}

impl S3 {
    pub(super) fn new(config: S3Config, progress: Progress) -> Result<Self, Fault> {
        let region = Region::Custom {
            name: config.region.clone(),
            endpoint: config.endpoint.as_str().to_owned(),
        };
        let [access, secret] = [&config.access_key, &config.secret_key].map(|key| key.reveal().to_owned());
        let credentials = StaticProvider::new_minimal(access, secret);
        let http = BucketHttp::new(config.timeouts, progress)
            .map_err(|error| Fault::rejected("set up S3 client", config.endpoint.as_str(), error))?;
        let signed = Client::new_with(credentials, http);
        Ok(Self {
            calls: S3Client::new_with_client(signed.clone(), region.clone()),
            signed,
            region,
            config,
        })
    }

    /// A fault of `operation` on `place`, without secrets.
    pub(super) fn operation(&self, name: &'static str, place: &dyn std::fmt::Display) -> Operation {
        Operation::new(name, place.to_string(), &self.config)
    }

    /// Sends `content` to `place`, signed together with its SHA-256; returns the entity tag.
    pub(super) async fn write(
        &self,
        operation: &Operation,
        place: &Place<'_>,
        params: &[(&str, &str)],
        content: Bytes,
    ) -> Result<String, Fault> {
        let path = format!("/{}/{}", place.bucket, place.key);
        let answer = self.send(operation, "PUT", &path, params, Some(content)).await?;
        written(operation, answer).await
    }
}

impl S3 {
    /// Asks the bucket itself; the body of a success is whole XML, or nothing.
    pub(super) async fn ask(
        &self,
        operation: &Operation,
        bucket: &str,
        params: &[(&str, &str)],
    ) -> Result<HttpResponse, Fault> {
        self.send(operation, "GET", &format!("/{bucket}"), params, None)
            .await
    }

    /// Sends one signed request, whatever it is; every answer is one.
    pub(super) async fn send(
        &self,
        operation: &Operation,
        method: &str,
        path: &str,
        params: &[(&str, &str)],
        content: Option<Bytes>,
    ) -> Result<HttpResponse, Fault> {
        let mut request = SignedRequest::new(method, "s3", &self.region, path);
        for (name, value) in params {
            request.add_param(*name, *value);
        }
        if content.is_some() {
            request.set_content_type(CONTENT_TYPE.to_owned());
            request.set_payload(content);
        }
        self.signed.sign_and_dispatch(request).await.map_err(|error| {
            operation.of_call(RusotoError::<Infallible>::from(error), |never| match never {})
        })
    }
}

/// Believes a success only with an entity tag and without a body that says otherwise.
async fn written(operation: &Operation, answer: HttpResponse) -> Result<String, Fault> {
    let etag = answer.headers.get("etag").map(|tag| unquoted(tag).to_owned());
    let status = answer.status.as_u16();
    let answer = S3Answer::read(answer, ERROR_BODY).await;
    match etag {
        Some(etag) if status == 200 && !etag.is_empty() && !answer.contradicts() => Ok(etag),
        _ => Err(operation.fault(&answer)),
    }
}

/// An entity tag without what HTTP puts around it.
pub(super) fn unquoted(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}
