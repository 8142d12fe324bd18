//! Restore is the test of a backup: the program of production restores what lies in the bucket into a second, empty
//! stand-in dispatcher, and both are [compared](crate::comparison). What the program says of its restore has to be
//! what the second dispatcher has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::child::{Ending, Program, Taken};
use crate::comparison::{Allowances, Comparison, Reason, compare};
use crate::dispatcher::{Config, Shared, StandInDispatcher};

/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the program is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Settings of the program, by name.
pub type Settings = BTreeMap<String, String>;

/// A restore that is to be run.
pub struct Restoring<'a> {
    /// Where the backup was made.
    pub first: &'a Shared,
    /// The settings of the backup; those that name the dispatcher and local state are replaced.
    pub settings: Settings,
    /// Where local state and log of the restore lie; it is made.
    pub folder: &'a Path,
    /// What need not come back.
    pub allowances: &'a Allowances,
    /// Whether the second dispatcher keeps hashes only: for restores of gigabytes.
    pub forgets: bool,
}

/// What a restore came to.
#[derive(Debug)]
pub struct Restored {
    /// What came back, and what is different.
    pub comparison: Comparison,
    /// What is wrong, for people; nothing where everything is back and the program says so.
    pub faults: Vec<String>,
    /// How long it took, without the comparison.
    pub elapsed: Duration,
    /// What the program took.
    pub taken: Taken,
    /// Bytes that were uploaded, and published.
    pub bytes: (u64, u64),
}

impl Restoring<'_> {
    /// Runs it with whatever starts the program with settings and arguments, its output in a file; `watch` is called
    /// again and again meanwhile.
    ///
    /// # Errors
    /// Something does not start, or nothing moves any more.
    pub fn run(
        self,
        start: impl FnOnce(&Settings, &[&str], &Path) -> io::Result<Program>,
        mut watch: impl FnMut(&Shared),
    ) -> anyhow::Result<Restored> {
        std::fs::create_dir_all(self.folder)?;
        let second =
            StandInDispatcher::start(Config::default()).context("the second stand-in does not start")?;
        second.shared().set_forgets(self.forgets);
        let mut settings = self.settings.clone();
        for (name, value) in [
            ("BK__DISPATCHER_EVENTS", second.url()),
            ("BK__DISPATCHER_STREAMS", second.url()),
            ("BK__LOCAL_DATA__ROOTDIR", self.folder.display().to_string()),
        ] {
            settings.insert(name.to_owned(), value);
        }
        // Time-outs in a hurry are for faults, of which there are none here.
        settings.remove("FAULT_POINTS_HURRY");
        let log = self.folder.join("restore.log");
        let begun = Instant::now();
        // Whether a bucket may be empty is the comparison's to say.
        let mut program = start(&settings, &["restore", "--json", "--allow-empty"], &log)?;
        let ending = await_end(&mut program, second.shared(), &mut watch)
            .with_context(|| format!("the restore; its last words were:\n{}", last_words(&log)))?;
        let elapsed = begun.elapsed();
        let comparison = compare(self.first, second.shared(), self.allowances);
        let mut faults: Vec<String> = comparison.faults();
        faults.extend(ending_fault(ending, &comparison, &log));
        faults.extend(report_faults(&comparison, second.shared(), &log));
        Ok(Restored {
            comparison,
            faults,
            elapsed,
            taken: program.taken(),
            bytes: (
                second.shared().upload_totals().bytes,
                second.shared().publish_totals().bytes,
            ),
        })
    }
}

fn await_end(
    program: &mut Program,
    second: &Shared,
    watch: &mut impl FnMut(&Shared),
) -> anyhow::Result<Ending> {
    let movement = || {
        let (published, uploaded) = (second.publish_totals(), second.upload_totals());
        (published.requests, uploaded.requests, uploaded.taken)
    };
    let (mut last, mut moved) = (movement(), Instant::now());
    loop {
        if let Some(ending) = program.poll()? {
            return Ok(ending);
        }
        watch(second);
        let now = movement();
        if now != last {
            (last, moved) = (now, Instant::now());
        } else if moved.elapsed() > PATIENCE {
            bail!("nothing has moved for {PATIENCE:?}");
        }
        std::thread::sleep(LOOK);
    }
}

/// It ends with 3 exactly where something is a dead letter.
fn ending_fault(ending: Ending, comparison: &Comparison, log: &Path) -> Option<String> {
    let expected = match comparison.excused.get(&Reason::DeadLetter) {
        None => Ending::Exit(0),
        Some(_) => Ending::Exit(3),
    };
    (ending != expected).then(|| {
        let last = last_words(log);
        format!("the restore ended with {ending:?} instead of {expected:?}:\n{last}")
    })
}

/// Where the program's own report says something else than the second dispatcher has seen.
fn report_faults(comparison: &Comparison, second: &Shared, log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut lines = text.lines().rev();
    let report = lines.find_map(|line| {
        let report: serde_json::Value = serde_json::from_str(line).ok()?;
        report.get("verdict").is_some().then_some(report)
    });
    let Some(report) = report else {
        return vec!["the restore has printed no report".to_owned()];
    };
    let published: BTreeSet<_> = second
        .published_feeds()
        .into_iter()
        .flat_map(|feed| {
            let receipts = second.published(&feed).0.into_iter();
            receipts.map(move |receipt| (feed.clone(), receipt.kafka_key))
        })
        .collect();
    let dead = comparison.excused.get(&Reason::DeadLetter).copied().unwrap_or(0);
    let of = |group: &str, name: &str| report[group][name].as_u64().unwrap_or(u64::MAX);
    let checks = [
        (
            "streams restored",
            of("all_streams", "restored"),
            second.stream_keys().len() as u64,
        ),
        ("dead streams", of("all_streams", "dead"), 0),
        (
            "events accepted",
            of("all_events", "accepted"),
            published.len() as u64,
        ),
        ("events filtered", of("all_events", "filtered"), 0),
        ("events refused", of("all_events", "refused"), 0),
        ("dead events", of("all_events", "dead"), dead),
    ];
    let wrong = checks.into_iter().filter(|(_, told, seen)| told != seen);
    wrong
        .map(|(what, told, seen)| format!("the restore tells {told} {what}; there are {seen}"))
        .collect()
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
