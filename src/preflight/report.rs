//! What is printed: text for people, or one JSON object a line.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::check::{Outcome, Verdict};
use crate::exit::Exit;
use crate::settings::Mode;

/// Where what came back stands, and what to do.
const INDENT: usize = 26;

/// All checks, in the order in which they are told.
#[derive(Clone, Debug)]
pub struct Report {
    /// For which mode.
    pub mode: Mode,
    /// The checks.
    pub outcomes: Vec<Outcome>,
}

#[derive(Serialize)]
struct LastLine<'a> {
    summary: Summary<'a>,
}

#[derive(Serialize)]
struct Summary<'a> {
    mode: &'a str,
    version: &'a str,
    passed: usize,
    warnings: usize,
    failed: usize,
    not_tried: usize,
}

/// As it is written in settings.
pub const fn name_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Backup => "backup",
        Mode::Restore => "restore",
    }
}

impl Report {
    fn count(&self, verdict: Verdict) -> usize {
        let outcomes = self.outcomes.iter();
        outcomes.filter(|outcome| outcome.result == verdict).count()
    }

    /// Warnings are allowed.
    pub fn exit(&self) -> Exit {
        match self.count(Verdict::Failed) {
            0 => Exit::Done,
            _ => Exit::Failed,
        }
    }

    /// For machines: each check an object on a line of its own, and a summary as the last.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        for outcome in &self.outcomes {
            serde_json::to_writer(&mut *out, outcome)?;
            writeln!(out)?;
        }
        let summary = Summary {
            mode: name_of(self.mode),
            version: env!("CARGO_PKG_VERSION"),
            passed: self.count(Verdict::Passed),
            warnings: self.count(Verdict::Warning),
            failed: self.count(Verdict::Failed),
            not_tried: self.count(Verdict::NotTried),
        };
        serde_json::to_writer(&mut *out, &LastLine { summary })?;
        writeln!(out)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.outcomes {
            let (result, check) = (outcome.result.shown(), outcome.check.name());
            writeln!(f, "{result}  {check:<11}  {}", outcome.tried)?;
            writeln!(f, "{:INDENT$}{}", "", outcome.found)?;
            if !outcome.advice.is_empty() {
                writeln!(f, "{:INDENT$}→ {}", "", outcome.advice)?;
            }
        }
        let failed = match self.count(Verdict::Failed) {
            0 => "No check failed".to_owned(),
            1 => "1 check failed".to_owned(),
            more => format!("{more} checks failed"),
        };
        let (passed, warnings) = (self.count(Verdict::Passed), self.count(Verdict::Warning));
        let not_tried = self.count(Verdict::NotTried);
        write!(
            f,
            "{failed}, {passed} passed, {warnings} with a warning, {not_tried} not tried."
        )
    }
}
