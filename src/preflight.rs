//! Tries everything that the settings name, once, before somebody relies on it.
//!
//! # The promise
//! * Each check says what was tried, what came back, and what to do. One that fails ends none but those that depend on
//!   it, which are told as not tried.
//! * **Nothing is changed.** No bucket is created; the one object that is written, by a check for a backup alone, has a
//!   name of its own (`probe_key`) and is deleted again; no pull names the consumer of a backup (`azul`), so that no
//!   event is lost to it; local state is not opened (`local`).
//! * It is done within a minute: every step has a time-out, and what is independent goes side by side.
//! * No secret is told.

mod azul;
mod certificate;
mod check;
mod local;
mod mounts;
mod network;
mod probe_key;
mod report;
mod storage;
mod terms;
mod words;

use std::io::{self, Write as _};
use std::time::Duration;

pub use self::check::{Check, Outcome, Verdict};
pub use self::terms::Terms;

use self::check::Trial;
use self::report::{Report, name_of};
use crate::exit::Exit;
use crate::settings::Mode;

/// How long the head of an answer, and each part of it, may take.
const REQUEST: Duration = Duration::from_secs(6);

/// Does all checks, and prints them: for people, or as JSON.
pub fn run(terms: &Terms, json: bool) -> Exit {
    let report = actix_rt::System::new().block_on(check_all(terms));
    let mut out = io::stdout().lock();
    let written = match json {
        true => report.write_json(&mut out),
        false => writeln!(out, "{report}"),
    };
    match written.and_then(|()| out.flush()) {
        // A reader that has gone (`| head`) changes nothing about what was found.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            crate::tell(format_args!("the output cannot be written: {error}"));
            Exit::Failed
        }
        _ => report.exit(),
    }
}

async fn check_all(terms: &Terms) -> Report {
    let mut outcomes = vec![of_settings(terms)];
    let (network, reachable) = network::check(&terms.servers()).await;
    let (storage, azul) =
        futures_util::join!(storage::check(terms, &reachable), azul::check(terms, &reachable));
    outcomes.extend(network);
    outcomes.extend(storage);
    outcomes.extend(azul);
    outcomes.push(local::check(terms));
    Report {
        mode: terms.mode,
        outcomes,
    }
}

/// They can be used, or nobody would be here.
fn of_settings(terms: &Terms) -> Outcome {
    let mode = name_of(terms.mode);
    let trial = Trial::new(
        Check::Settings,
        mode,
        format_args!("read the settings for a {mode}"),
    );
    let system = |feeds: &&Vec<_>| {
        let first: Option<&actors::feed::Feed> = feeds.first();
        first.is_some_and(|feed| feed.source().as_str() != actors::feed::SourceName::SYSTEM)
    };
    let sources = terms.sources.iter().filter(system).count();
    let found = format!(
        "sources: {sources}, feeds: {}; {}",
        terms.feeds,
        network::trusted()
    );
    match terms.warnings.is_empty() {
        true => trial.passed(found),
        false => trial.warning(found, terms.warnings.join("; ")),
    }
}
