//! Single requests whose answers are told as they are: for finding out whether a bucket can be used, and if not, why.
//!
//! What others take for a fault is what is asked for here: the code that the server gives, the region that it names,
//! its clock. Nothing is tried twice, no bucket is ever created, and only what the caller names is written or deleted.

use actors::fault::Fault;
use actors::stream_worker::progress::Progress;
use bytes::Bytes;
use rusoto_core::request::HttpResponse;

use super::S3Config;
use super::body::kept;
use super::client::S3;
use super::fault::S3Answer;
use super::listing::{Asked, Page};
use crate::adapters::http::ERROR_BODY;
use crate::settings::Place;

/// What the server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// The status.
    pub status: u16,
    /// The code of an error, where it gave one.
    pub code: Option<String>,
    /// For people: status, code and message; no secret.
    pub text: String,
    /// The region that it names.
    pub region: Option<String>,
    /// The `Date` of the answer.
    pub date: Option<String>,
    /// The version of the object that was written, in a bucket that keeps versions.
    pub version: Option<String>,
}

impl Inspected {
    /// Whether it did what it was asked for.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status) && self.code.is_none()
    }

    /// Whether it gave this code.
    pub fn says(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

/// The first page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstPage {
    /// Keys as restore knows them: without the folder.
    pub keys: Vec<String>,
    /// Whether there are more.
    pub more: bool,
}

/// Asks a bucket, one request at a time.
pub struct BucketInspector {
    s3: S3,
}

impl BucketInspector {
    /// Opens nothing yet; for the runtime that calls it.
    ///
    /// # Errors
    /// What certificates, or proxies, the environment names is of no use.
    pub fn new(config: S3Config) -> Result<Self, Fault> {
        S3::new(config, Progress::default()).map(|s3| Self { s3 })
    }

    /// Lists the first page below a prefix. Beside the answer there is a page only if it is one: `Err` in it says
    /// what the answer is instead.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn list(
        &self,
        place: &Place,
        prefix: &str,
        most: usize,
    ) -> Result<(Inspected, Option<Result<FirstPage, String>>), Fault> {
        let operation = self.s3.operation("list objects", &place.bucket);
        let (asked, most) = (Asked::keys(place, prefix, None), most.to_string());
        let answer = self
            .s3
            .ask(&operation, &place.bucket, &asked.params(&most, None))
            .await?;
        if answer.status.as_u16() != 200 {
            return Ok((self.told(answer).await, None));
        }
        let mut inspected = head(&answer);
        let page = Page::parse(&kept(answer).await, &asked);
        inspected.text = "200".to_owned();
        let page = page.map(|page| FirstPage {
            keys: page.objects.into_iter().map(|object| object.key).collect(),
            more: page.more,
        });
        Ok((inspected, Some(page)))
    }

    /// Whether there is a bucket: what a start of the backup asks first.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn head_bucket(&self, bucket: &str) -> Result<Inspected, Fault> {
        self.send("check bucket", "HEAD", bucket, None, &[]).await
    }

    /// Whether there is an object. `key` is the whole key, with its folder; here and below.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn head(&self, bucket: &str, key: &str) -> Result<Inspected, Fault> {
        self.send("look for object", "HEAD", &format!("{bucket}/{key}"), None, &[])
            .await
    }

    /// Begins to read an object, and reads none of it.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn open(&self, bucket: &str, key: &str) -> Result<Inspected, Fault> {
        self.send("get object", "GET", &format!("{bucket}/{key}"), None, &[])
            .await
    }

    /// Writes an object.
    ///
    /// # Errors
    /// There was no answer: it may have been written.
    pub async fn put(&self, bucket: &str, key: &str, content: Bytes) -> Result<Inspected, Fault> {
        self.send(
            "put object",
            "PUT",
            &format!("{bucket}/{key}"),
            Some(content),
            &[],
        )
        .await
    }

    /// Deletes an object, or this version of it.
    ///
    /// # Errors
    /// There was no answer: it may be gone.
    pub async fn delete(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Inspected, Fault> {
        let version: Vec<_> = version
            .map(|version| ("versionId", version))
            .into_iter()
            .collect();
        self.send(
            "delete object",
            "DELETE",
            &format!("{bucket}/{key}"),
            None,
            &version,
        )
        .await
    }

    async fn send(
        &self,
        name: &'static str,
        method: &str,
        target: &str,
        content: Option<Bytes>,
        params: &[(&str, &str)],
    ) -> Result<Inspected, Fault> {
        let operation = self.s3.operation(name, &target);
        let path = format!("/{target}");
        let answer = self.s3.send(&operation, method, &path, params, content).await?;
        // The body of an object is not read.
        if method == "GET" && answer.status.is_success() {
            let status = answer.status.as_u16();
            let text = status.to_string();
            return Ok(Inspected {
                text,
                ..head(&answer)
            });
        }
        Ok(self.told(answer).await)
    }

    async fn told(&self, answer: HttpResponse) -> Inspected {
        let inspected = head(&answer);
        let answer = S3Answer::read(answer, ERROR_BODY).await;
        let is_told = answer.code().is_some() || answer.contradicts() || answer.status() >= 300;
        let text = match is_told {
            true => self.without_secrets(&answer.to_string()),
            false => answer.status().to_string(),
        };
        Inspected {
            code: answer.code().map(|code| self.without_secrets(code)),
            region: answer.region().map(|region| self.without_secrets(region)),
            text,
            ..inspected
        }
    }

    /// A server may repeat what it was sent.
    fn without_secrets(&self, text: &str) -> String {
        let keys = [&self.s3.config.secret_key, &self.s3.config.access_key];
        let keys = keys.map(super::Secret::reveal).into_iter();
        keys.filter(|key| !key.is_empty())
            .fold(text.to_owned(), |text, key| text.replace(key, "****"))
    }
}

fn head(answer: &HttpResponse) -> Inspected {
    let header = |name: &str| answer.headers.get(name).cloned();
    Inspected {
        status: answer.status.as_u16(),
        region: header("x-amz-bucket-region"),
        date: header("date"),
        version: header("x-amz-version-id").filter(|version| version != "null"),
        ..Inspected::default()
    }
}
