//! Which hooks of an addon use to take long: their calls begin on threads of their own.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::hooks::Event;

/// What calls so far say about the next one, by event.
#[derive(Debug, Default)]
pub(super) struct Habits([AtomicU32; Event::ALL.len()]);

// A call that took long speaks for so many of the next ones, however many were long: a hook that takes long now and then keeps
// few of the others from threads that serve.
const LONG: u32 = 16;

impl Habits {
    /// Whether a call for this event had better not begin on a thread that serves.
    pub(super) fn begins_aside(&self, event: Event) -> bool {
        self.of(event).is_some_and(|habit| habit.load(Relaxed) > 0)
    }

    /// A call ended. Calls that end at the same time may be taken for one.
    pub(super) fn ended(&self, event: Event, was_long: bool) {
        let Some(habit) = self.of(event) else { return };
        match habit.load(Relaxed) {
            _ if was_long => habit.store(LONG, Relaxed),
            0 => {}
            left => habit.store(left - 1, Relaxed),
        }
    }

    fn of(&self, event: Event) -> Option<&AtomicU32> {
        self.0.get(event as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_call_speaks_for_the_next_ones_of_its_event() {
        let habits = Habits::default();
        assert!(!habits.begins_aside(Event::Request));
        habits.ended(Event::Request, true);
        habits.ended(Event::Request, true);
        for _ in 0..LONG {
            assert!(habits.begins_aside(Event::Request));
            assert!(!habits.begins_aside(Event::Response));
            habits.ended(Event::Request, false);
        }
        assert!(!habits.begins_aside(Event::Request));
    }
}
