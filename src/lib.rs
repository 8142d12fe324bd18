//! azul-backup: the shell around the core in `azul-backup-actors`. Settings, command line, logging, the
//! adapters of the ports, and the wiring.
//!
//! | question | place |
//! | --- | --- |
//! | What does this setting do? | [`settings::catalogue`] |
//! | What does the command line accept? | [`cli`] |
//! | What do exit codes mean? | [`exit`] |
//! | How is everything put together? | [`backup`], [`restore`] |
//! | Will it work with these settings? | [`preflight`] |
//! | How does a command speak to a running backup? | [`local_socket`] |
//! | What do others see of a running process? | [`observe`] |

pub mod adapters;
mod allocator;
pub mod backup;
pub mod cli;
pub mod commands;
pub mod exit;
pub mod local_socket;
pub mod logging;
pub mod observe;
pub mod preflight;
mod process;
pub mod restore;
pub mod settings;

use std::ffi::OsString;
use std::fmt::Display;
use std::process::ExitCode;

use cli::{CommandLine, Task};
use exit::Exit;
use settings::logging::LogSettings;
use settings::{
    Environment, Layers, Mode, RestoreSettings, SampleSettings, SettingFaults, Settings, StateSettings,
};

/// The whole program: settings, logging, build, run, exit code. `arguments` begin with the program's name.
pub fn main_with_args(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    allocator::set_limits();
    let line = match CommandLine::parse_from(arguments) {
        Ok(line) => line,
        Err(instead) => return print(&instead),
    };
    let environment = Environment::of_process();
    let layers = Layers::read(&environment, line.config.as_deref());
    let (log_settings, log_faults) = LogSettings::read(&layers);
    logging::start(&log_settings, environment.get("RUST_LOG"));
    process::panics::log_all();

    let exit = match read(line.task(), &layers, log_faults) {
        Ok(Work::Backup(settings)) => {
            settings.effective.log(log_settings.pretty);
            backup::run(*settings, log_settings.pretty)
        }
        Ok(Work::Restore(wanted)) => {
            wanted.settings.effective.log(log_settings.pretty);
            restore::run(*wanted, log_settings.pretty)
        }
        Ok(Work::Preflight(terms, wanted)) => preflight::run(&terms, wanted.json),
        Ok(Work::GetSamples(settings, wanted)) => {
            settings.effective.log_odd();
            commands::get_samples::run(&settings, &wanted)
        }
        Ok(Work::FailedStreams(settings, wanted)) => {
            settings.log_odd();
            commands::failed_streams::run(&settings, &wanted)
        }
        Ok(Work::SuspectPulls(settings, wanted)) => {
            settings.log_odd();
            commands::suspect_pulls::run(&settings, &wanted)
        }
        Ok(Work::RetryDeadLetters(settings, wanted)) => {
            settings.effective.log_odd();
            restore::retrying::run(&settings, &wanted)
        }
        Ok(Work::DeadLetters(settings, wanted)) => {
            settings.log_odd();
            commands::dead_letters::run(&settings, &wanted)
        }
        Err(faults) => {
            report(&faults);
            Exit::BadSettings
        }
    };
    exit.into()
}

/// What is to be done, with all that it needs.
enum Work {
    Backup(Box<Settings>),
    Restore(Box<restore::Wanted>),
    Preflight(Box<preflight::Terms>, cli::Preflight),
    GetSamples(Box<SampleSettings>, cli::GetSamples),
    FailedStreams(StateSettings, cli::FailedStreams),
    SuspectPulls(StateSettings, cli::SuspectPulls),
    DeadLetters(StateSettings, cli::DeadLetters),
    RetryDeadLetters(Box<RestoreSettings>, cli::DeadLetters),
}

/// Settles what is to be done; the faults of logging count with the others.
fn read(task: Task, layers: &Layers, log_faults: Option<SettingFaults>) -> Result<Work, SettingFaults> {
    let work = match task {
        Task::Preflight(mode, wanted) => {
            preflight_of(layers, mode).map(|terms| Work::Preflight(Box::new(terms), wanted))
        }
        Task::GetSamples(wanted) => {
            SampleSettings::for_samples(layers).map(|settings| Work::GetSamples(Box::new(settings), wanted))
        }
        Task::FailedStreams(wanted) => {
            StateSettings::for_state(layers).map(|settings| Work::FailedStreams(settings, wanted))
        }
        Task::SuspectPulls(wanted) => {
            StateSettings::for_state(layers).map(|settings| Work::SuspectPulls(settings, wanted))
        }
        Task::DeadLetters(wanted) if wanted.retry => RestoreSettings::for_restore(layers)
            .map(|settings| Work::RetryDeadLetters(Box::new(settings), wanted)),
        Task::DeadLetters(wanted) => {
            StateSettings::for_state(layers).map(|settings| Work::DeadLetters(settings, wanted))
        }
        Task::Backup => backup_of(layers),
        Task::Restore(wanted) => restore_of(layers, &wanted),
        Task::AsSet => match settings::mode(layers) {
            Ok(Mode::Backup) => backup_of(layers),
            Ok(Mode::Restore) => restore_of(layers, &cli::Restore::default()),
            // The other faults are told at once all the same.
            Err(faults) => SettingFaults::with(Some(faults), backup_of(layers)),
        },
    };
    SettingFaults::with(log_faults, work)
}

fn backup_of(layers: &Layers) -> Result<Work, SettingFaults> {
    Settings::for_backup(layers).map(|settings| Work::Backup(Box::new(settings)))
}

fn restore_of(layers: &Layers, options: &cli::Restore) -> Result<Work, SettingFaults> {
    restore::Wanted::read(layers, options).map(|wanted| Work::Restore(Box::new(wanted)))
}

/// Of the mode that the command line names, else the settings; of a backup where neither does.
fn preflight_of(layers: &Layers, mode: Option<Mode>) -> Result<preflight::Terms, SettingFaults> {
    let mode = match mode {
        None if settings::is_mode_given(layers) => settings::mode(layers),
        mode => Ok(mode.unwrap_or(Mode::Backup)),
    };
    let of_backup = || Settings::for_backup(layers).map(|settings| preflight::Terms::of_backup(&settings));
    match mode {
        Ok(Mode::Backup) => of_backup(),
        Ok(Mode::Restore) => {
            RestoreSettings::for_restore(layers).map(|settings| preflight::Terms::of_restore(&settings))
        }
        // The other faults are told at once all the same.
        Err(faults) => SettingFaults::with(Some(faults), of_backup()),
    }
}

/// Every fault on a line of its own, whatever the filters of logging let through.
fn report(faults: &SettingFaults) {
    for fault in &faults.0 {
        tell(fault);
    }
    let count = faults.0.len();
    let faults = if count == 1 {
        "one fault".to_owned()
    } else {
        format!("{count} faults")
    };
    tell(format_args!(
        "{faults} in the settings: nothing was started (see --help)"
    ));
}

/// A fault, whatever the filters of logging let through.
fn tell(line: impl Display) {
    if log::log_enabled!(log::Level::Error) {
        log::error!("{line}");
    } else {
        eprintln!("{line}");
    }
}

/// Help, version, or what is wrong with the command line.
fn print(instead: &clap::Error) -> ExitCode {
    // A closed pipe (`| head`) is nothing to complain about.
    let _ = instead.print();
    match instead.use_stderr() {
        true => Exit::BadSettings.into(),
        false => Exit::Done.into(),
    }
}
