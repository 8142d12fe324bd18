//! The backup program as a child process: this very executable, which as `sandbox program …` runs the main
//! function of production and nothing else.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The word that makes the sandbox run the program.
pub const PROGRAM: &str = "program";

/// Of many programs side by side each serves its metrics where there is room.
pub const ANYWHERE: (&str, &str) = ("BK__METRICS_LISTEN", "127.0.0.1:0");

/// What a process took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// CPU time, user and system.
    pub cpu: Duration,
    /// The most memory that was resident at once, in bytes.
    pub peak_memory: u64,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// A running program.
#[derive(Debug)]
pub struct Program {
    pid: libc::pid_t,
    peak_memory: u64,
    ended: Option<(Ending, Duration)>,
}

impl Program {
    /// Starts it with these settings and no others; what it prints goes to `output`.
    ///
    /// # Errors
    /// The executable cannot be started, or `output` cannot be written.
    pub fn start<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        settings: impl IntoIterator<Item = (K, V)>,
        arguments: &[&str],
        output: &Path,
    ) -> io::Result<Self> {
        Self::start_as(&std::env::current_exe()?, settings, arguments, output)
    }

    /// The same with another executable that is the sandbox.
    ///
    /// # Errors
    /// See [`Program::start`].
    pub fn start_as<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        sandbox: &Path,
        settings: impl IntoIterator<Item = (K, V)>,
        arguments: &[&str],
        output: &Path,
    ) -> io::Result<Self> {
        let log = File::create(output)?;
        let mut command = Command::new(sandbox);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["BK_", "BK.", "BED_", "BED.", "AWS_", "FAULT_POINTS"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        command
            .arg(PROGRAM)
            .args(arguments)
            .envs([ANYWHERE])
            .envs(settings);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Self::spawn(&mut command)
    }

    /// Starts any command.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let pid = libc::pid_t::try_from(command.spawn()?.id()).map_err(io::Error::other)?;
        Ok(Self {
            pid,
            peak_memory: 0,
            ended: None,
        })
    }

    /// Its number, as long as it has not been found to have ended.
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Sends a signal, unless it has ended.
    #[allow(unsafe_code, reason = "std can only kill -9")]
    pub fn signal(&self, signal: i32) {
        if self.ended.is_none() {
            // SAFETY: kill takes two numbers; the process has not been reaped, so the number is still its own.
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    /// How it ended; `None` while it runs. Also notes how much memory it has taken so far.
    ///
    /// # Errors
    /// The system does not know the process.
    pub fn poll(&mut self) -> io::Result<Option<Ending>> {
        if self.ended.is_none() {
            // the figure that wait4 gives is no use: a process starts with that of the one that forked it
            self.peak_memory = self.peak_memory.max(peak_memory(self.pid).unwrap_or(0));
            self.ended = reap(self.pid)?;
        }
        Ok(self.ended.map(|(ending, _)| ending))
    }

    /// Waits for its end, at most `longest`; `None` if it still runs then.
    ///
    /// # Errors
    /// The system does not know the process.
    pub fn wait(&mut self, longest: Duration) -> io::Result<Option<Ending>> {
        let until = std::time::Instant::now() + longest;
        loop {
            match self.poll()? {
                None if std::time::Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
                ended => return Ok(ended),
            }
        }
    }

    /// What it took: the CPU time is known only at its end.
    pub fn taken(&self) -> Taken {
        Taken {
            cpu: self.ended.map_or(Duration::ZERO, |(_, cpu)| cpu),
            peak_memory: self.peak_memory,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.poll(), Ok(None)) {
            self.signal(libc::SIGKILL);
            if let Err(error) = self.wait(Duration::from_secs(10)) {
                log::error!("process {}: {error}", self.pid);
            }
        }
    }
}

/// The high-water mark of a process's resident memory, in bytes.
fn peak_memory(pid: libc::pid_t) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim()
        .strip_suffix(" kB")?
        .parse::<u64>()
        .ok()
        .map(|kibibytes| kibibytes * 1024)
}

#[allow(unsafe_code, reason = "std does not tell what a child took")]
fn reap(pid: libc::pid_t) -> io::Result<Option<(Ending, Duration)>> {
    let mut status = 0;
    // SAFETY: rusage is made of numbers only; all zeros is a value of it.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places are ours, and live through the call.
    match unsafe { libc::wait4(pid, &mut status, libc::WNOHANG, &mut usage) } {
        0 => Ok(None),
        done if done == pid => {
            let ending = match libc::WIFSIGNALED(status) {
                true => Ending::Signal(libc::WTERMSIG(status)),
                false => Ending::Exit(libc::WEXITSTATUS(status)),
            };
            let time = |time: libc::timeval| {
                Duration::from_secs(time.tv_sec.unsigned_abs())
                    + Duration::from_micros(time.tv_usec.unsigned_abs())
            };
            Ok(Some((ending, time(usage.ru_utime) + time(usage.ru_stime))))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(command: &str) -> Program {
        Program::spawn(Command::new("sh").args(["-c", command])).unwrap()
    }

    #[test]
    fn an_exit_code_and_a_signal_are_told_apart() {
        let long = Duration::from_secs(20);
        assert_eq!(started("exit 3").wait(long).unwrap(), Some(Ending::Exit(3)));
        let mut waiting = started("exec sleep 60");
        assert_eq!(waiting.poll().unwrap(), None);
        waiting.signal(libc::SIGTERM);
        assert_eq!(waiting.wait(long).unwrap(), Some(Ending::Signal(libc::SIGTERM)));
        assert_eq!(waiting.poll().unwrap(), Some(Ending::Signal(libc::SIGTERM)));
    }

    #[test]
    fn what_a_process_took_is_its_own() {
        let ballast = vec![1u8; 200 << 20];
        let mut waiting = started("exec sleep 60");
        assert_eq!(waiting.poll().unwrap(), None);
        let peak = waiting.taken().peak_memory;
        assert!(peak > 0 && peak < ballast.len() as u64, "{peak}");
    }
}
