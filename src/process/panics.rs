//! A panic is told in the log like everything else, and one on the actors' thread is kept for the supervisor: the
//! task that it ended may be one that nobody waits for (the reporter, a connection, a socket), and must not be
//! missing from then on without a word.
//!
//! Panics of stream workers are caught by the workers, those of the blocking pool by whoever waits for the work.

use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

/// The first panic on one thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panics(Arc<Mutex<Option<String>>>);

impl Panics {
    /// From now on panics are logged, and the first one on the calling thread is kept.
    pub(crate) fn listen() -> Self {
        let panics = Self::default();
        let (kept, thread) = (panics.clone(), std::thread::current().id());
        std::panic::set_hook(Box::new(move |panic| kept.note(panic, thread)));
        panics
    }

    /// What the first one said.
    pub(crate) fn first(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, panic: &PanicHookInfo<'_>, watched: ThreadId) {
        let told = tell(panic);
        if std::thread::current().id() == watched {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(told);
        }
    }
}

/// From now on panics are logged, in the form of the log: for what runs without [`Panics`].
pub(crate) fn log_all() {
    std::panic::set_hook(Box::new(|panic| drop(tell(panic))));
}

/// Logs a panic, and returns what it said and where.
fn tell(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    log::error!(
        error:% = text;
        "panic on thread {} at {place}: {text}",
        thread.name().unwrap_or("without a name")
    );
    format!("{text} (at {place})")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in a process of the test's own: the hook belongs to the whole process, and other tests must not meet it.
    const OWN: &str = "TEST_OF_THE_PANIC_HOOK";

    #[test]
    fn a_panic_is_a_line_of_the_log_whatever_its_form() {
        if std::env::var_os(OWN).is_some() {
            let settings = crate::settings::logging::LogSettings {
                pretty: false,
                ..Default::default()
            };
            crate::logging::start(&settings, None);
            log_all();
            let caught = std::panic::catch_unwind(|| panic!("on\ntwo lines"));
            assert!(caught.is_err());
            return;
        }
        let name = "process::panics::tests::a_panic_is_a_line_of_the_log_whatever_its_form";
        let own = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--test-threads=1", "--nocapture"])
            .env(OWN, "1")
            .output()
            .unwrap();
        let said = String::from_utf8(own.stderr).unwrap();
        let lines: Vec<serde_json::Value> = said
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{said}")))
            .collect();
        assert_eq!(lines.len(), 1, "{said}");
        assert_eq!(
            (&lines[0]["level"], &lines[0]["error"]),
            (&"ERROR".into(), &"on\ntwo lines".into())
        );
    }

    #[test]
    fn only_the_first_panic_on_the_watched_thread_is_kept() {
        if std::env::var_os(OWN).is_none() {
            let name = "process::panics::tests::only_the_first_panic_on_the_watched_thread_is_kept";
            let own = Command::new(std::env::current_exe().unwrap())
                .args([name, "--exact", "--test-threads=1"])
                .env(OWN, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&own.stdout);
            assert!(own.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let former = std::panic::take_hook();
        let panics = Panics::listen();
        let elsewhere = std::thread::spawn(|| panic!("elsewhere")).join();
        assert!(elsewhere.is_err());
        assert_eq!(panics.first(), None);
        for text in ["here", "again"] {
            let caught = std::panic::catch_unwind(|| panic!("{text}"));
            assert!(caught.is_err());
        }
        std::panic::set_hook(former);
        let first = panics.first().unwrap();
        assert!(first.starts_with("here (at src/process/panics.rs:"), "{first}");
    }
}
