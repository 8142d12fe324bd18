//! `restore --plan`, and what a restore that runs finds out about its own extent.

use std::path::Path;
use std::rc::Rc;

use actix::System;
use actors::ports::Archive;
use actors::restore::plan::{Plan, PlanTerms, Weight, amounts, plan};
use actors::restore::progress::Total;
use actors::restore::standing::Standing;
use actors::stop::StopFlag;

use super::Wanted;
use super::outside::Outside;
use super::plan::Told;
use super::resume::{NoCopy, Resume, StateCopy};
use crate::adapters::restore_state::SledRestoreState;
use crate::exit::Exit;

/// How many listings go on at once.
const AT_ONCE: usize = 8;

/// How many while the restore itself runs, which comes first.
const AT_ONCE_BESIDE: usize = 2;

/// Tells what would be restored; writes nothing.
pub(super) fn run(wanted: &Wanted) -> Exit {
    System::new().block_on(async {
        let archive = match Outside::new(&wanted.settings).archive() {
            Ok(archive) => archive,
            Err(fault) => {
                crate::tell(fault);
                return Exit::Failed;
            }
        };
        let plan = plan(&archive, &terms(wanted, AT_ONCE), &StopFlag::default()).await;
        let told = Told {
            plan: &plan,
            resume: &resume(wanted).await,
            selection: wanted.selection.canonical(),
            notes: wanted.selection.notes(),
            allow_empty: wanted.allow_empty,
        };
        match told.print(wanted.json, &mut std::io::stdout().lock()) {
            Ok(()) => told.exit(),
            // A reader that has gone has seen what it wanted.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => told.exit(),
            Err(error) => {
                crate::tell(format_args!(
                    "the plan cannot be written to standard output: {error}"
                ));
                Exit::Failed
            }
        }
    })
}

/// Counts what there is, beside a restore that runs: for its rates. What is missing, and what is left behind, the
/// restore itself has looked for.
pub(super) fn count_beside(wanted: &Wanted, archive: Rc<dyn Archive>, standing: Standing, stop: StopFlag) {
    let terms = terms_beside(wanted);
    actix_rt::spawn(async move {
        let plan = amounts(&*archive, &terms, &stop).await;
        if !stop.is_raised() {
            for odd in plan.odd.iter().filter(|odd| odd.weight != Weight::Empty) {
                log::warn!("{}", odd.what);
            }
            show(&standing, plan);
        }
    });
}

fn show(standing: &Standing, plan: Plan) {
    standing.update(|progress| {
        for source in &mut progress.streams {
            let of_source = plan.streams.iter().find(|plan| plan.source == source.source);
            source.total = of_source.filter(|plan| plan.fault.is_none()).map(|plan| {
                let all = plan.all();
                Total {
                    objects: all.objects,
                    events: 0,
                    bytes: all.bytes,
                }
            });
        }
        for feed in &mut progress.feeds {
            let of_feed = plan.feeds.iter().find(|plan| plan.feed == feed.feed);
            feed.total = of_feed.map(|plan| Total {
                objects: plan.tally.objects,
                events: plan.tally.events,
                bytes: plan.tally.bytes,
            });
        }
    });
}

/// What the restore itself looks at the bucket by.
pub(super) fn terms_beside(wanted: &Wanted) -> PlanTerms {
    terms(wanted, AT_ONCE_BESIDE)
}

fn terms(wanted: &Wanted, at_once: usize) -> PlanTerms {
    let settings = &wanted.settings;
    PlanTerms {
        selection: wanted.selection.clone(),
        restored: settings.restored_sources(),
        excluded: settings.excluded_sources(),
        can_decrypt: settings.reading.aes_key.is_some(),
        retry: settings.retry.clone(),
        at_once,
    }
}

/// Where the restore would go on.
async fn resume(wanted: &Wanted) -> Resume {
    if wanted.from_start {
        return Resume::FromStart;
    }
    let root = wanted.settings.local_data.join(super::FOLDER);
    match look(wanted, &root).await {
        Ok(resume) => resume,
        Err(why) => Resume::Unknown(why),
    }
}

async fn look(wanted: &Wanted, root: &Path) -> Result<Resume, String> {
    let copy = match StateCopy::of(root, &std::env::temp_dir()) {
        Ok(Some(copy)) => copy,
        Ok(None) => return Ok(Resume::FromStart),
        Err(NoCopy::InUse(holder)) => return Ok(Resume::InUse(holder)),
        Err(fault) => return Err(fault.to_string()),
    };
    let (settings, selection) = (&wanted.settings, &wanted.selection);
    let state = SledRestoreState::open(copy.root()).map_err(|error| error.to_string())?;
    let sources = selection.stream_sources(&settings.restored_sources());
    let feeds = selection.feeds(&settings.restored_sources());
    let looked = Resume::look(&state, &settings.restore_id(selection), &sources, &feeds).await;
    // The copy goes: how it was closed says nothing.
    let _ = state.close().await;
    looked.map_err(|fault| fault.to_string())
}
