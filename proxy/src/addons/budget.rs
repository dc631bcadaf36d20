//! How long a guest may run, and how it is stopped.

use std::{fmt, time::Duration};

use tokio::time::Instant;
use wasmtime::{Store, UpdateDeadline};

use super::{call::Course, over::BudgetKind, state::HostState, ticker::TICK};

/// What is left of the budget of one call.
#[derive(Debug)]
pub(super) struct Budget {
    ticks: u32,
    /// Ticks until the call counts as long.
    short: u32,
    /// Ticks that are left when the call counts as late.
    late: u32,
    course: Course,
    cpu: Over,
    wall: Over,
    deadline: Instant,
}

// The first tick may come right after the call began, so one that saw two has run for more than one.
const SHORT: u32 = 2;

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
        let late = ticks - ticks.div_ceil(LATE);
        Self { ticks, short: SHORT, late, course, cpu, wall, deadline }
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
    /// running code, and at most once for all ticks that went by since the guest was last let on. What the guest kept the
    /// engine from telling of in between, by an instruction or a host function that takes long, is counted by the processor's
    /// clock.
    fn tick(&mut self) -> Result<(), Over> {
        let ran = self.course.ran().as_nanos() / TICK.as_nanos();
        self.ticks = self.ticks.saturating_sub(u32::try_from(ran).unwrap_or(u32::MAX).max(1));
        self.short = self.short.saturating_sub(1);
        if self.short == 0 {
            self.course.is_long();
        }
        if self.ticks <= self.late {
            self.course.late();
        }
        if self.ticks == 0 {
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
    use super::*;

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
