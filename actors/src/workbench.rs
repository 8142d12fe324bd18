//! What a worker of a `SyncArbiter` has on its thread: a runtime of its own, and ports that were opened inside it.
//!
//! Connections belong to the runtime that opened them. They are opened with the first job, and anew after a panic: a
//! job never takes the thread with it, and always comes to an answer.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fault::Fault;
use crate::stop::StopFlag;

/// See the module. `P` are the ports.
pub(crate) struct Workbench<P> {
    operation: &'static str,
    stop: StopFlag,
    open: Box<dyn Fn() -> Result<P, Fault> + Send>,
    opened: Option<Opened<P>>,
}

impl<P> Workbench<P> {
    /// Opens nothing yet. `operation` is what its jobs do, for faults.
    pub(crate) fn new(
        operation: &'static str,
        stop: StopFlag,
        open: impl Fn() -> Result<P, Fault> + Send + 'static,
    ) -> Self {
        Self {
            operation,
            stop,
            open: Box::new(open),
            opened: None,
        }
    }

    /// Works on one job to its end.
    ///
    /// # Errors
    /// Cancelled if the stop flag was raised before it began; the fault of opening the ports; rejected if the job
    /// panicked.
    pub(crate) fn run<T>(
        &mut self,
        job: &dyn fmt::Display,
        work: impl AsyncFnOnce(&P) -> T,
    ) -> Result<T, Fault> {
        match catch_unwind(AssertUnwindSafe(|| self.work(job, work))) {
            Ok(outcome) => outcome,
            Err(panic) => {
                let said = panic_text(&*panic);
                log::error!("a worker panicked at stream {job}: {said}");
                let opened = self.opened.take();
                // What panicked once may panic again when it is dropped.
                if catch_unwind(AssertUnwindSafe(|| drop(opened))).is_err() {
                    log::error!("a worker panicked again when its ports were closed");
                }
                Err(Fault::rejected(
                    self.operation,
                    job,
                    format_args!("panicked: {said}"),
                ))
            }
        }
    }

    fn work<T>(&mut self, job: &dyn fmt::Display, work: impl AsyncFnOnce(&P) -> T) -> Result<T, Fault> {
        if self.stop.is_raised() {
            return Err(Fault::cancelled(self.operation, job));
        }
        let opened = match &self.opened {
            Some(opened) => opened,
            None => self.opened.insert(Opened::new(&self.open)?),
        };
        Ok(opened.run(work))
    }
}

/// What a worker has open.
struct Opened<P> {
    /// `None` only while dropped.
    ports: Option<P>,
    runtime: actix_rt::Runtime,
}

impl<P> Opened<P> {
    fn new(open: impl Fn() -> Result<P, Fault>) -> Result<Self, Fault> {
        let runtime = actix_rt::Runtime::new()
            .map_err(|error| Fault::transient("start a runtime", "stream worker", error))?;
        let ports = runtime.block_on(async { open() })?;
        Ok(Self {
            ports: Some(ports),
            runtime,
        })
    }

    fn run<T>(&self, work: impl AsyncFnOnce(&P) -> T) -> T {
        let ports = self.ports.as_ref().expect("the ports are there until the drop");
        self.runtime.block_on(async {
            // While the worker was idle nobody looked at its connections: let the runtime see which were closed.
            tokio::task::yield_now().await;
            work(ports).await
        })
    }
}

impl<P> Drop for Opened<P> {
    fn drop(&mut self) {
        // Connections may want to say good-bye, for which they need their runtime.
        let ports = self.ports.take();
        self.runtime.block_on(async { drop(ports) });
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
