//! Waiting for conditions, with an end to it.

use std::{
    future::Future,
    panic::Location,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

/// How long anything may take before a test gives up. Far more than is ever needed on an idle machine: the budget is for busy
/// ones, and nothing waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the condition holds, looking again and again; panics when patience is at its end.
#[track_caller]
pub fn eventually(mut condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let place = Location::caller();
    async move {
        let start = Instant::now();
        let mut pause = Duration::from_millis(2);
        while !condition().await {
            assert!(start.elapsed() < PATIENCE, "what {place} waits for did not come in {PATIENCE:?}");
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

/// The outcome of something that must not take for ever; panics when patience is at its end.
#[track_caller]
pub fn within<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let place = Location::caller();
    async move {
        let outcome = timeout(PATIENCE, work).await.ok();
        outcome.unwrap_or_else(|| panic!("what {place} waits for did not come in {PATIENCE:?}"))
    }
}
