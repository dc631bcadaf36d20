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

    use futures_util::FutureExt as _;

    use super::*;

    /// Milliseconds from `start` to its end.
    async fn end(patience: &mut Patience, start: Instant) -> u128 {
        poll_fn(|context| patience.poll(context)).await;
        start.elapsed().as_millis()
    }

    #[tokio::test]
    async fn it_ends_when_it_was_last_put_off_to() {
        const HOUR: u64 = 3_600_000;
        for (first, then) in [(20, 20), (20, 80), (HOUR, 20), (HOUR, 0)] {
            let start = Instant::now();
            let mut patience = Patience::new(Duration::from_millis(first));
            assert!(end(&mut patience, start).now_or_never().is_none(), "{first}");
            patience.renew(Duration::from_millis(then));
            let ended = end(&mut patience, start).await;
            assert!((u128::from(then)..u128::from(HOUR)).contains(&ended), "{first}, then {then}: {ended}");
        }
    }

    #[tokio::test]
    async fn it_can_be_used_again_after_its_end() {
        let start = Instant::now();
        let mut patience = Patience::new(Duration::from_millis(10));
        assert!(end(&mut patience, start).await >= 10);
        assert!(end(&mut patience, start).now_or_never().is_some());
        let start = Instant::now();
        patience.renew(Duration::from_millis(20));
        assert!(end(&mut patience, start).await >= 20);
        patience.renew(Duration::MAX);
        assert!(end(&mut patience, start).now_or_never().is_none());
    }
}
