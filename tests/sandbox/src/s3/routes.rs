//! What s3s-fs does not do, or not as S3 does it: lifecycle rules, kept byte for byte, the list of open multipart
//! uploads, and that of objects.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::BodyExt;
use hyper1::header::{CONTENT_TYPE, HeaderValue};
use hyper1::http::Extensions;
use hyper1::{HeaderMap, Method, StatusCode, Uri};
use s3s::{Body, S3Request, S3Response, S3Result, route::S3Route, s3_error};

use super::knobs::{Knobs, Operation};
use super::{listing, uploads};

/// Lifecycle rules by bucket, and the folder that tells of objects and open uploads.
pub(super) struct Routes {
    root: PathBuf,
    knobs: Arc<Knobs>,
    rules: Mutex<BTreeMap<String, bytes::Bytes>>,
}

impl Routes {
    pub(super) fn new(root: PathBuf, knobs: Arc<Knobs>) -> Self {
        Self {
            root,
            knobs,
            rules: Mutex::default(),
        }
    }

    fn rules(&self) -> MutexGuard<'_, BTreeMap<String, bytes::Bytes>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lifecycle(&self, bucket: String, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        match request.method {
            Method::GET => match self.rules().get(&bucket) {
                Some(rules) => Ok(xml(rules.clone())),
                None => Err(s3_error!(NoSuchLifecycleConfiguration)),
            },
            Method::PUT => {
                let body = request
                    .input
                    .collect()
                    .await
                    .map_err(|_| s3_error!(IncompleteBody))?;
                self.rules().insert(bucket, body.to_bytes());
                Ok(S3Response::new(Body::empty()))
            }
            Method::DELETE => {
                self.rules().remove(&bucket);
                Ok(S3Response::with_status(Body::empty(), StatusCode::NO_CONTENT))
            }
            _ => Err(s3_error!(MethodNotAllowed)),
        }
    }

    fn uploads(&self, bucket: &str, query: &str) -> S3Result<S3Response<Body>> {
        let open = uploads::open(&self.root).map_err(|error| s3_error!(InternalError, "{error}"))?;
        let asked = uploads::Asked::of(query);
        Ok(xml(bytes::Bytes::from(asked.answer(bucket, &open))))
    }

    fn objects(&self, bucket: &str, query: &str) -> S3Result<S3Response<Body>> {
        let asked = uploads::Asked::of(query);
        let listed = listing::answer(bucket, &self.root.join(bucket), &asked, self.knobs.page());
        let text = listed.map_err(|error| s3_error!(InternalError, "{error}"))?;
        Ok(xml(bytes::Bytes::from(text)))
    }
}

fn xml(body: bytes::Bytes) -> S3Response<Body> {
    let mut response = S3Response::new(Body::from(body));
    response
        .headers
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

#[async_trait::async_trait]
impl S3Route for Routes {
    fn is_match(&self, method: &Method, uri: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        match Operation::of(method, uri) {
            Operation::Lifecycle | Operation::ListUploads => true,
            Operation::ListObjects => uri.query().is_some_and(|query| query.contains("list-type=2")),
            _ => false,
        }
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let bucket = request.uri.path().trim_matches('/').to_owned();
        if bucket.is_empty() || bucket.contains('/') || !self.root.join(&bucket).is_dir() {
            return Err(s3_error!(NoSuchBucket));
        }
        match Operation::of(&request.method, &request.uri) {
            Operation::Lifecycle => self.lifecycle(bucket, request).await,
            Operation::ListObjects => self.objects(&bucket, request.uri.query().unwrap_or_default()),
            _ => self.uploads(&bucket, request.uri.query().unwrap_or_default()),
        }
    }
}
