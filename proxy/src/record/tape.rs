//! What a flow leaves behind for its entry.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;

use super::{Loss, Recorder};
use crate::{
    hooks::{Facts, Outcome},
    http::{Field, Headers, Hold, Holdings, RequestHead, ResponseHead},
    upstream::Marks,
};

/// Bytes that a flow counts for beyond those of its messages.
const ROOM: usize = 2 << 10;
/// Bytes that are made room for at first in a body.
const FIRST: usize = 1 << 10;

/// Takes what passes through one flow.
pub(crate) struct Tape {
    recorder: Arc<Recorder>,
    begun: Instant,
    /// As it was received.
    request: RequestHead,
    marks: Arc<Marks>,
    state: Mutex<State>,
}

struct State {
    /// Counts the heads.
    hold: Hold,
    departed: Option<Departed>,
    request: Taken,
    response: Taken,
    is_lost: bool,
    is_unwanted: bool,
}

/// What the client was sent, and since when.
#[derive(Debug, Clone)]
pub(super) struct Departed {
    pub(super) at: Instant,
    pub(super) head: ResponseHead,
    /// Whether bytes follow that are no body.
    pub(super) is_tunnel: bool,
}

/// The first bytes of a body.
pub(super) struct Taken {
    pub(super) bytes: Vec<u8>,
    /// Of all of it.
    pub(super) total: u64,
    /// Whether there was no memory for it: then there are no bytes.
    pub(super) is_crowded: bool,
    hold: Hold,
}

/// Where a request was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Its method then.
    pub(crate) method: Method,
    /// Origin and target.
    pub(crate) url: String,
}

/// A flow that is over.
pub(super) struct Ended {
    pub(super) facts: Arc<Facts>,
    pub(super) outcome: Outcome,
    pub(super) sent: Option<Sent>,
    pub(super) request: RequestHead,
    pub(super) request_body: Taken,
    pub(super) departed: Option<Departed>,
    pub(super) response_body: Taken,
    pub(super) begun: Instant,
    pub(super) steps: crate::upstream::Steps,
    /// Counts the heads until they are written.
    pub(super) _hold: Hold,
}

impl Tape {
    /// None if there is no memory for the head.
    pub(super) fn new(recorder: &Arc<Recorder>, head: &RequestHead) -> Option<Arc<Self>> {
        let mut hold = recorder.holdings.hold();
        let bytes = head.headers.wire_len() + head.target.len() + head.authority.as_str().len();
        hold.grow(bytes + ROOM).ok()?;
        let taken = || Taken::nothing(&recorder.holdings);
        let state = State { hold, departed: None, request: taken(), response: taken(), is_lost: false, is_unwanted: false };
        let request =
            RequestHead { target: Bytes::copy_from_slice(&head.target), headers: copied(&head.headers), ..head.clone() };
        Some(Arc::new(Self {
            recorder: Arc::clone(recorder),
            begun: Instant::now(),
            request,
            marks: Arc::default(),
            state: Mutex::new(state),
        }))
    }

    /// Notes when the steps of the exchange with the upstream are over.
    pub(crate) const fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    /// A piece of the request's body came.
    pub(crate) fn take_request(&self, data: &[u8]) {
        let cap = self.recorder.bodies;
        self.state.lock().request.take(data, cap);
    }

    /// A piece of the response's body goes out.
    pub(crate) fn take_response(&self, data: &[u8]) {
        let cap = self.recorder.bodies;
        self.state.lock().response.take(data, cap);
    }

    /// The head of the response goes out; a tunnel is what follows after an upgrade or CONNECT.
    pub(crate) fn depart(&self, head: &ResponseHead, is_tunnel: bool) {
        let mut state = self.state.lock();
        if state.hold.grow(head.headers.wire_len()).is_err() {
            state.is_lost = true;
            return;
        }
        let head = ResponseHead {
            headers: copied(&head.headers),
            reason: head.reason.as_deref().map(Bytes::copy_from_slice),
            ..head.clone()
        };
        state.departed = Some(Departed { at: Instant::now(), head, is_tunnel });
    }

    /// Nobody wants to have it.
    pub(crate) fn discard(&self) {
        self.state.lock().is_unwanted = true;
    }

    /// The flow is over.
    pub(crate) fn finish(&self, facts: &Arc<Facts>, outcome: &Outcome, sent: impl FnOnce() -> Sent) {
        let steps = self.marks.steps();
        let fresh = || Taken::nothing(&self.recorder.holdings);
        let mut state = self.state.lock();
        if state.is_unwanted {
            return;
        }
        if state.is_lost {
            return self.recorder.counts.lose(Loss::Memory);
        }
        let ended = Ended {
            facts: Arc::clone(facts),
            outcome: outcome.clone(),
            sent: steps.asked.map(|_| sent()),
            request: self.request.clone(),
            request_body: std::mem::replace(&mut state.request, fresh()),
            departed: state.departed.take(),
            response_body: std::mem::replace(&mut state.response, fresh()),
            begun: self.begun,
            steps,
            _hold: std::mem::replace(&mut state.hold, self.recorder.holdings.hold()),
        };
        drop(state);
        self.recorder.submit(ended);
    }
}

impl Taken {
    /// Nothing came yet.
    fn nothing(holdings: &Arc<Holdings>) -> Self {
        Self { bytes: Vec::new(), total: 0, is_crowded: false, hold: holdings.hold() }
    }

    /// A body that came in one piece.
    #[cfg(test)]
    pub(super) fn of(body: &[u8], cap: usize, holdings: &Arc<Holdings>) -> Self {
        let mut taken = Self::nothing(holdings);
        taken.take(body, cap);
        taken
    }

    /// Keeps as much as may be kept.
    fn take(&mut self, data: &[u8], cap: usize) {
        self.total += data.len() as u64;
        let room = cap.saturating_sub(self.bytes.len());
        let data = data.get(..room).unwrap_or(data);
        if self.is_crowded || data.is_empty() {
            return;
        }
        let needed = self.bytes.len() + data.len();
        if needed > self.bytes.capacity() {
            // Twice as much, so that a body in many pieces is not copied for each; where there is no room for that, as much as is.
            let twice = needed.max(self.bytes.capacity().saturating_mul(2)).max(FIRST).min(cap);
            let held = self.bytes.capacity();
            let Some(wanted) = [twice, needed].into_iter().find(|wanted| self.hold.grow(wanted.saturating_sub(held)).is_ok())
            else {
                self.is_crowded = true;
                self.bytes = Vec::new();
                self.hold.give_back();
                return;
            };
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
    }

    /// Whether bytes are missing at the end.
    pub(super) fn is_cut(&self) -> bool {
        self.total > self.bytes.len() as u64
    }
}

/// The same fields in memory of their own: what was read with them can go.
fn copied(headers: &Headers) -> Headers {
    let all: Bytes = headers.iter().flat_map(|field| [field.name(), field.value()]).collect::<Vec<_>>().concat().into();
    let mut place = 0;
    let mut next = |len: usize| {
        place += len;
        all.slice(place - len..place)
    };
    headers.iter().filter_map(|field| Field::new(next(field.name().len()), next(field.value().len())).ok()).collect()
}
