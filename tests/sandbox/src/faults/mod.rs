//! The fault matrix: what happens at every fault of every request, from one table.
//!
//! A cell is a backup through proxies of which one spoils the requests of one kind, once or for as long as the first
//! start runs. The program is then stopped, or ends by itself, and is started once more without the fault; at the end
//! everything that arrived must be in the bucket, byte for byte, and nothing of it left over in local state; and it must
//! come back from there, restored into a second dispatcher. What each cell expects besides, in local state, statistics
//! and exit codes, is its [`Course`].

mod cell;
pub mod command;
mod course;
mod scene;
mod table;
mod world;

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use cell::{Cell, Report};
pub use course::{Bucket, Course, Expect, Until};
pub use table::{FOR_EVER, ONCE, Place, Rule};

use crate::proxy::Operation;
use world::MARKER;

/// Gives the command that runs the program, without arguments.
pub type Launcher = dyn Fn() -> Command + Sync;

/// All cells of the matrix.
pub fn cells() -> Vec<Cell> {
    let rows = ONCE
        .iter()
        .map(|row| (row, false))
        .chain(FOR_EVER.iter().map(|row| (row, true)));
    let cells = rows.flat_map(|((fault, places), for_ever)| {
        let places = Operation::ALL.into_iter().zip(places);
        places.filter_map(move |(operation, place)| match place {
            Place::Run(course) => Some(Cell {
                operation,
                fault: *fault,
                for_ever,
                course: *course,
            }),
            Place::Out(_) => None,
        })
    });
    cells.collect()
}

/// Runs cells, some side by side; reports come in the order of the cells.
pub fn run(cells: &[Cell], program: &Launcher, at_once: usize) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let report = cell.run(program);
                    if let Ok(mut reports) = reports.lock() {
                        reports.push(report);
                    }
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_default();
    let place = |cell: &Cell| cells.iter().position(|other| other == cell);
    reports.sort_by_key(|report| place(&report.cell));
    reports
}
