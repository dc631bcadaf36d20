//! Requests of one addon to one origin.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, OptionFuture};
use tokio::{
    sync::{AcquireError, Notify, OwnedSemaphorePermit, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Ended, Kept, Letter, Outbox,
    carrier::{Answer, Carrier, Granted},
    pause::Pause,
};
use crate::outbound::Error;

/// Sends what is in its queue, until there is no more.
pub(super) struct Lane {
    outbox: Arc<Outbox>,
    addon: Arc<str>,
    origin: Box<str>,
    news: Arc<Notify>,
    carrier: Carrier,
    /// Those that failed, by when they are tried again.
    later: BTreeMap<(Instant, u64), Kept>,
    failed: u64,
    under_way: JoinSet<Try>,
    pause: Pause,
    told: Option<Instant>,
    granted: watch::Receiver<Granted>,
    /// While there is no turn for one more try.
    turn: Option<BoxFuture<'static, Result<Turn, AcquireError>>>,
}

/// One of the tries that an outbox may have under way.
type Turn = OwnedSemaphorePermit;

/// A try that ended.
struct Try {
    kept: Kept,
    began: Instant,
    result: Result<Answer, Error>,
}

/// What is waited for besides news and the ends of tries.
enum Next {
    /// Nothing is left.
    End,
    /// Nothing else.
    Nothing,
    Time(Instant),
}

/// What a try says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Delivered,
    /// No other try will do better.
    Rejected,
    /// This request may do better later; others may do well.
    Later,
    /// The origin takes nothing for now.
    Pause(Option<Duration>),
}

/// Tries to one origin at one time.
const WIDTH: usize = 8;
/// How often the log tells of rejected requests at most.
const TELL_EVERY: Duration = Duration::from_mins(1);

impl Lane {
    pub(super) fn new(outbox: Arc<Outbox>, addon: Arc<str>, origin: Box<str>, news: Arc<Notify>, carrier: Carrier) -> Self {
        let (later, under_way, pause, granted) = (BTreeMap::new(), JoinSet::new(), Pause::default(), carrier.granted());
        Self { outbox, addon, origin, news, carrier, later, failed: 0, under_way, pause, told: None, granted, turn: None }
    }

    pub(super) async fn run(mut self) {
        let mut given = None;
        loop {
            if self.granted.has_changed().unwrap_or_default() {
                self.drop_revoked();
            }
            let wake = match self.start(given.take()) {
                Next::End => return,
                Next::Nothing => None,
                Next::Time(time) => Some(time),
            };
            let closing = self.carrier.closing().clone();
            tokio::select! {
                Some(ended) = self.under_way.join_next() => self.ended(ended),
                () = self.news.notified() => {}
                Some(turn) = OptionFuture::from(self.turn.as_mut()) => {
                    self.turn = None;
                    given = turn.ok();
                }
                Ok(()) = self.granted.changed() => self.granted.mark_changed(),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                () = closing.cancelled(), if wake.is_some() => {}
            }
        }
    }

    /// Begins as many tries as may be, the first one with a turn that was `given`.
    fn start(&mut self, mut given: Option<Turn>) -> Next {
        let is_closing = self.carrier.closing().is_cancelled();
        let now = Instant::now();
        let pause = self.pause.until(now).filter(|_| !is_closing);
        let width = if self.pause.is_failing() && !is_closing { 1 } else { WIDTH };
        while pause.is_none() && self.under_way.len() < width {
            if !self.has_next(now, is_closing) {
                break;
            }
            let turns = &self.outbox.turns;
            // One after the other, in the order in which lanes ask: those to many silent servers do not keep the others away.
            let Some(turn) = given.take().or_else(|| Arc::clone(turns).try_acquire_owned().ok()) else {
                self.turn.get_or_insert_with(|| Box::pin(Arc::clone(turns).acquire_owned()));
                return Next::Nothing;
            };
            let Some(mut kept) = self.next(now, is_closing) else { break };
            if kept.expires <= now {
                self.outbox.count(Ended::Expired);
                given = Some(turn);
                continue;
            }
            if !self.is_granted(&mut kept.letter) {
                self.revoked(1);
                given = Some(turn);
                continue;
            }
            kept.tries = kept.tries.saturating_add(1);
            self.outbox.tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let sending = self.carrier.send(kept.letter.clone());
            self.under_way.spawn(async move {
                let began = Instant::now();
                let result = sending.await;
                drop(turn);
                Try { kept, began, result }
            });
        }
        self.turn = None;
        if self.under_way.is_empty() && self.later.is_empty() && self.is_over() {
            return Next::End;
        }
        let due = self.later.first_key_value().map(|((due, _), _)| *due);
        match pause.or(due) {
            Some(time) if self.under_way.len() < width => Next::Time(time),
            _ => Next::Nothing,
        }
    }

    /// The next one to be tried. While the origin fails, one that did not fail yet: it may be the others that it can't take.
    fn next(&mut self, now: Instant, is_closing: bool) -> Option<Kept> {
        if self.pause.is_failing()
            && let Some(fresh) = self.fresh()
        {
            return Some(fresh);
        }
        let is_due = self.later.first_key_value().is_some_and(|((due, _), _)| is_closing || *due <= now);
        let due = if is_due { self.later.pop_first().map(|(_, kept)| kept) } else { None };
        due.or_else(|| self.fresh())
    }

    /// Whether there is one to be tried.
    fn has_next(&self, now: Instant, is_closing: bool) -> bool {
        self.later.first_key_value().is_some_and(|((due, _), _)| is_closing || *due <= now)
            || self.outbox.lanes.lock().get(&self.origin).is_some_and(|queue| !queue.letters.is_empty())
    }

    /// Whether the configuration of now grants it; from now on it goes by that.
    fn is_granted(&self, letter: &mut Letter) -> bool {
        letter.caller.grants = self.granted.borrow().get(&*self.addon).cloned().unwrap_or_default();
        self.carrier.check(letter).is_ok()
    }

    /// Drops what waits and is not granted any more.
    fn drop_revoked(&mut self) {
        self.granted.mark_unchanged();
        let fresh = self.outbox.lanes.lock().get_mut(&self.origin).map(|queue| std::mem::take(&mut queue.letters));
        let (mut fresh, mut later) = (fresh.unwrap_or_default(), std::mem::take(&mut self.later));
        let before = fresh.len().saturating_add(later.len());
        fresh.retain_mut(|kept| self.is_granted(&mut kept.letter));
        later.retain(|_, kept| self.is_granted(&mut kept.letter));
        self.revoked(before.saturating_sub(fresh.len()).saturating_sub(later.len()));
        self.later = later;
        if let Some(queue) = self.outbox.lanes.lock().get_mut(&self.origin) {
            // What came meanwhile is behind them.
            fresh.append(&mut queue.letters);
            queue.letters = fresh;
        }
    }

    fn revoked(&self, count: usize) {
        if count > 0 {
            (0..count).for_each(|_| self.outbox.count(Ended::Revoked));
            let (addon, origin) = (&*self.addon, &*self.origin);
            tracing::warn!(addon.name = addon, origin, count, "requests of an outbox are dropped: they are not granted any more");
        }
    }

    fn fresh(&self) -> Option<Kept> {
        self.outbox.lanes.lock().get_mut(&self.origin)?.letters.pop_front()
    }

    /// Whether the queue is empty: then the lane is no more, and the next request gets a new one.
    fn is_over(&self) -> bool {
        let mut lanes = self.outbox.lanes.lock();
        let is_over = lanes.get(&self.origin).is_none_or(|queue| queue.letters.is_empty());
        if is_over {
            lanes.remove(&self.origin);
        }
        is_over
    }

    fn ended(&mut self, ended: Result<Try, JoinError>) {
        let Ok(Try { kept, began, result }) = ended else {
            self.outbox.count(Ended::Lost);
            return;
        };
        let now = Instant::now();
        let verdict = Verdict::of(&result);
        if let Verdict::Pause(asked) = verdict {
            if self.pause.failed(began, now, asked, self.carrier.waits()) {
                let (addon, origin, why) = (&*self.addon, &*self.origin, why(&result));
                tracing::warn!(addon.name = addon, origin, why, "requests of an outbox wait: nothing is taken there");
            }
        } else if self.pause.went_well() {
            tracing::info!(addon.name = &*self.addon, origin = &*self.origin, "requests of an outbox are taken again");
        }
        match verdict {
            Verdict::Delivered => self.outbox.count(Ended::Delivered),
            Verdict::Rejected => {
                self.outbox.count(Ended::Rejected);
                if self.told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY) {
                    self.told = Some(now);
                    let (addon, origin, why) = (&*self.addon, &*self.origin, why(&result));
                    tracing::warn!(addon.name = addon, origin, why, "a request of an outbox was rejected, and is not sent again");
                }
            }
            Verdict::Later | Verdict::Pause(_) if self.carrier.closing().is_cancelled() => self.outbox.count(Ended::Lost),
            Verdict::Later | Verdict::Pause(_) => {
                let due = now.checked_add(self.carrier.waits().after(kept.tries)).unwrap_or(now);
                // Who is over before that is over now: the room is for others.
                if due >= kept.expires {
                    self.outbox.count(Ended::Expired);
                } else {
                    self.failed = self.failed.wrapping_add(1);
                    self.later.insert((due, self.failed), kept);
                }
            }
        }
    }
}

impl Verdict {
    const fn of(result: &Result<Answer, Error>) -> Self {
        match result {
            Ok(answer) => match answer.status {
                200..=299 => Self::Delivered,
                408 | 425 | 429 | 502 | 503 | 504 => Self::Pause(answer.retry_after),
                500..=599 => Self::Later,
                _ => Self::Rejected,
            },
            Err(Error::Denied(_) | Error::Invalid(_) | Error::TooLarge(_)) => Self::Rejected,
            Err(_) => Self::Pause(None),
        }
    }
}

fn why(result: &Result<Answer, Error>) -> String {
    match result {
        Ok(answer) => format!("it answers {}", answer.status),
        Err(error) => error.to_string(),
    }
}
