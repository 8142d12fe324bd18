//! What a backup could not have, as far as its first dispatcher, its bucket and the audit of both tell.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::{Allowances, Bundles, Reason};
use crate::audit::Audit;
use crate::dispatcher::{Fate, Shared};

impl Allowances {
    /// For the backup in the buckets `{prefix}-…` below `root`: its order of bundles, and its streams. A stream that is
    /// not in the bucket need not come back if the dispatcher does not have it, if what it has is `wrong`, or if no
    /// event in a bundle names it; that the others are in the bucket is what the audit looks at.
    ///
    /// # Errors
    /// A folder or a file cannot be read.
    pub fn of_backup(
        first: &Shared,
        root: &Path,
        prefix: &str,
        audit: &Audit,
        wrong: &BTreeSet<String>,
    ) -> anyhow::Result<Self> {
        let mut allowances = Self::default();
        allowances.expect_order_of(Bundles::read(root, prefix)?);
        allowances.allow_streams(first, &stored(root, prefix)?, audit, wrong);
        Ok(allowances)
    }

    fn allow_streams(
        &mut self,
        first: &Shared,
        stored: &BTreeSet<String>,
        audit: &Audit,
        wrong: &BTreeSet<String>,
    ) {
        let has = first.stream_keys();
        for stream in audit.absent.difference(&has) {
            self.allow_stream(stream, Reason::NotThere);
        }
        for stream in has.difference(stored) {
            if wrong.contains(stream) {
                self.allow_stream(stream, Reason::WrongBytes);
            } else if !audit.absent.contains(stream) {
                self.allow_stream(stream, Reason::NotNamed);
            }
        }
    }

    /// The events of answers that did not reach the consumers whose name begins so, and those that restarts cost: each
    /// of the former is in a suspect pull, if the backup is right.
    pub fn allow_lost_answers(&mut self, first: &Shared, consumers: &str) {
        let broker = first.broker();
        let answers = broker.answers().filter(|answer| {
            answer.consumer.name.starts_with(consumers)
                && !matches!(answer.fate, Fate::HandedOut | Fate::BeingSent)
        });
        for place in answers.flat_map(|answer| &answer.events) {
            let event = broker.event(*place);
            self.allow_event(&event.feed, event.kafka_key, Reason::SuspectPull);
        }
        for (_, place) in broker.lost_in_advance() {
            let event = broker.event(*place);
            self.allow_event(&event.feed, event.kafka_key, Reason::LostByDispatcher);
        }
    }
}

/// The streams in the bucket.
fn stored(root: &Path, prefix: &str) -> io::Result<BTreeSet<String>> {
    let keys = crate::s3::keys(root, &format!("{prefix}-streams"))?;
    Ok(keys.unwrap_or_default().into_iter().collect())
}
