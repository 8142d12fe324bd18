//! `sandbox demo`: everything on loopback, in one go. `sandbox serve`: only the servers. See the library.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use sandbox::demo::{self, Stage, Wanted};
use sandbox::{child, faults, measure, soak, testdata, torture, torture_restore};

/// azul-backup on loopback: a stand-in dispatcher, an S3 server, and the program between them.
#[derive(Debug, Parser)]
#[command(version)]
enum Task {
    /// Back up generated events and binaries with the program of production, and check what lies in the bucket.
    Demo(Wanted),
    /// Leave both servers running, and print the environment for the program.
    Serve(Serve),
    /// Run the fault matrix: every fault of every request, and what becomes of it.
    Faults(faults::command::Wanted),
    /// Measure what a backup takes, against the bare work on the same bytes.
    Measure(measure::Wanted),
    /// Kill the program at random instants again and again, and look whether anything is lost.
    Torture(torture::Wanted),
    /// The same with a restore: it is killed again and again, and then the second dispatcher has to hold everything.
    TortureRestore(torture::Wanted),
    /// The servers of a measurement.
    #[command(hide = true)]
    MeasureServers(measure::servers::Wanted),
    /// A long run with faults sprinkled in: memory, open files and local state stay flat, and nothing is lost.
    Soak(soak::Wanted),
    /// Write the project's `testdata` anew.
    Testdata {
        /// Where to.
        #[arg(default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata"))]
        folder: PathBuf,
    },
}

/// Without what the servers say of faults that are on order.
const LOGGED: &str = "warn,actix_http=off,s3s=off";

#[derive(Debug, clap::Args)]
struct Serve {
    #[command(flatten)]
    wanted: Wanted,

    /// Port of the dispatcher.
    #[arg(long, default_value_t = 8111)]
    dispatcher_port: u16,

    /// Port of the S3 server.
    #[arg(long, default_value_t = 9000)]
    s3_port: u16,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|word| word == child::PROGRAM) {
        let name = std::iter::once("azul-backup".into());
        return azul_backup::main_with_args(name.chain(arguments));
    }
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(LOGGED)).init();
    let done = match Task::parse() {
        Task::Demo(wanted) => demo::run(&wanted),
        Task::Serve(wanted) => serve(&wanted).map(|()| true),
        Task::Faults(wanted) => faults::command::run(&wanted),
        Task::Measure(wanted) => measure::run(&wanted),
        Task::Torture(wanted) => torture::run(&wanted),
        Task::TortureRestore(wanted) => torture_restore::run(&wanted),
        Task::MeasureServers(wanted) => measure::servers::serve(&wanted).map(|()| true),
        Task::Soak(wanted) => soak::run(&wanted),
        Task::Testdata { folder } => testdata::write(&folder).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(wanted: &Serve) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let base = wanted
        .wanted
        .keep
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    let stage = Stage::start(
        &wanted.wanted,
        &base.join("bucket"),
        (wanted.dispatcher_port, wanted.s3_port),
    )?;
    println!("# paste this, then: cargo run --release -- backup");
    for (name, value) in stage.settings() {
        println!("export {name}='{value}'");
    }
    println!(
        "export BK__LOCAL_DATA__ROOTDIR='{}'",
        base.join("state").display()
    );
    println!(
        "# objects lie in {}; Ctrl-C ends it",
        base.join("bucket").display()
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(tokio::signal::ctrl_c())
        .context("cannot wait for Ctrl-C")
}
