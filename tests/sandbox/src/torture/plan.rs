//! What a seed stands for: events and binaries, settings, what goes wrong around the program, and when it is killed.

use std::time::Duration;

use actors::fault_point::FaultPoint;
use fastrand::Rng;

use crate::dispatcher::{Call, Fault};
use crate::generator::{Kind, Shape};
use crate::s3::{Failure, Operation};

/// The bytes of a binary that is sent in parts.
pub const LARGE: u64 = 6 << 20;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Events and binaries.
    pub shape: Shape,
    /// Settings other than usual.
    pub settings: Vec<(&'static str, String)>,
    /// How many of the binaries the dispatcher does not have.
    pub missing: usize,
    /// Of how many it has other bytes.
    pub wrong: usize,
    /// The starts that end badly; one that ends well follows.
    pub lives: Vec<LifePlan>,
}

/// One start of the program.
#[derive(Clone, Debug)]
pub struct LifePlan {
    /// The clock begins to run when the start itself is over, and not with the process.
    pub from_the_first_pull: bool,
    /// What is done meanwhile, and when, in order.
    pub acts: Vec<(Duration, Act)>,
    /// When the end begins.
    pub length: Duration,
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
    /// Events become visible: which feed (by its number, whatever there are) and how many.
    Publish(usize, u64),
    /// The dispatcher serves bulks of this model version from now on.
    Version(i64),
    /// Something stops working.
    Trouble(Trouble),
    /// Everything works again.
    Heal,
}

/// What stops working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Every request to the bucket takes this long.
    BucketSlow(Duration),
    /// The bucket does not answer.
    BucketHangs,
    /// The bucket refuses connections.
    BucketAway,
    /// The bucket fails this way for some requests.
    BucketFails(Operation, Failure),
    /// The dispatcher refuses connections.
    DispatcherAway,
    /// The dispatcher is restarted: connections break.
    DispatcherRestarts,
    /// The dispatcher fails this way for some requests.
    DispatcherFails(Call, Fault),
}

impl Plan {
    /// The same seed, the same plan.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let shape = shape(seed, &mut rng);
        let events = shape.per_action.iter().sum::<u64>() * shape.sources.len() as u64;
        let count = rng.usize(5..=15);
        let settings = settings(&mut rng);
        let (missing, wrong) = (rng.usize(0..=3), rng.usize(0..=2));
        let mut lives = Vec::new();
        let mut is_healthy = true;
        for _ in 0..count {
            lives.push(life(events / count as u64, &mut is_healthy, &mut rng));
        }
        Self {
            shape,
            settings,
            missing,
            wrong,
            lives,
        }
    }
}

fn shape(seed: u64, rng: &mut Rng) -> Shape {
    let mut shape = Shape::new(seed, rng.usize(1..=2), rng.u64(80..=240));
    shape.sizes = vec![(60, 1..=2000), (30, 2000..=80_000), (9, 80_000..=400_000)];
    // In every third run there is a binary that is sent in parts.
    if seed.is_multiple_of(3) {
        shape.sizes.push((4, LARGE..=LARGE + 100_000));
        shape.kinds = vec![Kind::Packed];
    }
    shape
}

fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

fn settings(rng: &mut Rng) -> Vec<(&'static str, String)> {
    vec![
        ("BK__EVENT_BATCH_SIZE", one_of(rng, &[1, 5, 20, 100]).to_string()),
        ("BK__EVENT_BATCH_MAX_AGE", format!("{}s", rng.u32(1..=3))),
        ("BK__STREAM_ROUTINE_COUNT", rng.u32(1..=6).to_string()),
        ("BK__STREAM_CHANNEL_SIZE", one_of(rng, &[1, 10, 500]).to_string()),
        ("BK__HIT_CACHE_SIZE", one_of(rng, &[1, 20, 16_000]).to_string()),
        (
            "BK__JOURNAL_MAX_BYTES",
            one_of(rng, &["1MiB", "512MiB"]).to_owned(),
        ),
        ("BK__RETRY_COUNT", rng.u32(1..=3).to_string()),
        (
            "BK__CONSECUTIVE_BACKUP_STREAM_FAILURES",
            one_of(rng, &[5, 100]).to_string(),
        ),
    ]
}

fn millis(rng: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

/// The points that a backup passes.
fn points() -> Vec<FaultPoint> {
    let all = FaultPoint::ALL.iter().copied();
    all.filter(|point| !point.is_of_restore()).collect()
}

fn life(events: u64, is_healthy: &mut bool, rng: &mut Rng) -> LifePlan {
    let length = match rng.u32(..100) {
        0..8 => millis(rng, 0..30),
        8..25 => millis(rng, 30..300),
        _ => millis(rng, 300..1500),
    };
    let end = match rng.u32(..100) {
        0..55 => End::Kill,
        55..80 => End::KillAt(one_of(rng, &points()), one_of(rng, &[1, 1, 1, 2, 3, 8])),
        _ => End::KillWhileEnding(millis(rng, 0..300)),
    };
    let mut acts = Vec::new();
    let within = |rng: &mut Rng| length.mul_f64(rng.f64());
    for _ in 0..rng.usize(3..=8) {
        acts.push((
            within(rng),
            Act::Publish(rng.usize(..100), rng.u64(1..=events.max(1))),
        ));
    }
    if rng.u32(..10) == 0 {
        acts.push((within(rng), Act::Version(one_of(rng, &[5, 6, 7]))));
    }
    if !*is_healthy {
        acts.push((if rng.bool() { Duration::ZERO } else { within(rng) }, Act::Heal));
        *is_healthy = true;
    } else if rng.u32(..100) < 40 {
        let begin = within(rng);
        acts.push((begin, Act::Trouble(trouble(rng))));
        // Else it goes on after the kill, and the next start meets it.
        *is_healthy = rng.bool();
        if *is_healthy {
            acts.push((begin + (length - begin).mul_f64(rng.f64()), Act::Heal));
        }
    }
    acts.sort_by_key(|(at, _)| *at);
    LifePlan {
        from_the_first_pull: rng.u32(..100) < 75,
        acts,
        length,
        end,
    }
}

fn trouble(rng: &mut Rng) -> Trouble {
    use {Failure as F, Operation as O};
    match rng.u32(..8) {
        0 => Trouble::BucketSlow(millis(rng, 5..150)),
        1 => Trouble::BucketHangs,
        2 => Trouble::BucketAway,
        3 | 4 => Trouble::BucketFails(
            one_of(
                rng,
                &[
                    O::PutObject,
                    O::HeadObject,
                    O::BeginUpload,
                    O::UploadPart,
                    O::CompleteUpload,
                ],
            ),
            one_of(rng, &[F::Status(503), F::StatusAfter(500), F::Hang, F::ErrorInOk]),
        ),
        5 => Trouble::DispatcherAway,
        6 => Trouble::DispatcherRestarts,
        _ => match rng.bool() {
            true => Trouble::DispatcherFails(
                Call::Pull,
                one_of(
                    rng,
                    &[
                        Fault::Status(500),
                        Fault::StatusAfterTaking(502),
                        Fault::CutAfter(700),
                        Fault::Nonsense,
                        Fault::Hang,
                    ],
                ),
            ),
            false => Trouble::DispatcherFails(
                Call::Download,
                one_of(
                    rng,
                    &[
                        Fault::Status(503),
                        Fault::CutAfter(1000),
                        Fault::FlippedBit,
                        Fault::Hang,
                    ],
                ),
            ),
        },
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
    fn every_kind_of_end_and_of_trouble_is_met() {
        let lives: Vec<LifePlan> = (0..200).flat_map(|seed| Plan::of(seed).lives).collect();
        let has = |what: &dyn Fn(&LifePlan) -> bool| lives.iter().filter(|life| what(life)).count();
        let acts = |wanted: &dyn Fn(&Act) -> bool| has(&|life| life.acts.iter().any(|(_, act)| wanted(act)));
        assert!((200 * 5..=200 * 15).contains(&lives.len()));
        assert!(has(&|life| life.end == End::Kill) > 500);
        assert!(has(&|life| matches!(life.end, End::KillWhileEnding(_))) > 200);
        assert!(has(&|life| life.length < Duration::from_millis(30)) > 100);
        for point in points() {
            assert!(
                has(&|life| matches!(life.end, End::KillAt(other, _) if other == point)) > 0,
                "{point}"
            );
        }
        let kinds = [
            Trouble::BucketHangs,
            Trouble::BucketAway,
            Trouble::DispatcherAway,
            Trouble::DispatcherRestarts,
        ];
        for kind in kinds {
            assert!(acts(&|act| *act == Act::Trouble(kind)) > 20, "{kind:?}");
        }
    }
}
