//! One check: what was tried, what came back, what to do.

use std::fmt;

use serde::Serialize;

/// What kind of check it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The settings can be used.
    Settings,
    /// A host has an address.
    Dns,
    /// Somebody listens, and proves to be who it should be.
    Connection,
    /// A signed request is accepted.
    Credentials,
    /// The bucket is in the region of the settings.
    Region,
    /// A bucket is there.
    Bucket,
    /// A bucket can be read.
    Read,
    /// A bucket can be written to.
    Write,
    /// The dispatcher answers.
    Dispatcher,
    /// A source can be read.
    Feeds,
    /// Local state can be kept.
    #[serde(rename = "local state")]
    LocalState,
}

impl Check {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Dns => "dns",
            Self::Connection => "connection",
            Self::Credentials => "credentials",
            Self::Region => "region",
            Self::Bucket => "bucket",
            Self::Read => "read",
            Self::Write => "write",
            Self::Dispatcher => "dispatcher",
            Self::Feeds => "feeds",
            Self::LocalState => "local state",
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// To be known; it works all the same.
    Warning,
    /// The mode would not work.
    Failed,
    /// It depends on what failed, or has no place in this mode.
    #[serde(rename = "not tried")]
    NotTried,
}

impl Verdict {
    /// A glyph and words, of one width.
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Passed => "✓ passed   ",
            Self::Warning => "! warning  ",
            Self::Failed => "✗ failed   ",
            Self::NotTried => "– not tried",
        }
    }
}

/// One check that is done with. Carries no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What kind of check.
    pub check: Check,
    /// What it was about: a host, a bucket, a source.
    pub of: String,
    /// How it ended.
    pub result: Verdict,
    /// What was tried.
    pub tried: String,
    /// What came back; for what was not tried, why not.
    pub found: String,
    /// What to do; empty where there is nothing to do.
    pub advice: String,
}

/// A check that is about to be done.
#[derive(Clone, Debug)]
pub struct Trial {
    check: Check,
    of: String,
    tried: String,
}

impl Trial {
    /// `tried` says what is done, as an order: `look up s3.example.org`.
    pub fn new(check: Check, of: impl fmt::Display, tried: impl fmt::Display) -> Self {
        Self {
            check,
            of: of.to_string(),
            tried: tried.to_string(),
        }
    }

    fn ends(self, result: Verdict, found: impl fmt::Display, advice: impl fmt::Display) -> Outcome {
        Outcome {
            check: self.check,
            of: self.of,
            result,
            tried: self.tried,
            found: found.to_string(),
            advice: advice.to_string(),
        }
    }

    /// As it should be.
    pub fn passed(self, found: impl fmt::Display) -> Outcome {
        self.ends(Verdict::Passed, found, "")
    }

    /// Something to know.
    pub fn warning(self, found: impl fmt::Display, advice: impl fmt::Display) -> Outcome {
        self.ends(Verdict::Warning, found, advice)
    }

    /// Not as it should be.
    pub fn failed(self, found: impl fmt::Display, advice: impl fmt::Display) -> Outcome {
        self.ends(Verdict::Failed, found, advice)
    }

    /// Not done, and why not.
    pub fn not_tried(self, why: impl fmt::Display) -> Outcome {
        self.ends(Verdict::NotTried, why, "")
    }
}
