//! Work for the processor that would hold up the other flows of a thread: done on threads of its own, in the whole process as
//! many at a time as there are cores. So a crowd of bombs waits its turn, and holds memory only for those at work. Passwords have
//! turns and threads of their own, so that guesses keep nobody else waiting.

use std::{
    num::NonZero,
    sync::{Arc, LazyLock},
    thread::available_parallelism,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::Semaphore,
};

/// Up to so many bytes, moving the work to another thread costs more than doing it.
pub(crate) const SMALL: usize = 16 * 1024;

/// Of Linux' 19 steps down: a thread that serves gets about ten times the share of one of these while both want to run, and
/// these get everything that is left over.
pub(crate) const NICENESS: i32 = 10;

/// How long a thread for passwords stays without work.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(cores())));

static PASSWORDS: LazyLock<Passwords> = LazyLock::new(|| {
    let turns = (cores() / 2).max(1);
    // Never driven: all that it has are threads for what blocks.
    let threads = Builder::new_current_thread()
        .max_blocking_threads(turns)
        .thread_keep_alive(KEEP_ALIVE)
        .thread_name("passwords")
        .on_thread_start(|| {
            // On Linux this is about the calling thread alone. Where it is refused the thread is like any other.
            let _ = rustix::process::setpriority_process(None, NICENESS);
        })
        .build();
    Passwords { turns: Arc::new(Semaphore::new(turns)), threads: threads.ok() }
});

/// Where passwords are verified.
struct Passwords {
    turns: Arc<Semaphore>,
    /// None: the system gave none, and those of all heavy work do it.
    threads: Option<Runtime>,
}

/// Waits for a turn and does the work. None: it panicked, or the process stops.
///
/// Dropped before its turn, nothing is done; after that, the work goes on to its end and keeps its turn until then.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    take_turn(&TURNS, &Handle::current(), work).await
}

/// The same for a password: half as many at a time as there are cores, and at least one, behind threads that serve. Not behind
/// everything else on the machine: where it is busy all the time, nobody would ever be let in.
pub(crate) async fn verify<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let threads = PASSWORDS.threads.as_ref().map_or_else(Handle::current, |threads| threads.handle().clone());
    take_turn(&PASSWORDS.turns, &threads, work).await
}

async fn take_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    threads: &Handle,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let turn = Arc::clone(turns).acquire_owned().await.ok()?;
    let done = threads.spawn_blocking(move || {
        let result = work();
        drop(turn);
        result
    });
    done.await.ok()
}

fn cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_at_a_time_than_cores() {
        static AT_WORK: AtomicUsize = AtomicUsize::new(0);
        let cores = cores();
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
        for _ in 0..=cores() {
            assert_eq!(run(|| -> u8 { panic!("on purpose") }).await, None);
            assert_eq!(verify(|| -> u8 { panic!("on purpose") }).await, None);
        }
        assert_eq!((run(|| 1).await, verify(|| 1).await), (Some(1), Some(1)));
    }

    #[tokio::test]
    async fn passwords_take_no_turns_of_others() {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Arc::new(parking_lot::Mutex::new(released));
        let crowd: Vec<_> = (0..cores() * 2)
            .map(|_| {
                let released = Arc::clone(&released);
                tokio::spawn(verify(move || released.lock().recv().is_ok()))
            })
            .collect();
        while PASSWORDS.turns.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..=cores() {
            assert_eq!(run(|| 1).await, Some(1));
        }
        for _ in &crowd {
            release.send(()).expect("somebody who waits");
        }
        for done in futures_util::future::join_all(crowd).await {
            assert_eq!(done.expect("a task"), Some(true));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn passwords_are_behind_what_serves() {
        let niceness = || {
            let status = std::fs::read_to_string("/proc/thread-self/stat").expect("a file");
            // The 19th field (proc_pid_stat(5)), counted after the name.
            status.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(16).map(str::to_owned))
        };
        assert_eq!(verify(niceness).await.flatten(), Some(NICENESS.to_string()));
    }
}
