//! What a request asks for, by its method and target: the dispatcher's calls and S3's.

use std::fmt;

/// One kind of request that the program makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// The next events of a feed.
    Pull,
    /// A binary from the dispatcher.
    Download,
    /// A whole stream into the bucket.
    PutStream,
    /// Begins a multipart upload.
    BeginUpload,
    /// One part of it.
    UploadPart,
    /// Makes an object of the parts.
    CompleteUpload,
    /// Drops a multipart upload.
    AbortUpload,
    /// A bundle of events into the bucket.
    PutBundle,
    /// Whether a stream is in the bucket.
    HeadStream,
    /// Whether a bundle is in the bucket.
    HeadBundle,
    /// Whether a bucket is there, at a start.
    HeadBucket,
    /// Creates a bucket, at a start.
    CreateBucket,
    /// Which multipart uploads are open, at a start.
    ListUploads,
    /// Anything else.
    Other,
}

impl Operation {
    /// All that a backup has, in the order of the matrix.
    pub const ALL: [Self; 13] = [
        Self::Pull,
        Self::Download,
        Self::PutStream,
        Self::BeginUpload,
        Self::UploadPart,
        Self::CompleteUpload,
        Self::AbortUpload,
        Self::PutBundle,
        Self::HeadStream,
        Self::HeadBundle,
        Self::HeadBucket,
        Self::CreateBucket,
        Self::ListUploads,
    ];

    /// Its name in reports, and for the choice of what is run.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Download => "download",
            Self::PutStream => "put-stream",
            Self::BeginUpload => "begin-upload",
            Self::UploadPart => "upload-part",
            Self::CompleteUpload => "complete-upload",
            Self::AbortUpload => "abort-upload",
            Self::PutBundle => "put-bundle",
            Self::HeadStream => "head-stream",
            Self::HeadBundle => "head-bundle",
            Self::HeadBucket => "head-bucket",
            Self::CreateBucket => "create-bucket",
            Self::ListUploads => "list-uploads",
            Self::Other => "other",
        }
    }

    /// What a request is.
    pub fn of(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path.ends_with("/passive") && path.contains("/api/v2/event/") {
            return Self::Pull;
        }
        if path.contains("/api/v3/stream/") && method == "GET" {
            return Self::Download;
        }
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let mut parts = path.trim_matches('/').splitn(2, '/');
        let bucket = parts.next().unwrap_or_default();
        let (object, bundle) = (parts.next().is_some(), bucket.ends_with("-events"));
        match method {
            "HEAD" if !object => Self::HeadBucket,
            "HEAD" if bundle => Self::HeadBundle,
            "HEAD" => Self::HeadStream,
            "GET" if has("uploads") => Self::ListUploads,
            "PUT" if has("partNumber") => Self::UploadPart,
            "PUT" if has("lifecycle") => Self::Other,
            "PUT" if !object => Self::CreateBucket,
            "PUT" if bundle => Self::PutBundle,
            "PUT" => Self::PutStream,
            "POST" if has("uploads") => Self::BeginUpload,
            "POST" if has("uploadId") => Self::CompleteUpload,
            "DELETE" if has("uploadId") => Self::AbortUpload,
            _ => Self::Other,
        }
    }

    /// Whether a success of it proves that an object is in the bucket.
    pub const fn proves_object(self) -> bool {
        matches!(
            self,
            Self::PutStream | Self::CompleteUpload | Self::PutBundle | Self::HeadStream | Self::HeadBundle
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_known_for_what_it_asks() {
        for (request, expected) in [
            (
                "GET /api/v2/event/binary/passive?count=3&name=backup",
                Operation::Pull,
            ),
            ("GET /api/v3/stream/samples/content/ab", Operation::Download),
            ("PUT /b-1-streams/samples/content/ab", Operation::PutStream),
            (
                "POST /b-1-streams/samples/content/ab?uploads",
                Operation::BeginUpload,
            ),
            (
                "POST /b-1-streams/samples/content/ab?uploads=",
                Operation::BeginUpload,
            ),
            (
                "PUT /b-1-streams/s/c/ab?partNumber=1&uploadId=x",
                Operation::UploadPart,
            ),
            ("POST /b-1-streams/s/c/ab?uploadId=x", Operation::CompleteUpload),
            ("DELETE /b-1-streams/s/c/ab?uploadId=x", Operation::AbortUpload),
            ("PUT /b-1-events/s/binary/sourced/2025-1-ab", Operation::PutBundle),
            ("HEAD /b-1-streams/s/c/ab", Operation::HeadStream),
            (
                "HEAD /b-1-events/s/binary/sourced/2025-1-ab",
                Operation::HeadBundle,
            ),
            ("HEAD /b-1-events", Operation::HeadBucket),
            ("HEAD /b-1-events/", Operation::HeadBucket),
            ("PUT /b-1-events", Operation::CreateBucket),
            ("GET /b-1-events?uploads", Operation::ListUploads),
            ("GET /b-1-events/s/binary/sourced/2025-1-ab", Operation::Other),
            ("GET /", Operation::Other),
        ] {
            let (method, target) = request.split_once(' ').unwrap();
            assert_eq!(Operation::of(method, target), expected, "{request}");
        }
    }
}
