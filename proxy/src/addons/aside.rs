//! Threads for guests that take long: beside those that serve, and behind them in the queue for the processor.

use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime of its own. Dropping it stops what runs there.
pub(super) struct Aside {
    // None only while it is dropped.
    runtime: Option<Runtime>,
}

// Of Linux' 19 steps down: a thread that serves gets about ten times the share of one of these while both want to run, and
// these get everything that is left over.
const NICENESS: i32 = 10;

impl Aside {
    /// Starts one thread a core.
    pub(super) fn start() -> std::io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores)
            .thread_name("addon-aside")
            .on_thread_start(|| {
                // On Linux this is about the calling thread alone. Where it is refused the threads are like any other.
                let _ = rustix::process::setpriority_process(None, NICENESS);
            })
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// What spawns there.
    pub(super) fn handle(&self) -> Handle {
        self.runtime.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
