//! The clock of the quarantine; nothing sleeps.

use std::{panic, sync::atomic::Ordering::SeqCst};

use super::*;
use crate::addons::tally::Tally;

/// Three failures within ten seconds that are half of the flows; a second, doubled up to five.
const RULE: QuarantineRule = QuarantineRule {
    failures: 3,
    within: Duration::from_secs(10),
    share: 50,
    first: Duration::from_secs(1),
    longest: Duration::from_secs(5),
};

/// A generation's quarantine and a clock.
struct World {
    quarantine: Arc<Quarantine>,
    stats: Arc<Stats>,
    now: Instant,
}

fn world(rule: impl Into<Option<QuarantineRule>>) -> World {
    let stats = Arc::<Stats>::default();
    World { quarantine: Quarantine::new("a".into(), rule.into(), Arc::clone(&stats)), stats, now: Instant::now() }
}

fn trap() -> HookError {
    HookError::Trap("unreachable".to_owned())
}

impl World {
    fn pass(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    /// A flow, if it is let through.
    fn admit(&self) -> Result<Option<Probe>, Refused> {
        self.quarantine.admit(self.now, true)
    }

    /// Flows that go well.
    fn good(&self, count: usize) {
        for _ in 0..count {
            assert!(matches!(self.admit(), Ok(None)));
        }
    }

    /// Flows that fail.
    fn bad(&self, count: usize) {
        for _ in 0..count {
            assert!(matches!(self.admit(), Ok(None)));
            self.quarantine.failed(self.now, &trap());
        }
    }

    /// The flow that is let through.
    fn probe(&self) -> Probe {
        self.admit().ok().flatten().expect("a probe")
    }

    fn seconds_left(&self) -> Option<f64> {
        self.quarantine.status(self.now).seconds_left
    }

    fn state(&self) -> QuarantineState {
        self.quarantine.status(self.now).state
    }
}

#[test]
fn enough_failures_shut_it() {
    let world = world(RULE);
    world.bad(2);
    assert_eq!((world.state(), world.quarantine.status(world.now).failures), (QuarantineState::None, 2));
    world.bad(1);
    assert_eq!((world.state(), world.seconds_left()), (QuarantineState::Quarantined, Some(1.0)));
    assert!(world.admit().is_err());
    let (status, counters) = (world.quarantine.status(world.now), world.stats.counters());
    assert_eq!((status.times, counters.refused_in_quarantine), (1, 1));
}

#[test]
fn failures_that_lie_far_apart_do_not() {
    let mut world = world(RULE);
    for _ in 0..10 {
        world.bad(1);
        world.pass(5_001);
    }
    assert_eq!(world.state(), QuarantineState::None);
    assert_eq!(world.quarantine.status(world.now).failures, 1);
    // The third of these comes ten seconds after the first.
    world.pass(10_000);
    world.bad(1);
    world.pass(5_000);
    world.bad(1);
    world.pass(5_000);
    world.bad(1);
    assert_eq!(world.state(), QuarantineState::Quarantined);
}

#[test]
fn failures_among_many_good_flows_do_not() {
    let world = world(RULE);
    world.good(1_000);
    // What came before the first failure does not count.
    world.bad(1);
    world.good(2);
    world.bad(1);
    world.good(2);
    world.bad(1);
    assert_eq!(world.state(), QuarantineState::None, "three of seven");
    world.bad(1);
    assert_eq!(world.state(), QuarantineState::Quarantined, "three of five");
}

#[test]
fn shares_count_from_their_edge() {
    for (share, good, expected) in [
        (50, 3, QuarantineState::Quarantined),
        (51, 3, QuarantineState::None),
        (100, 0, QuarantineState::Quarantined),
        (100, 1, QuarantineState::None),
        (0, 10_000, QuarantineState::Quarantined),
    ] {
        let world = world(QuarantineRule { share, ..RULE });
        world.bad(1);
        world.good(good);
        world.bad(2);
        assert_eq!(world.state(), expected, "{share} percent, {good} good ones");
    }
}

#[test]
fn one_flow_at_a_time_probes() {
    let mut world = world(RULE);
    world.bad(3);
    world.pass(999);
    assert!(world.admit().is_err());
    world.pass(1);
    assert_eq!(world.seconds_left(), Some(0.0));
    let probe = world.probe();
    assert_eq!((world.state(), world.seconds_left()), (QuarantineState::Probing, None));
    world.pass(60_000);
    assert!(world.admit().is_err());
    probe.ended(world.now, None);
    assert_eq!(world.state(), QuarantineState::None);
    world.good(3);
}

#[test]
fn failed_probes_double_it_up_to_the_longest() {
    let mut world = world(RULE);
    world.bad(3);
    for seconds in [1_u32, 2, 4, 5, 5] {
        assert_eq!(world.seconds_left(), Some(f64::from(seconds)));
        world.pass(u64::from(seconds) * 1_000);
        world.probe().ended(world.now, Some(&trap()));
        assert!(world.admit().is_err());
    }
    assert_eq!(world.quarantine.status(world.now).times, 1);
}

#[test]
fn probes_without_an_outcome_leave_it_to_the_next() {
    let mut world = world(RULE);
    world.bad(3);
    world.pass(1_000);
    drop(world.probe());
    world.probe().ended(world.now, Some(&HookError::NoSeat { own: 1, common: 1 }));
    world.probe().ended(world.now, None);
    assert_eq!(world.state(), QuarantineState::None);
}

#[test]
fn relapses_are_punished_more() {
    let mut world = world(RULE);
    world.bad(3);
    world.pass(1_000);
    world.probe().ended(world.now, None);
    world.pass(10_000);
    world.bad(3);
    assert_eq!(world.seconds_left(), Some(2.0));
    world.pass(2_000);
    world.probe().ended(world.now, None);
    world.pass(10_001);
    world.bad(3);
    assert_eq!((world.seconds_left(), world.quarantine.status(world.now).times), (Some(1.0), 3));
}

#[test]
fn old_failures_are_forgotten_by_its_end() {
    let mut world = world(RULE);
    world.bad(3);
    // Of flows that began before.
    world.quarantine.failed(world.now, &trap());
    world.pass(1_000);
    world.probe().ended(world.now, None);
    world.bad(2);
    assert_eq!(world.state(), QuarantineState::None);
}

#[test]
fn without_a_rule_there_is_none() {
    let world = world(None);
    world.bad(1_000);
    assert_eq!((world.state(), world.quarantine.status(world.now).failures), (QuarantineState::None, 0));
}

#[test]
fn a_flow_fails_once() {
    let world = world(RULE);
    for _ in 0..2 {
        let has_failed = AtomicBool::new(false);
        for _ in 0..5 {
            Tally::begin(&world.stats, &world.quarantine, &has_failed).ended(Some(&trap()));
        }
    }
    assert_eq!((world.quarantine.status(Instant::now()).failures, world.stats.counters().traps), (2, 10));
}

#[test]
fn only_what_the_addon_did_counts() {
    for (error, expected) in [
        (trap(), 1),
        (HookError::Failed(String::new()), 1),
        (HookError::Deadline { kind: "wall", limit: Duration::ZERO }, 1),
        (HookError::Verdict(String::new()), 1),
        (HookError::Instance(String::new()), 0),
        (HookError::NoSeat { own: 1, common: 1 }, 0),
        (HookError::NoRoom(1), 0),
        (HookError::Gone, 0),
        (HookError::Quarantined, 0),
        (HookError::NotLoaded, 0),
    ] {
        let (world, has_failed) = (world(RULE), AtomicBool::new(false));
        Tally::begin(&world.stats, &world.quarantine, &has_failed).ended(Some(&error));
        assert_eq!(
            (world.quarantine.status(Instant::now()).failures, has_failed.load(SeqCst)),
            (expected, expected == 1),
            "{error}"
        );
    }
}

#[test]
fn failures_for_want_of_the_store_do_not_count() {
    let wall = || HookError::Deadline { kind: "wall", limit: Duration::ZERO };
    for (error, expected) in [
        (trap(), 0),
        (HookError::Failed(String::new()), 0),
        (wall(), 0),
        (HookError::Deadline { kind: "cpu", limit: Duration::ZERO }, 1),
        (HookError::Verdict(String::new()), 1),
    ] {
        let (world, has_failed) = (world(RULE), AtomicBool::new(false));
        let mut tally = Tally::begin(&world.stats, &world.quarantine, &has_failed);
        tally.excuse();
        tally.ended(Some(&error));
        let status = world.quarantine.status(Instant::now());
        assert_eq!((status.failures, world.stats.counters().calls), (expected, 1), "{error}");
        // A failure of its own in the same flow still counts.
        Tally::begin(&world.stats, &world.quarantine, &has_failed).ended(Some(&trap()));
        assert_eq!(world.quarantine.status(Instant::now()).failures, 1, "{error}");
    }
}

#[test]
fn probes_without_the_store_say_nothing() {
    let (mut world, has_failed) = (world(RULE), AtomicBool::new(false));
    world.bad(3);
    world.pass(1_000);
    for _ in 0..3 {
        let mut tally = Tally::begin(&world.stats, &world.quarantine, &has_failed);
        tally.probes(Some(world.probe()));
        tally.excuse();
        tally.ended(Some(&trap()));
        assert_eq!((world.state(), world.seconds_left()), (QuarantineState::Quarantined, Some(0.0)));
    }
    // A hook that goes well without the store ends it.
    let mut tally = Tally::begin(&world.stats, &world.quarantine, &has_failed);
    tally.probes(Some(world.probe()));
    tally.excuse();
    tally.ended(None);
    assert_eq!(world.state(), QuarantineState::None);
}

#[test]
fn panics_of_the_host_count_as_traps() {
    let (world, has_failed) = (world(RULE), AtomicBool::new(false));
    let panicked = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        let _tally = Tally::begin(&world.stats, &world.quarantine, &has_failed);
        panic!("oh no");
    }));
    assert!(panicked.is_err());
    assert_eq!((world.quarantine.status(Instant::now()).failures, world.stats.counters().traps), (1, 1));
    drop(Tally::begin(&world.stats, &world.quarantine, &has_failed));
    assert_eq!(world.stats.counters().calls, 1);
}
