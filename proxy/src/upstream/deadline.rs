//! How long a response may take: counted from the last piece of the request that went out.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::http::{Body, BodyError};

/// Passes when for `timeout` neither the request moved nor a response came.
pub(super) struct Deadline {
    moved: Arc<Mutex<Instant>>,
    timeout: Duration,
}

/// A body that puts the deadline off with every piece.
struct Paced {
    inner: Body,
    moved: Arc<Mutex<Instant>>,
}

impl Deadline {
    /// A deadline and the body to send in place of `body`.
    pub(super) fn over(body: Body, timeout: Duration) -> (Self, Body) {
        let moved = Arc::new(Mutex::new(Instant::now()));
        let is_known = body.try_clone().is_some();
        let deadline = Self { moved: Arc::clone(&moved), timeout };
        (deadline, if is_known { body } else { Body::stream(Paced { inner: body, moved }) })
    }

    /// Waits until the deadline has passed.
    pub(super) async fn passed(&self) {
        loop {
            let until = *self.moved.lock() + self.timeout;
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        *self.moved.lock() = Instant::now();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
