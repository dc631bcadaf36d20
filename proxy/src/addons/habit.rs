//! Which hooks of an addon use to take long: their calls begin on threads of their own.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::call::{Course, Start};
use crate::hooks::Event;

/// What calls so far say about the next one, by event.
#[derive(Debug, Default)]
pub(super) struct Habits([Habit; Event::ALL.len()]);

#[derive(Debug, Default)]
struct Habit {
    long: AtomicU32,
    late: AtomicU32,
}

// A call that took long speaks for so many of the next ones, however many were long: a hook that takes long now and then keeps
// few of the others from threads that serve.
const LONG: u32 = 16;

// A late call weighs as much as so many that are not, and two of them are enough if not many others came between. So calls go to
// the last lane at once where more than about a fifth of all are late; fewer slow requests of one client don't bring all others there.
const LATE: u32 = 4;
const LATE_ENOUGH: u32 = 2 * LATE;
const LATE_MOST: u32 = 2 * LATE_ENOUGH;

impl Habits {
    /// Where a call for this event had better begin.
    pub(super) fn start(&self, event: Event) -> Start {
        let Some(habit) = self.of(event) else { return Start::Here };
        if habit.late.load(Relaxed) >= LATE_ENOUGH {
            Start::Last
        } else if habit.long.load(Relaxed) > 0 {
            Start::Aside
        } else {
            Start::Here
        }
    }

    /// A call ended. Calls that end at the same time may be taken for one.
    pub(super) fn ended(&self, event: Event, course: &Course) {
        let Some(habit) = self.of(event) else { return };
        match habit.long.load(Relaxed) {
            _ if course.was_long() => habit.long.store(LONG, Relaxed),
            0 => {}
            left => habit.long.store(left - 1, Relaxed),
        }
        match habit.late.load(Relaxed) {
            score if course.is_late() => habit.late.store((score + LATE).min(LATE_MOST), Relaxed),
            0 => {}
            score => habit.late.store(score - 1, Relaxed),
        }
    }

    fn of(&self, event: Event) -> Option<&Habit> {
        self.0.get(event as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long() -> Course {
        let course = Course::default();
        course.is_long();
        course
    }

    fn late() -> Course {
        let course = long();
        course.late();
        course
    }

    #[test]
    fn a_long_call_speaks_for_the_next_ones_of_its_event() {
        let habits = Habits::default();
        assert_eq!(habits.start(Event::Request), Start::Here);
        habits.ended(Event::Request, &long());
        habits.ended(Event::Request, &long());
        for _ in 0..LONG {
            assert_eq!(habits.start(Event::Request), Start::Aside);
            assert_eq!(habits.start(Event::Response), Start::Here);
            habits.ended(Event::Request, &Course::default());
        }
        assert_eq!(habits.start(Event::Request), Start::Here);
    }

    #[test]
    fn calls_go_last_where_most_are_late() {
        let habits = Habits::default();
        habits.ended(Event::Request, &late());
        assert_eq!(habits.start(Event::Request), Start::Aside);
        for _ in 0..100 {
            habits.ended(Event::Request, &late());
            assert_eq!(habits.start(Event::Request), Start::Last);
        }
        for _ in 0..=LATE_MOST - LATE_ENOUGH {
            assert_eq!(habits.start(Event::Request), Start::Last);
            habits.ended(Event::Request, &Course::default());
        }
        assert_eq!(habits.start(Event::Request), Start::Aside);
    }

    #[test]
    fn a_late_call_now_and_then_brings_no_other_there() {
        let habits = Habits::default();
        for number in 0..100 {
            let course = if number % 5 == 0 { late() } else { Course::default() };
            habits.ended(Event::Request, &course);
            assert_ne!(habits.start(Event::Request), Start::Last, "{number}");
        }
    }
}
