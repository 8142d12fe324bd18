//! What a seed stands for: what lies in the bucket, settings, what happens meanwhile, and when the program is killed.

use std::time::Duration;

use actors::fault_point::FaultPoint;
use fastrand::Rng;

use super::stock::{Flaws, one_of};
use crate::dispatcher::{Call, Fault};
use crate::generator::Shape;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Events and binaries.
    pub shape: Shape,
    /// What of it cannot be restored.
    pub flaws: Flaws,
    /// The most events of a bundle.
    pub bundle: usize,
    /// The most entries of a page of a listing.
    pub page: usize,
    /// How many of a hundred objects come into the bucket when the restore has begun.
    pub late_percent: u32,
    /// Whether objects vanish meanwhile.
    pub is_aging: bool,
    /// Whether the dispatcher is asked before a stream is sent.
    pub skips_existing: bool,
    /// Settings other than usual.
    pub settings: Vec<(&'static str, String)>,
    /// The starts that end badly, as far as it comes to them; then one that is left alone.
    pub lives: Vec<LifePlan>,
}

/// One start of the program.
#[derive(Clone, Debug)]
pub struct LifePlan {
    /// How long the bucket takes for every request.
    pub latency: Duration,
    /// What is done meanwhile, and when, in order.
    pub acts: Vec<(Duration, Act)>,
    /// When the end begins; counted from when local state is open, unless it is to be killed before.
    pub length: Duration,
    /// Whether the clock begins to run with the process.
    pub from_the_process: bool,
    /// How it ends.
    pub end: End,
}

/// How a start ends, unless it has ended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// SIGKILL.
    Kill,
    /// The program kills itself at a fault point, when it comes there for the n-th time; else as [`End::Kill`].
    KillAt(FaultPoint, u64),
    /// SIGTERM, and SIGKILL that long after.
    KillWhileEnding(Duration),
}

/// Something that happens around the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// So many objects come into the bucket.
    Put(usize),
    /// So many vanish.
    Vanish(usize),
    /// Something stops working, until the program has ended.
    Trouble(Trouble),
}

/// What stops working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The bucket refuses connections.
    BucketAway,
    /// The bucket does not answer.
    BucketHangs,
    /// The dispatcher refuses connections.
    DispatcherAway,
    /// The dispatcher fails this way for two requests.
    DispatcherFails(Call, Fault),
}

/// The points that a restore passes.
pub fn points() -> Vec<FaultPoint> {
    use FaultPoint as At;
    let shared = [
        At::StateBegun,
        At::StateOpened,
        At::StateWritten,
        At::StateFlushed,
        At::StateClosing,
        At::EndEvents,
        At::EndHitCache,
        At::EndStreams,
        At::EndState,
    ];
    let all = FaultPoint::ALL.iter().copied();
    all.filter(|point| point.is_of_restore() || shared.contains(point))
        .collect()
}

impl Plan {
    /// The same seed, the same plan.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let lives = (0..rng.usize(4..=9)).map(|_| life(&mut rng)).collect();
        let is_aging = rng.bool();
        let mut plan = Self {
            shape: shape(seed, &mut rng),
            flaws: flaws(seed, &mut rng),
            bundle: *one_of(&mut rng, &[3, 8, 30]),
            page: *one_of(&mut rng, &[5, 20, 1000]),
            late_percent: *one_of(&mut rng, &[0, 10, 30]),
            is_aging,
            skips_existing: rng.u32(..4) == 0,
            settings: vec![
                ("BK__STREAM_ROUTINE_COUNT", rng.u32(1..=5).to_string()),
                ("BK__RETRY_COUNT", rng.u32(2..=4).to_string()),
            ],
            lives,
        };
        if !is_aging {
            for life in &mut plan.lives {
                life.acts.retain(|(_, act)| !matches!(act, Act::Vanish(_)));
            }
        }
        plan
    }
}

fn shape(seed: u64, rng: &mut Rng) -> Shape {
    // In every other run there is little to do before the events.
    let most = if seed.is_multiple_of(2) { 6 } else { 40 };
    let mut shape = Shape::new(seed, rng.usize(1..=3), 0).with_events([
        rng.u64(3..=most),
        rng.u64(3..=most),
        rng.u64(3..=most),
        rng.u64(3..=most),
        rng.u64(20..=80),
    ]);
    shape.system_events = rng.u64(0..=20);
    shape.sizes = vec![(70, 1..=3000), (25, 3000..=80_000), (5, 80_000..=400_000)];
    shape
}

/// Every fifth seed has a bucket without flaws.
fn flaws(seed: u64, rng: &mut Rng) -> Flaws {
    if seed.is_multiple_of(5) {
        return Flaws::default();
    }
    Flaws {
        invalid: rng.usize(1..=4),
        refused: rng.usize(0..=2),
        too_large: usize::from(rng.u32(..4) == 0),
        bad_streams: rng.usize(1..=4),
        bad_bundles: rng.usize(0..=2),
        strays: rng.usize(0..=2),
    }
}

fn millis(rng: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

fn life(rng: &mut Rng) -> LifePlan {
    let end = match rng.u32(..100) {
        0..40 => End::Kill,
        40..85 => End::KillAt(*one_of(rng, &points()), *one_of(rng, &[1, 1, 1, 2, 3, 8, 20])),
        _ => End::KillWhileEnding(millis(rng, 0..200)),
    };
    let length = match (end, rng.u32(..100)) {
        // Long enough to come to the point; one that is done ends by itself.
        (End::KillAt(..), _) => millis(rng, 1000..3000),
        (_, 0..8) => millis(rng, 0..30),
        (_, 8..40) => millis(rng, 30..300),
        _ => millis(rng, 300..1200),
    };
    let mut acts = Vec::new();
    let busy = length.min(Duration::from_secs(1));
    let within = |rng: &mut Rng| busy.mul_f64(rng.f64());
    for _ in 0..rng.usize(0..=3) {
        acts.push((within(rng), Act::Put(rng.usize(1..=8))));
        acts.push((within(rng), Act::Vanish(rng.usize(0..=3))));
    }
    if rng.u32(..100) < 25 {
        acts.push((within(rng), Act::Trouble(trouble(rng))));
    }
    acts.sort_by_key(|(at, _)| *at);
    LifePlan {
        latency: millis(rng, 4..20),
        acts,
        length,
        from_the_process: rng.u32(..100) < 15,
        end,
    }
}

fn trouble(rng: &mut Rng) -> Trouble {
    match rng.u32(..6) {
        0 => Trouble::BucketAway,
        1 => Trouble::BucketHangs,
        2 => Trouble::DispatcherAway,
        number => Trouble::DispatcherFails(
            *one_of(rng, &[Call::Publish, Call::Upload]),
            match number {
                3 => Fault::Status(503),
                4 => Fault::Hang,
                _ => Fault::LostAnswer,
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        let text = |seed| format!("{:?}", Plan::of(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn every_kind_of_end_is_met() {
        let lives: Vec<LifePlan> = (0..200).flat_map(|seed| Plan::of(seed).lives).collect();
        let has = |what: &dyn Fn(&LifePlan) -> bool| lives.iter().filter(|life| what(life)).count();
        assert!(has(&|life| life.end == End::Kill) > 500);
        assert!(has(&|life| matches!(life.end, End::KillWhileEnding(_))) > 100);
        for point in points() {
            let at_point = has(&|life| matches!(life.end, End::KillAt(other, _) if other == point));
            assert!(at_point > 0, "{point}");
        }
    }
}
