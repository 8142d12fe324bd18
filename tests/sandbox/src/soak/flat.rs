//! What "flat" means: the peak of the second half of a run is at most a stated multiple of the peak of a stretch
//! near its beginning, after the warm-up and the planned restarts, and a slack for what the allocator, the
//! connections and the garbage collection of the database do by chance.
//!
//! A leak of a constant amount per event is some three times as large at the end as in that stretch.

use serde::Serialize;

use super::sample::Sample;

/// The early stretch, as a part of all events: after [`WARM_UP`].
const EARLY: std::ops::Range<f64> = WARM_UP..0.35;

/// Until here the program is warming up, and restarted.
pub(super) const WARM_UP: f64 = 0.10;

const LATE: f64 = 0.50;

const MIB: u64 = 1024 * 1024;

/// One thing that has to stay flat.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flat {
    /// Which.
    pub what: &'static str,
    /// Whether it is counted in bytes.
    pub is_bytes: bool,
    /// The peak of the early stretch.
    pub early: u64,
    /// The peak of the second half.
    pub late: u64,
    /// The most that the second half may have.
    pub allowed: u64,
}

impl Flat {
    /// Whether it stayed flat.
    pub fn is_kept(&self) -> bool {
        self.late <= self.allowed
    }

    pub(super) fn miss(&self) -> Option<String> {
        let Self {
            what,
            early,
            late,
            allowed,
            ..
        } = self;
        (!self.is_kept())
            .then(|| format!("{what}: {early} at most early, {late} late, {allowed} are allowed"))
    }
}

/// How one thing is read, and what it may grow by.
struct Measure {
    what: &'static str,
    is_bytes: bool,
    read: fn(&Sample) -> u64,
    factor: f64,
    slack: u64,
}

const MEASURES: [Measure; 4] = [
    Measure {
        what: "resident memory",
        is_bytes: true,
        read: |sample| sample.resident,
        factor: 1.1,
        slack: 12 * MIB,
    },
    Measure {
        what: "open files",
        is_bytes: false,
        read: |sample| sample.files,
        factor: 1.0,
        slack: 30,
    },
    Measure {
        what: "local state: rows (sled)",
        is_bytes: true,
        read: |sample| sample.state,
        factor: 1.25,
        slack: 12 * MIB,
    },
    Measure {
        what: "local state: journal",
        is_bytes: true,
        read: |sample| sample.journal,
        factor: 1.25,
        slack: 24 * MIB,
    },
];

/// Judges a run by its samples.
pub(super) fn judge(samples: &[Sample]) -> Vec<Flat> {
    MEASURES.iter().map(|measure| measure.judge(samples)).collect()
}

impl Measure {
    fn judge(&self, samples: &[Sample]) -> Flat {
        let peak = |wanted: &dyn Fn(f64) -> bool| {
            let some = samples.iter().filter(|sample| wanted(sample.progress));
            some.map(self.read).max().unwrap_or(0)
        };
        let early = peak(&|progress| EARLY.contains(&progress));
        Flat {
            what: self.what,
            is_bytes: self.is_bytes,
            early,
            late: peak(&|progress| progress >= LATE),
            allowed: (early as f64 * self.factor) as u64 + self.slack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(files: impl Fn(f64) -> f64) -> Flat {
        let samples: Vec<Sample> = (0..1000)
            .map(|step| f64::from(step) / 1000.0)
            .map(|progress| Sample {
                progress,
                files: files(progress) as u64,
                ..Sample::default()
            })
            .collect();
        judge(&samples).remove(1)
    }

    #[test]
    fn what_wavers_is_flat_and_what_rises_is_not() {
        assert!(run(|progress| 100.0 + 20.0 * (progress * 40.0).sin()).is_kept());
        assert!(run(|progress| if progress < 0.05 { 900.0 } else { 100.0 }).is_kept());
        let leak = run(|progress| 100.0 + 100.0 * progress);
        assert!(!leak.is_kept());
        assert_eq!(
            leak.miss().unwrap(),
            "open files: 134 at most early, 199 late, 164 are allowed"
        );
    }
}
