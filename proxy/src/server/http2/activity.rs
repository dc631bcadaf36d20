//! Whether anything goes on upon a connection of many streams.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Counts the flows of one connection.
pub(super) struct Activity {
    flows: AtomicUsize,
    rests_since: Mutex<Instant>,
    rests: Notify,
}

/// A flow that has not ended; it has when this is dropped.
pub(super) struct Active(Arc<Activity>);

impl Activity {
    /// No flow has begun.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { flows: AtomicUsize::new(0), rests_since: Mutex::new(Instant::now()), rests: Notify::new() })
    }

    /// A flow begins.
    pub(super) fn begin(self: &Arc<Self>) -> Active {
        self.flows.fetch_add(1, SeqCst);
        Active(Arc::clone(self))
    }

    /// Waits until there has been no flow for so long. Cancel safe; for one waiter.
    pub(super) async fn idle(&self, limit: Duration) {
        loop {
            if self.flows.load(SeqCst) > 0 {
                self.rests.notified().await;
                continue;
            }
            let until = *self.rests_since.lock() + limit;
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Self(activity) = self;
        *activity.rests_since.lock() = Instant::now();
        if activity.flows.fetch_sub(1, SeqCst) == 1 {
            activity.rests.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn flows_keep_a_connection_busy() {
        let activity = Activity::new();
        let (first, second) = (activity.begin(), activity.begin());
        assert!(timeout(LIMIT * 2, activity.idle(LIMIT)).await.is_err());
        drop(first);
        assert!(timeout(LIMIT * 2, activity.idle(LIMIT)).await.is_err());
        let start = Instant::now();
        drop(second);
        activity.idle(LIMIT).await;
        assert!(start.elapsed() >= LIMIT);
    }
}
