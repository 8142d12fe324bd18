//! Lists the streams that are set aside or missing, and puts them back among the pending ones.
//!
//! The list is read and written page by page: however long it is, little of it is in memory. Put back is what is on
//! the list when its page is read, each stream once.

mod listing;

use std::io::{BufWriter, Write};

use actors::ports::state::{FailedStream, MissingStream};
use actors::stream_id::StreamId;

use super::state_access::{NoAccess, StateAccess};
use crate::cli::FailedStreams;
use crate::exit::Exit;
use crate::local_socket::protocol::PutBackCounts;
use crate::settings::StateSettings;
use listing::{Listing, Row};

/// Lists, or puts back.
pub fn run(settings: &StateSettings, wanted: &FailedStreams) -> Exit {
    super::on_state::run(settings, StateAccess::of, |access, out| match wanted.retry {
        true => put_back(access, wanted, out),
        false => list(access, wanted, out).map(|()| Exit::Done),
    })
}

/// One row of either kind.
enum Found {
    Failed(FailedStream),
    Missing(MissingStream),
}

impl Found {
    fn stream(&self) -> &StreamId {
        match self {
            Self::Failed(row) => &row.stream,
            Self::Missing(row) => &row.stream,
        }
    }

    fn row(&self) -> Row {
        match self {
            Self::Failed(row) => Row::of_failed(row),
            Self::Missing(row) => Row::of_missing(row),
        }
    }
}

/// Whether the command is about this stream.
fn is_wanted(wanted: &FailedStreams, stream: &StreamId) -> bool {
    let is_everything = wanted.streams.is_empty() && wanted.source.is_empty();
    is_everything || wanted.streams.contains(stream) || wanted.source.contains(stream.source())
}

/// Reads all rows that are wanted, page by page: failed ones first.
fn each_page(
    access: &StateAccess,
    wanted: &FailedStreams,
    mut take: impl FnMut(Vec<Found>) -> Result<(), super::CommandFault>,
) -> Result<(), super::CommandFault> {
    walk(
        |after| {
            Ok(access
                .failed_after(after)?
                .into_iter()
                .map(Found::Failed)
                .collect())
        },
        wanted,
        &mut take,
    )?;
    walk(
        |after| {
            Ok(access
                .missing_after(after)?
                .into_iter()
                .map(Found::Missing)
                .collect())
        },
        wanted,
        &mut take,
    )
}

fn walk(
    read: impl Fn(Option<StreamId>) -> Result<Vec<Found>, NoAccess>,
    wanted: &FailedStreams,
    take: &mut impl FnMut(Vec<Found>) -> Result<(), super::CommandFault>,
) -> Result<(), super::CommandFault> {
    let mut after = None;
    loop {
        let mut page = read(after)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.stream().clone());
        page.retain(|found| is_wanted(wanted, found.stream()));
        take(page)?;
    }
}

fn list(
    access: &StateAccess,
    wanted: &FailedStreams,
    out: &mut dyn Write,
) -> Result<(), super::CommandFault> {
    let mut out = BufWriter::new(out);
    let mut listing = Listing::new(wanted.json);
    each_page(access, wanted, |page| {
        let rows: Vec<Row> = page.iter().map(Found::row).collect();
        Ok(listing.page(&rows, &mut out)?)
    })?;
    listing.end(&mut out)?;
    Ok(out.flush()?)
}

fn put_back(
    access: &StateAccess,
    wanted: &FailedStreams,
    out: &mut dyn Write,
) -> Result<Exit, super::CommandFault> {
    let mut counts = PutBackCounts::default();
    if wanted.streams.is_empty() {
        each_page(access, wanted, |page| {
            let streams: Vec<StreamId> = page.iter().map(|found| found.stream().clone()).collect();
            // Gone from the list meanwhile: stored, or being tried already.
            let PutBackCounts { failed, missing, .. } = access.put_back(&streams)?;
            counts += PutBackCounts {
                failed,
                missing,
                neither: 0,
            };
            Ok(())
        })?;
    } else {
        counts = access.put_back(&wanted.streams)?;
    }
    match wanted.json {
        true => writeln!(out, "{}", serde_json::json!({ "put_back": counts }))?,
        false => writeln!(out, "{}", listing::put_back_text(&counts, access.is_running()))?,
    }
    Ok(match counts.neither {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}
