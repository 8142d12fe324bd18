//! The fault matrix (`sandbox::faults`) on the program that was built beside this test: one test for each operation,
//! which tells all of its cells that took another course than the table says.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use sandbox::faults::{self, Cell, Course};
use sandbox::proxy::Operation;

/// How many cells of an operation run side by side: they mostly wait.
const AT_ONCE: usize = 5;

fn all_cells_of(operation: Operation) {
    let cells: Vec<Cell> = faults::cells()
        .into_iter()
        .filter(|cell| cell.operation == operation)
        .collect();
    let program = || Command::new(env!("CARGO_BIN_EXE_azul-backup"));
    let reports = faults::run(&cells, &program, AT_ONCE);
    assert_eq!(reports.len(), cells.len());
    let mut text = String::new();
    for report in &reports {
        let restored = report.restored.as_ref();
        let restore = restored.map_or(Duration::ZERO, |(_, took)| *took);
        println!(
            "{:6.1?}, restore {restore:6.1?}: {}",
            report.took,
            report.cell.name()
        );
        let as_received = matches!(
            report.cell.course,
            Course::EventAsReceived | Course::BulkAsReceived
        );
        if restored.is_none() && report.wrong.is_empty() && !as_received {
            writeln!(text, "\n{}: not restored", report.cell.name()).unwrap();
        }
        if !report.wrong.is_empty() {
            writeln!(text, "\n{}:", report.cell.name()).unwrap();
            report
                .wrong
                .iter()
                .for_each(|wrong| writeln!(text, "  {wrong}").unwrap());
            report
                .logs
                .iter()
                .for_each(|log| writeln!(text, "{log}").unwrap());
        }
    }
    assert!(text.is_empty(), "{text}");
}

macro_rules! operations {
    ($($test:ident = $operation:ident;)+) => {
        $(#[test]
        fn $test() {
            all_cells_of(Operation::$operation);
        })+
    };
}

operations! {
    pull = Pull;
    download = Download;
    put_stream = PutStream;
    begin_upload = BeginUpload;
    upload_part = UploadPart;
    complete_upload = CompleteUpload;
    abort_upload = AbortUpload;
    put_bundle = PutBundle;
    head_stream = HeadStream;
    head_bundle = HeadBundle;
    head_bucket = HeadBucket;
    create_bucket = CreateBucket;
    list_uploads = ListUploads;
}
