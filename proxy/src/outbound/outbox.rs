//! Requests that are sent later, while nobody waits: what is kept of them, and for how long they are tried.
//!
//! An [`Outbox`] belongs to one addon and outlives its generations. Requests to one origin are in one lane, whose task lives while
//! there are any.

mod carrier;
mod lane;
mod pause;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::{Caller, Error, Request};

pub use carrier::Carrier;
use lane::Lane;

/// What is to be sent.
#[derive(Debug, Clone)]
pub struct Letter {
    /// As for a call.
    pub request: Request,
    /// Whose it is.
    pub caller: Caller,
    /// For one try.
    pub timeout: Duration,
    /// From now on; then it is given up.
    pub lifetime: Duration,
}

/// How much may wait, what is on its way included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Requests. Default 1,000.
    pub messages: usize,
    /// Bytes of URLs, fields and bodies, with 256 for each request. Default 4 MiB.
    pub bytes: usize,
}

/// Why a request is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It could never be sent.
    #[error(transparent)]
    Never(#[from] Error),
    /// There is no room; the text names limit and value.
    #[error("{0}")]
    Full(String),
}

/// Requests of one addon that wait, and what became of those before.
pub struct Outbox {
    lanes: Mutex<HashMap<Box<str>, Queue>>,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    ended: [AtomicU64; Ended::NAMES.len()],
    tries: AtomicU64,
    /// For tries under way.
    turns: Arc<Semaphore>,
}

/// What an outbox says at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct OutboxCounters {
    /// Requests, by what became of them: `delivered`; `rejected`, answered so that no other try would do better; `expired`; `lost`
    /// with the end of the process; `full`, never taken; `revoked`, not granted any more.
    pub requests: std::collections::BTreeMap<&'static str, u64>,
    /// Tries.
    pub tries: u64,
    /// Requests that wait or are on their way.
    pub waiting: usize,
    /// Their bytes, as they count.
    pub waiting_bytes: usize,
}

/// Tries under way at one time, to all origins: more wait.
const TURNS: usize = 64;

/// Bytes that a request counts for beside its own.
const OVERHEAD: usize = 256;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Delivered,
    Rejected,
    Expired,
    Lost,
    Full,
    Revoked,
}

/// Those of a lane that were not tried yet.
#[derive(Default)]
struct Queue {
    letters: VecDeque<Kept>,
    news: Arc<Notify>,
}

/// A request that waits.
struct Kept {
    letter: Letter,
    expires: Instant,
    tries: u32,
    _place: Place,
}

/// Room that is taken, until this is dropped.
struct Place {
    outbox: Arc<Outbox>,
    bytes: usize,
}

impl Outbox {
    /// Keeps a request until it is delivered or given up, and has it sent.
    ///
    /// # Errors
    /// [`Refused::Never`] where it is not legal or not granted, [`Refused::Full`] where there is no room.
    pub fn put(self: &Arc<Self>, addon: &Arc<str>, letter: Letter, room: Room, carrier: &Carrier) -> Result<(), Refused> {
        let origin = carrier.check(&letter)?;
        let place = self.take(letter.size(), room).inspect_err(|_| self.count(Ended::Full))?;
        let expires = Instant::now().checked_add(letter.lifetime);
        let kept = Kept { expires: expires.unwrap_or_else(Instant::now), letter, tries: 0, _place: place };
        let mut lanes = self.lanes.lock();
        if let Some(queue) = lanes.get_mut(&*origin) {
            queue.letters.push_back(kept);
            queue.news.notify_one();
            return Ok(());
        }
        let mut queue = Queue::default();
        queue.letters.push_back(kept);
        let lane = Lane::new(Arc::clone(self), Arc::clone(addon), origin.clone(), Arc::clone(&queue.news), carrier.clone());
        lanes.insert(origin, queue);
        drop(lanes);
        carrier.spawn(lane.run());
        Ok(())
    }

    /// What the counters say.
    #[must_use]
    pub fn counters(&self) -> OutboxCounters {
        let counts = self.ended.iter().map(|counter| counter.load(Relaxed));
        OutboxCounters {
            requests: Ended::NAMES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect(),
            tries: self.tries.load(Relaxed),
            waiting: self.messages.load(Relaxed),
            waiting_bytes: self.bytes.load(Relaxed),
        }
    }

    fn take(self: &Arc<Self>, bytes: usize, room: Room) -> Result<Place, Refused> {
        let more = |count: usize| (count < room.messages).then(|| count.saturating_add(1));
        if self.messages.fetch_update(Relaxed, Relaxed, more).is_err() {
            return Err(Refused::Full(format!("{} requests wait, limit {} (outbox_messages)", room.messages, room.messages)));
        }
        let more = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= room.bytes);
        if let Err(held) = self.bytes.fetch_update(Relaxed, Relaxed, more) {
            self.messages.fetch_sub(1, Relaxed);
            return Err(Refused::Full(format!("{bytes} bytes more than {held} that wait, limit {} (outbox_bytes)", room.bytes)));
        }
        Ok(Place { outbox: Arc::clone(self), bytes })
    }

    fn count(&self, ended: Ended) {
        if let Some(counter) = self.ended.get(ended as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

impl Letter {
    fn size(&self) -> usize {
        let Request { url, headers, body, .. } = &self.request;
        OVERHEAD.saturating_add(url.len()).saturating_add(headers.wire_len()).saturating_add(body.len())
    }
}

impl Ended {
    /// In the order in which they are declared.
    const NAMES: [&'static str; 6] = ["delivered", "rejected", "expired", "lost", "full", "revoked"];
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            lanes: Mutex::default(),
            messages: AtomicUsize::default(),
            bytes: AtomicUsize::default(),
            ended: Default::default(),
            tries: AtomicU64::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self { messages: 1_000, bytes: 4 << 20 }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Outbox").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.outbox.messages.fetch_sub(1, Relaxed);
        self.outbox.bytes.fetch_sub(self.bytes, Relaxed);
    }
}
