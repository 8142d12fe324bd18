//! What makes the S3 server slow, failing or silent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper1::{Method, Uri};
use tokio::time::Instant;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Operation {
    HeadObject,
    GetObject,
    PutObject,
    DeleteObject,
    BeginUpload,
    UploadPart,
    CompleteUpload,
    AbortUpload,
    ListUploads,
    ListObjects,
    HeadBucket,
    CreateBucket,
    Lifecycle,
    Other,
}

impl Operation {
    /// What a request is, by its method, path and query.
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let path = uri.path().trim_matches('/');
        let object = path.contains('/');
        match *method {
            _ if has("lifecycle") => Self::Lifecycle,
            Method::HEAD if object => Self::HeadObject,
            Method::HEAD => Self::HeadBucket,
            Method::GET if has("uploads") => Self::ListUploads,
            Method::GET if object => Self::GetObject,
            Method::GET if !path.is_empty() => Self::ListObjects,
            Method::PUT if object && has("partNumber") => Self::UploadPart,
            Method::PUT if object => Self::PutObject,
            Method::PUT => Self::CreateBucket,
            Method::POST if has("uploads") => Self::BeginUpload,
            Method::POST if has("uploadId") => Self::CompleteUpload,
            Method::DELETE if has("uploadId") => Self::AbortUpload,
            Method::DELETE if object => Self::DeleteObject,
            _ => Self::Other,
        }
    }

    /// Whether an object becomes visible by it.
    pub fn writes(self) -> bool {
        matches!(self, Self::PutObject | Self::CompleteUpload)
    }
}

/// How a request shall fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This status, before anything is done.
    Status(u16),
    /// This status, after it was done: a lost acknowledgement.
    StatusAfter(u16),
    /// No answer, ever.
    Hang,
    /// 200 with an error in its body, before anything is done.
    ErrorInOk,
    /// 200 with this body, before anything is done: a login page, or nothing at all.
    OkWith(&'static str),
}

/// Which requests of an operation fail.
#[derive(Debug)]
struct Planned {
    spared: usize,
    times: usize,
    failure: Failure,
}

#[derive(Debug, Default)]
struct Settings {
    latency: Duration,
    bytes_per_second: Option<u64>,
    busy_until: Option<Instant>,
    failures: BTreeMap<Operation, Planned>,
    page: Option<usize>,
    hang: bool,
}

/// The knobs; all of them can be turned while the server runs.
#[derive(Debug, Default)]
pub struct Knobs {
    settings: Mutex<Settings>,
}

impl Knobs {
    /// Every request waits this long before it is served.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// All request bodies together come in no faster than this; `None`: as fast as they can.
    pub fn set_bandwidth(&self, bytes_per_second: Option<u64>) {
        self.lock().bytes_per_second = bytes_per_second;
    }

    /// The next `times` requests of an operation fail.
    pub fn fail_next(&self, operation: Operation, times: usize, failure: Failure) {
        self.fail_after(operation, 0, times, failure);
    }

    /// The next `spared` requests of an operation are served, and the `times` after them fail: with 2 of
    /// [`Operation::ListObjects`] the third page of a listing.
    pub fn fail_after(&self, operation: Operation, spared: usize, times: usize, failure: Failure) {
        let planned = Planned {
            spared,
            times,
            failure,
        };
        self.lock().failures.insert(operation, planned);
    }

    /// No page of a listing has more entries than this, whatever is asked for.
    pub fn set_page(&self, entries: Option<usize>) {
        self.lock().page = entries;
    }

    /// While set, no request is answered; those that wait are let go when it is taken back.
    pub fn set_hang(&self, hang: bool) {
        self.lock().hang = hang;
    }

    /// Takes all knobs back.
    pub fn reset(&self) {
        *self.lock() = Settings::default();
    }

    pub(super) fn latency(&self) -> Duration {
        self.lock().latency
    }

    pub(super) fn hangs(&self) -> bool {
        self.lock().hang
    }

    pub(super) fn failure(&self, operation: Operation) -> Option<Failure> {
        let mut settings = self.lock();
        let planned = settings.failures.get_mut(&operation)?;
        if planned.spared > 0 {
            planned.spared -= 1;
            return None;
        }
        planned.times = planned.times.checked_sub(1)?;
        Some(planned.failure)
    }

    pub(super) fn page(&self) -> Option<usize> {
        self.lock().page
    }

    /// When `bytes` more may have come in.
    pub(super) fn due(&self, bytes: usize) -> Option<Instant> {
        let mut settings = self.lock();
        let rate = settings.bytes_per_second?.max(1);
        let now = Instant::now();
        let start = settings.busy_until.map_or(now, |until| until.max(now));
        let due = start + Duration::from_micros(bytes as u64 * 1_000_000 / rate);
        settings.busy_until = Some(due);
        Some(due)
    }

    fn lock(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
