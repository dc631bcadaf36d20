//! Interim responses (1xx) on their way to an HTTP/1.1 client, while the final one is awaited.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use http::StatusCode;
use parking_lot::Mutex;

use crate::{http::ResponseHead, upstream::Interim};

/// Interim responses of one request that wait for the connection to write them.
#[derive(Clone, Default)]
pub(super) struct Interims(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    heads: VecDeque<ResponseHead>,
    waker: Option<Waker>,
}

impl Interims {
    /// Queues one and wakes the connection.
    pub(super) fn push(&self, head: ResponseHead) {
        let mut waiting = self.0.lock();
        waiting.heads.push_back(head);
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// Queues 100 (Continue).
    pub(super) fn push_continue(&self) {
        self.push(ResponseHead::new(StatusCode::CONTINUE));
    }

    /// The next one; if there is none, `waker` is woken when one comes.
    pub(super) fn pop(&self, waker: &Waker) -> Option<ResponseHead> {
        let mut waiting = self.0.lock();
        let head = waiting.heads.pop_front();
        if head.is_none() && !waiting.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            waiting.waker = Some(waker.clone());
        }
        head
    }

    /// For the upstream's side.
    pub(super) fn sink(&self) -> Interim {
        let queue = self.clone();
        Arc::new(move |head| queue.push(head))
    }
}
