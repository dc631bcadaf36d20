//! The clock of CPU budgets: a thread that advances the engine's epoch while guests run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use wasmtime::Engine;

/// Length of a tick.
pub(super) const TICK: Duration = Duration::from_millis(1);

// After so many ticks without a call the thread sleeps until the next one: then a busy proxy never pays for waking it.
const IDLE_TICKS: u32 = 500;

/// Handle of the thread; dropping it ends the thread within a tick.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// Keeps the clock ticking while it lives.
pub(super) struct Running {
    shared: Arc<Shared>,
}

impl Ticker {
    /// Starts the thread.
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { running: AtomicUsize::new(0), asleep: AtomicBool::new(false), stop: AtomicBool::new(false) });
        let (weak, ticks) = (engine.weak(), Arc::clone(&shared));
        let handle = thread::Builder::new().name("addon-ticker".to_owned()).spawn(move || {
            ticks.run(|| {
                let engine = weak.upgrade();
                if let Some(engine) = &engine {
                    engine.increment_epoch();
                }
                engine.is_some()
            });
        })?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// To be held while a guest may run.
    pub(super) fn running(&self) -> Running {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        // The thread looks at `running` after it said that it is asleep, so one of both sees the other.
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running { shared: Arc::clone(&self.shared) }
    }
}

impl Shared {
    fn run(&self, tick: impl Fn() -> bool) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) > 0 {
                idle = 0;
            } else if idle < IDLE_TICKS {
                idle += 1;
            } else {
                self.asleep.store(true, Ordering::SeqCst);
                if self.running.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                continue;
            }
            thread::sleep(TICK);
            if !tick() {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn shared() -> Arc<Shared> {
        Arc::new(Shared { running: AtomicUsize::new(0), asleep: AtomicBool::new(false), stop: AtomicBool::new(false) })
    }

    fn patience(shared: &Shared, wanted: bool) {
        let start = std::time::Instant::now();
        while shared.asleep.load(Ordering::SeqCst) != wanted {
            assert!(start.elapsed() < Duration::from_secs(20), "asleep never became {wanted}");
            thread::yield_now();
        }
    }

    #[test]
    fn sleeps_when_idle_and_wakes_for_a_call() {
        let shared = shared();
        let (ticked, ticks) = mpsc::sync_channel(1);
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                shared.run(|| {
                    let _ = ticked.try_send(());
                    true
                });
            }
        });
        let ticker = Ticker { shared: Arc::clone(&shared), thread: thread.thread().clone() };
        patience(&shared, true);
        while ticks.try_recv().is_ok() {}
        let running = ticker.running();
        assert!(ticks.recv_timeout(Duration::from_secs(20)).is_ok());
        drop(running);
        patience(&shared, true);
        drop(ticker);
        assert!(thread.join().is_ok());
    }
}
