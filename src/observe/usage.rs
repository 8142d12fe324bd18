//! What this process takes of the machine, as the system has it.
//!
//! A few files below `/proc/self` are read for it: some ten microseconds, and more only where very many files are open. What
//! the system does not tell is not known, and no fault: there are systems without `/proc`.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What it takes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Bytes of memory that are resident.
    pub resident_bytes: Option<u64>,
    /// Bytes of address space.
    pub virtual_bytes: Option<u64>,
    /// Seconds of CPU time, of all threads together, since the process began.
    pub cpu_seconds: Option<f64>,
    /// Open files, sockets included.
    pub open_files: Option<u64>,
    /// Files that it may have open; `null` also where there is no limit.
    pub max_open_files: Option<u64>,
}

impl Usage {
    /// As it is now.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            resident_bytes: bytes_of(&status, "VmRSS:"),
            virtual_bytes: bytes_of(&status, "VmSize:"),
            cpu_seconds: Some(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9),
            open_files: open_files(),
            max_open_files: getrlimit(Resource::Nofile).current,
        }
    }
}

/// The value of a line like `VmRSS:     1234 kB`.
fn bytes_of(status: &str, name: &str) -> Option<u64> {
    let mut values = status.lines().filter_map(|line| line.strip_prefix(name));
    let kibibytes: u64 = values.next()?.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn open_files() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // One of them is the folder that has just been read.
    open.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_what_the_kernel_writes_and_nothing_else_is_made_up() {
        let status = "Name:\tVmRSS: 7 kB\nVmPeak:\t  900 kB\nVmSize:\t     820 kB\nVmRSS:\t      24 kB\n";
        assert_eq!(bytes_of(status, "VmRSS:"), Some(24 * 1024));
        assert_eq!(bytes_of(status, "VmSize:"), Some(820 * 1024));
        for odd in ["", "VmRSS:\n", "VmRSS: many kB\n", "VmRSS: 5\n", "VmRSS: -1 kB\n"] {
            assert_eq!(bytes_of(odd, "VmRSS:"), None, "{odd:?}");
        }
        assert_eq!(bytes_of("VmRSS: 18446744073709551615 kB\n", "VmRSS:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_it_takes_is_what_the_system_says() {
        let before = Usage::now();
        let (resident, whole) = (before.resident_bytes.unwrap(), before.virtual_bytes.unwrap());
        assert!((1 << 20..whole).contains(&resident), "{before:?}");
        // Other tests open and close files meanwhile, but never so many.
        let files: Vec<_> = (0..200)
            .map(|_| fs::File::open("/proc/self/stat").unwrap())
            .collect();
        let mut spent = before;
        while spent.cpu_seconds < before.cpu_seconds.map(|seconds| seconds + 0.01) {
            spent = Usage::now();
        }
        let opened = spent.open_files.unwrap() - before.open_files.unwrap();
        assert!((100..300).contains(&opened), "{opened}");
        assert!(
            spent
                .max_open_files
                .is_none_or(|most| spent.open_files < Some(most))
        );
        drop(files);
    }
}
