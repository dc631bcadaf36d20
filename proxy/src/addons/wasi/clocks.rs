//! The clocks of the host.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;
use wasmtime::{Result, component::Resource};
use wasmtime_wasi::{
    async_trait,
    p2::{
        DynPollable, Pollable,
        bindings::clocks::{monotonic_clock, wall_clock},
        subscribe,
    },
};

use super::HostState;

// One start for all instances: a time that `configure` kept is a time in every instance made from its snapshot.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl monotonic_clock::Host for HostState {
    fn now(&mut self) -> Result<u64> {
        Ok(now())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        self.alarm(when.saturating_sub(now()))
    }

    fn subscribe_duration(&mut self, nanoseconds: u64) -> Result<Resource<DynPollable>> {
        self.alarm(nanoseconds)
    }
}

impl wall_clock::Host for HostState {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}

impl HostState {
    fn alarm(&mut self, nanoseconds: u64) -> Result<Resource<DynPollable>> {
        // No call outlives its budget, so no alarm has to be further away; that also keeps the sum on the clock.
        let last = self.budget.deadline();
        let end = Instant::now().checked_add(Duration::from_nanos(nanoseconds)).unwrap_or(last).min(last);
        let table = &mut self.wasi().table;
        let alarm = table.push(Alarm(end))?;
        subscribe(table, alarm)
    }
}

struct Alarm(Instant);

#[async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        tokio::time::sleep_until(self.0).await;
    }
}

fn now() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
