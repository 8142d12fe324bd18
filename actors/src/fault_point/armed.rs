//! Fault points in a process that has them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::FaultPoint;

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process kills itself with SIGKILL.
    Kill,
    /// The call fails with an I/O error; only where [`super::try_pass`] marks the point.
    Fail,
    /// The same with "no space left".
    Full,
    /// The thread panics.
    Panic,
    /// The thread hangs for ever.
    Hang,
}

/// When it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    action: Action,
    /// The passings at which it happens, counted from 1.
    first: u64,
    last: u64,
}

/// One action per point, and where passings are counted.
struct Armed {
    plans: Vec<Option<Plan>>,
    passed: Vec<AtomicU64>,
    trace: Option<File>,
    hurry: u32,
}

fn armed() -> &'static Armed {
    static ARMED: OnceLock<Armed> = OnceLock::new();
    ARMED.get_or_init(|| {
        Armed::of_environment()
            .unwrap_or_else(|fault| panic!("the environment of fault points is wrong: {fault}"))
    })
}

pub(super) fn hurry() -> u32 {
    armed().hurry
}

pub(super) fn pass(point: FaultPoint) {
    if let Err(error) = try_pass(point) {
        panic!("{point} cannot fail by itself: {error}");
    }
}

pub(super) fn try_pass(point: FaultPoint) -> io::Result<()> {
    let armed = armed();
    let count = armed.passed[point as usize].fetch_add(1, Ordering::Relaxed) + 1;
    if let Some(trace) = &armed.trace {
        // The order matters: whoever reads the last point finds it counted.
        trace.write_all_at(&count.to_le_bytes(), offset(point as u64))?;
        trace.write_all_at(&(point as u64 + 1).to_le_bytes(), 0)?;
    }
    let due = armed.plans[point as usize].filter(|plan| (plan.first..=plan.last).contains(&count));
    due.map_or(Ok(()), |plan| act(point, plan.action))
}

fn act(point: FaultPoint, action: Action) -> io::Result<()> {
    match action {
        Action::Kill => {
            let killed =
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            panic!("{point}: a process could not kill itself: {killed:?}")
        }
        Action::Fail => Err(io::Error::other(format!("made to fail at {point}"))),
        Action::Full => Err(io::Error::from(io::ErrorKind::StorageFull)),
        Action::Panic => panic!("made to panic at {point}"),
        Action::Hang => loop {
            std::thread::park();
        },
    }
}

/// Where the count of a point lies in the file.
fn offset(index: u64) -> u64 {
    8 + 8 * index
}

impl Armed {
    fn of_environment() -> Result<Self, String> {
        let plans = std::env::var("FAULT_POINTS").unwrap_or_default();
        let hurry = std::env::var("FAULT_POINTS_HURRY").unwrap_or_else(|_| "1".to_owned());
        let trace = std::env::var_os("FAULT_POINTS_TRACE").map(File::create);
        Ok(Self {
            plans: read_plans(&plans)?,
            passed: FaultPoint::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            trace: trace
                .transpose()
                .map_err(|error| format!("FAULT_POINTS_TRACE: {error}"))?,
            hurry: hurry
                .parse()
                .ok()
                .filter(|hurry| *hurry > 0)
                .ok_or("FAULT_POINTS_HURRY is no number above 0")?,
        })
    }
}

/// `name=action`, `name=action@n` or `name=action@n-m`, with commas between them.
fn read_plans(text: &str) -> Result<Vec<Option<Plan>>, String> {
    let mut plans = vec![None; FaultPoint::ALL.len()];
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let (name, what) = item
            .split_once('=')
            .ok_or_else(|| format!("{item}: there is no ="))?;
        let point: FaultPoint = name.parse()?;
        let (action, when) = what.split_once('@').unwrap_or((what, "1"));
        let (first, last) = when.split_once('-').unwrap_or((when, when));
        let number = |text: &str| text.parse().map_err(|_| format!("{item}: {text} is no number"));
        plans[point as usize] = Some(Plan {
            action: read_action(action)?,
            first: number(first)?,
            last: number(last)?,
        });
    }
    Ok(plans)
}

fn read_action(name: &str) -> Result<Action, String> {
    Ok(match name {
        "kill" => Action::Kill,
        "fail" => Action::Fail,
        "full" => Action::Full,
        "panic" => Action::Panic,
        "hang" => Action::Hang,
        _ => return Err(format!("{name}: there is no such action")),
    })
}

/// What a process has left in its `FAULT_POINTS_TRACE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The point that was passed last; `None` before the first.
    pub last: Option<FaultPoint>,
    /// How often each point was passed; those that were not are left out.
    pub passed: Vec<(FaultPoint, u64)>,
}

/// Reads the counts of a process that is gone. A file that is not there is one without counts: the process did not
/// come to its first point.
///
/// # Errors
/// The file cannot be read.
pub fn read_trace(file: &Path) -> io::Result<Trace> {
    let bytes = match std::fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Trace::default()),
        bytes => bytes?,
    };
    let number = |index: usize| {
        let bytes = bytes.get(8 * index..8 * index + 8);
        bytes.map_or(0, |bytes| {
            u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
        })
    };
    let last = usize::try_from(number(0))
        .ok()
        .and_then(|last| last.checked_sub(1));
    let counts = FaultPoint::ALL.iter().enumerate();
    let counts = counts.map(|(index, point)| (*point, number(index + 1)));
    Ok(Trace {
        last: last.and_then(|last| FaultPoint::ALL.get(last)).copied(),
        passed: counts.filter(|(_, count)| *count > 0).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_and_bad_ones_refused() {
        let plans = read_plans("pull.marked=hang,bundle.put=kill@3,answer.written=full@2-5").unwrap();
        let plan = |point: FaultPoint| plans[point as usize].map(|plan| (plan.action, plan.first, plan.last));
        assert_eq!(plan(FaultPoint::PullMarked), Some((Action::Hang, 1, 1)));
        assert_eq!(plan(FaultPoint::BundlePut), Some((Action::Kill, 3, 3)));
        assert_eq!(plan(FaultPoint::AnswerWritten), Some((Action::Full, 2, 5)));
        assert_eq!(plan(FaultPoint::AnswerSynced), None);
        for bad in [
            "pull.marked",
            "nowhere=kill",
            "bundle.put=explode",
            "bundle.put=kill@x",
        ] {
            assert!(read_plans(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_point_has_a_name_of_its_own() {
        for point in FaultPoint::ALL {
            assert_eq!(point.name().parse(), Ok(*point));
        }
    }
}
