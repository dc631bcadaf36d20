//! How long a guest may run, and how it is stopped.

use std::{fmt, time::Duration};

use tokio::time::Instant;
use wasmtime::{Store, UpdateDeadline};

use super::{call::Course, over::BudgetKind, state::HostState, ticker::TICK};

/// What is left of the budget of one call.
#[derive(Debug)]
pub(super) struct Budget {
    /// Time on the processor.
    left: Duration,
    /// What is left of it when the call counts as late.
    late: Duration,
    /// Time on the processor since the first tick, if there was one.
    since_first: Option<Duration>,
    course: Course,
    cpu: Over,
    wall: Over,
    deadline: Instant,
}

// Calls that ran for longer than this after their first tick are long. That one may have come right after they began, and many
// ticks may go by while others run: neither makes a call long.
const SHORT: Duration = Duration::from_micros(500);

// What a tick takes from the budget at the least, so that there is an end to them.
const LEAST: Duration = Duration::from_micros(60);

// Calls that have used this part of their ticks get what is left over of the processor: few sound hooks ever do.
const LATE: u32 = 4;

/// A budget that was used up: the error with which the guest is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over {
    /// `Cpu`, `Wall` or `Configure`.
    pub(super) kind: BudgetKind,
    /// As configured.
    pub(super) limit: Duration,
}

impl Budget {
    /// So much time on the CPU, rounded up to ticks, and so much in all, from now on. The course is told if the call is long.
    pub(super) fn new(cpu: Duration, wall: Duration, course: Course) -> Self {
        Self::of(Over { kind: BudgetKind::Cpu, limit: cpu }, Over { kind: BudgetKind::Wall, limit: wall }, course)
    }

    /// So much time for `configure`, on the CPU and in all, from now on.
    pub(super) fn configure(limit: Duration, course: Course) -> Self {
        let over = Over { kind: BudgetKind::Configure, limit };
        Self::of(over, over, course)
    }

    fn of(cpu: Over, wall: Over, course: Course) -> Self {
        let ticks = u32::try_from(cpu.limit.as_nanos().div_ceil(TICK.as_nanos()).max(1)).unwrap_or(u32::MAX);
        let now = Instant::now();
        // A deadline beyond the clock is one in thirty years.
        let deadline = now.checked_add(wall.limit).unwrap_or_else(|| now + Duration::from_secs(1_000_000_000));
        let (left, late) = (TICK.saturating_mul(ticks), TICK.saturating_mul(ticks - ticks.div_ceil(LATE)));
        Self { left, late, since_first: None, course, cpu, wall, deadline }
    }

    /// When waits end.
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The wall clock ran out.
    pub(super) const fn over_wall(&self) -> Over {
        self.wall
    }

    /// A tick went by while the guest ran. Ticks in which it waited are not counted: the engine calls this only from
    /// running code, and at most once for all ticks that went by since the guest was last let on. From the second on it is the
    /// processor's clock that counts: for what the guest kept the engine from telling of in between, by an instruction or a host
    /// function that takes long, and not for time in which others kept the guest off the processor.
    fn tick(&mut self) -> Result<(), Over> {
        let ran = self.course.ran().unwrap_or(TICK);
        self.left = self.left.saturating_sub(ran.max(LEAST));
        let since_first = self.since_first.map_or(Duration::ZERO, |before| before.saturating_add(ran));
        self.since_first = Some(since_first);
        if since_first >= SHORT {
            self.course.is_long();
        }
        if self.left <= self.late {
            self.course.late();
        }
        if self.left.is_zero() {
            return Err(self.cpu);
        }
        if Instant::now() >= self.deadline {
            return Err(self.over_wall());
        }
        Ok(())
    }
}

/// Makes guests of this store yield to the executor every tick, and end when their budget does.
pub(super) fn watch(store: &mut Store<HostState>) {
    store.epoch_deadline_callback(|mut context| {
        context.data_mut().budget.tick().map_err(wasmtime::Error::new)?;
        Ok(UpdateDeadline::Yield(1))
    });
}

/// Starts a budget: to be called before each call into the guest.
pub(super) fn begin(store: &mut Store<HostState>, budget: Budget) {
    store.data_mut().begin(budget);
    store.set_epoch_deadline(1);
}

impl fmt::Display for Over {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "over its {} budget of {:?}", self.kind.as_str(), self.limit)
    }
}

impl std::error::Error for Over {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::task::yield_now;

    use super::*;
    use crate::addons::call::Measured;

    #[test]
    fn cpu_ends_at_the_last_tick() {
        let mut budget = Budget::new(Duration::from_micros(2_500), Duration::from_mins(1), Course::default());
        assert_eq!(budget.tick(), Ok(()));
        assert_eq!(budget.tick(), Ok(()));
        assert_eq!(budget.tick(), Err(Over { kind: BudgetKind::Cpu, limit: Duration::from_micros(2_500) }));
    }

    #[test]
    fn calls_are_late_after_a_quarter() {
        for (milliseconds, late) in [(1, 1), (2, 1), (4, 1), (5, 2), (50, 13)] {
            let course = Course::default();
            let mut budget = Budget::new(Duration::from_millis(milliseconds), Duration::from_mins(1), course.clone());
            for tick in 1..=late {
                assert!(!course.is_late(), "{milliseconds}: {tick}");
                let _ = budget.tick();
            }
            assert!(course.is_late(), "{milliseconds}");
        }
    }

    /// Ticks of a guest that runs for so long before each; whether it counts as long then.
    async fn ticks(count: u32, each: Duration) -> bool {
        let course = Course::default();
        let told = course.clone();
        let work = async move {
            let mut budget = Budget::new(Duration::from_millis(50), Duration::from_mins(1), told.clone());
            for tick in 0..count {
                spend(each);
                assert_eq!(budget.tick(), Ok(()), "{tick}");
                yield_now().await;
            }
            told.was_long()
        };
        Measured::new(work.boxed(), course).await
    }

    /// Of the thread's time on the processor.
    fn spend(time: Duration) {
        let spent = Course::default();
        let mut work = Measured::new(std::future::pending::<()>().boxed(), spent.clone());
        let mut sum = Duration::ZERO;
        while sum < time {
            let _ = spent.ran();
            assert!((&mut work).now_or_never().is_none());
            for _ in 0..1_000 {
                std::hint::spin_loop();
            }
            sum += spent.ran().unwrap_or_default();
        }
    }

    #[tokio::test]
    async fn time_of_others_is_not_the_guests() {
        assert!(!ticks(10, Duration::ZERO).await);
        // Far more of them than the budget has.
        ticks(200, Duration::ZERO).await;
        assert!(!ticks(1, Duration::from_millis(2)).await);
        assert!(ticks(3, Duration::from_micros(300)).await);
    }

    #[test]
    fn wall_ends_a_guest_that_rarely_runs() {
        let mut budget = Budget::new(Duration::from_mins(1), Duration::ZERO, Course::default());
        assert_eq!(budget.tick(), Err(Over { kind: BudgetKind::Wall, limit: Duration::ZERO }));
    }

    #[test]
    fn configure_has_one_budget_for_both() {
        let over = Over { kind: BudgetKind::Configure, limit: Duration::from_millis(1) };
        assert_eq!(Budget::configure(over.limit, Course::default()).tick(), Err(over));
        assert_eq!(Budget::configure(over.limit, Course::default()).over_wall(), over);
    }

    #[test]
    fn endless_budgets_do_not_overflow() {
        let mut budget = Budget::new(Duration::MAX, Duration::MAX, Course::default());
        assert_eq!(budget.tick(), Ok(()));
    }
}
