//! Work for the processor that would hold up the other flows of a thread: done on threads of its own, in the whole process as
//! many at a time as there are cores. So a crowd of bombs waits its turn, and holds memory only for those at work.

use std::{
    num::NonZero,
    sync::{Arc, LazyLock},
    thread::available_parallelism,
};

use tokio::{sync::Semaphore, task::spawn_blocking};

/// Up to so many bytes, moving the work to another thread costs more than doing it.
pub(crate) const SMALL: usize = 16 * 1024;

static TURNS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get))));

/// Waits for a turn and does the work. None: it panicked, or the process stops.
///
/// Dropped before its turn, nothing is done; after that, the work goes on to its end and keeps its turn until then.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let turn = Arc::clone(&TURNS).acquire_owned().await.ok()?;
    let done = spawn_blocking(move || {
        let result = work();
        drop(turn);
        result
    });
    done.await.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_at_a_time_than_cores() {
        static AT_WORK: AtomicUsize = AtomicUsize::new(0);
        let cores = available_parallelism().map_or(1, NonZero::get);
        let crowd = (0..cores * 8).map(|_| {
            tokio::spawn(run(|| {
                let at_work = AT_WORK.fetch_add(1, SeqCst) + 1;
                std::thread::yield_now();
                AT_WORK.fetch_sub(1, SeqCst);
                at_work
            }))
        });
        for done in futures_util::future::join_all(crowd).await {
            let at_work = done.expect("a task").expect("done");
            assert!(at_work <= cores, "{at_work} at a time");
        }
    }

    #[tokio::test]
    async fn panics_give_their_turn_back() {
        let cores = available_parallelism().map_or(1, NonZero::get);
        for _ in 0..=cores {
            assert_eq!(run(|| -> u8 { panic!("on purpose") }).await, None);
        }
        assert_eq!(run(|| 1).await, Some(1));
    }
}
