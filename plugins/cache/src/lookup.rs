//! What becomes of a request: an answer, or the upstream is asked.

use std::{
    thread,
    time::{Duration, Instant},
};

use tollgate_sdk::{MadeResponse, Refusal, Request, RequestVerdict, kv, log};

use crate::{
    asked::Asked,
    entry::Use,
    fields,
    options::Settings,
    serve,
    status::{Forward, Status},
    store::{self, Found, Kept, Lock},
};

/// A request that goes to the upstream, whose answer may be kept.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) asked: Asked,
    pub(crate) why: Forward,
    pub(crate) epoch: String,
    /// If others wait for it.
    pub(crate) lock: Option<Lock>,
    /// What is kept, and not fresh enough.
    pub(crate) kept: Option<Kept>,
    /// Whether the upstream is asked if that still holds.
    pub(crate) is_validating: bool,
}

/// What is to be done about a request.
#[derive(Debug)]
pub(crate) enum Looked {
    Answer(MadeResponse),
    Fetch(Box<Fetch>),
}

/// What is kept, looked at for one request.
enum Step {
    Answer(MadeResponse),
    /// The upstream is to be asked, and others that ask the same may wait for it.
    Ask {
        why: Forward,
        can_wait: bool,
    },
}

/// Between two looks at what another flow has got; grows up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(80));

/// Looks a request up, and waits for others that ask the same.
pub(crate) fn look(asked: Asked, settings: &Settings) -> Result<Looked, kv::Error> {
    let begun = Instant::now();
    let mut pause = PAUSES.0;
    let mut waited = None;
    loop {
        let mut found = store::find(&asked, settings)?;
        let (why, can_wait) = match step(&asked, &mut found, waited, settings) {
            Step::Answer(made) => return Ok(Looked::Answer(made)),
            Step::Ask { why, can_wait } => (why, can_wait),
        };
        let left = settings.lock_wait.saturating_sub(begun.elapsed());
        let waits = can_wait && !left.is_zero() && !store::is_unkept(&found.question)?;
        if !waits {
            return Ok(found.fetch(asked, why, None));
        }
        if let Some(lock) = store::lock(&found.question, settings.lock_wait)? {
            // Since the look before, the one that had it may have got the answer.
            let mut found = store::find(&asked, settings)?;
            return match step(&asked, &mut found, waited.or(Some(why)), settings) {
                Step::Answer(made) => store::unlock(&lock, true).map(|()| Looked::Answer(made)),
                Step::Ask { why, .. } => Ok(found.fetch(asked, why, Some(lock))),
            };
        }
        thread::sleep(pause.min(left));
        pause = PAUSES.1.min(pause.saturating_mul(2));
        waited = waited.or(Some(why));
    }
}

fn step(asked: &Asked, found: &mut Found, waited: Option<Forward>, settings: &Settings) -> Step {
    let now = asked.now();
    let miss = if found.has_others { Forward::VaryMiss } else { Forward::UriMiss };
    let (why, is_ever_fresh) = match &found.kept {
        None => (miss, !asked.is_conditional()),
        Some(kept) => match kept.entry.usable(&asked.directives, now) {
            used @ (Use::Fresh | Use::Stale) => {
                let status = match waited {
                    Some(why) if used == Use::Fresh => Status::forward(why).collapsed(),
                    _ => serve::hit(&kept.entry, now),
                };
                let status = settings.status_header.as_ref().map(|name| status.by(name));
                return match found.kept.take() {
                    Some(kept) => Step::Answer(serve::answer(asked, kept.entry, kept.body, status, Vec::new())),
                    None => Step::Ask { why: miss, can_wait: false },
                };
            }
            Use::Expired => (Forward::Stale, kept.entry.is_ever_fresh()),
            Use::Unwanted => (Forward::Request, false),
        },
    };
    if asked.directives.has("only-if-cached") {
        return Step::Answer(unsatisfied(why, settings));
    }
    Step::Ask { why, can_wait: is_ever_fresh && !asked.is_head }
}

/// RFC 9111, 5.2.1.7.
pub(crate) fn unsatisfied(why: Forward, settings: &Settings) -> MadeResponse {
    let made = Refusal::new(504, "M_UNKNOWN", "the request is for what is kept alone, and nothing fitting is").into_response();
    let status = settings.status_header.as_ref().map(|name| Status::forward(why).detail("only-if-cached").by(name));
    status.into_iter().fold(made, |made, status| made.header("Cache-Status", status))
}

impl Found {
    /// The upstream is to be asked.
    fn fetch(self, asked: Asked, why: Forward, lock: Option<Lock>) -> Looked {
        Looked::Fetch(Box::new(Fetch { asked, why, epoch: self.epoch, lock, kept: self.kept, is_validating: false }))
    }
}

impl Fetch {
    /// Makes the request one that asks whether what is kept still holds (RFC 9111, 4.3.1). Then it no longer asks about what the
    /// client has: that is told by what is kept.
    pub(crate) fn validate(&mut self, request: &mut Request) -> RequestVerdict {
        let Some(kept) = self.kept.as_ref().filter(|kept| !self.asked.is_head && kept.entry.has_validator()) else {
            return RequestVerdict::Next;
        };
        let tags: Vec<Vec<u8>> = kept.entry.etag.iter().cloned().collect();
        let dates: Vec<Vec<u8>> = fields::first(&kept.entry.headers, "last-modified").map(<[u8]>::to_vec).into_iter().collect();
        let is_tagged = request.set_header_values("If-None-Match", &tags);
        let is_dated = request.set_header_values("If-Modified-Since", &dates);
        self.is_validating = is_tagged.is_ok() && !tags.is_empty() || is_dated.is_ok() && !dates.is_empty();
        if let Err(error) = is_tagged.and(is_dated) {
            log::warn!("the request can't be made to ask about what is kept: {error}");
        }
        RequestVerdict::Next
    }
}
