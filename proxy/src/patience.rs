//! Waits that are nearly always over before their time.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A point in time that is put off again and again, and seldom comes: putting it off is a comparison, no change of a timer. The timer
/// is moved when it has gone off too early, once in a while.
///
/// It has to be polled by one task alone.
pub(crate) struct Patience {
    timer: Pin<Box<Sleep>>,
    until: Instant,
}

impl Patience {
    /// Ends so long from now.
    pub(crate) fn new(patience: Duration) -> Self {
        let until = later(patience);
        Self { timer: Box::pin(sleep_until(until)), until }
    }

    /// From now on it ends so long from now, whatever it was.
    pub(crate) fn renew(&mut self, patience: Duration) {
        self.until = later(patience);
        if self.until < self.timer.deadline() {
            self.timer.as_mut().reset(self.until);
        }
    }

    /// Ready when it has ended.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            if self.timer.deadline() >= self.until {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.until);
        }
    }
}

/// What is too far away to be told is a matter of decades, as in tokio.
fn later(patience: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(patience).unwrap_or_else(|| now + Duration::from_hours(24 * 365 * 30))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds until it ends.
    async fn wait(patience: &mut Patience) -> u64 {
        let start = Instant::now();
        poll_fn(|context| patience.poll(context)).await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_it_was_last_put_off_to() {
        for (first, then, ends) in [(5, 5, 5), (5, 60, 60), (60, 5, 5), (5, 0, 0)] {
            let mut patience = Patience::new(first * SECOND);
            assert!(tokio::time::timeout(SECOND / 2, wait(&mut patience)).await.is_err(), "{first} s");
            patience.renew(then * SECOND);
            assert_eq!(wait(&mut patience).await, ends, "{first} s, then {then} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_used_again_after_its_end() {
        let mut patience = Patience::new(SECOND);
        assert_eq!(wait(&mut patience).await, 1);
        assert_eq!(wait(&mut patience).await, 0);
        patience.renew(3 * SECOND);
        assert_eq!(wait(&mut patience).await, 3);
        patience.renew(Duration::MAX);
        assert!(tokio::time::timeout(Duration::from_hours(24), wait(&mut patience)).await.is_err());
    }
}
