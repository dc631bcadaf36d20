//! How long a response may take: counted from the last piece of the request that went out.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::http::{Body, BodyError};

/// Passes when for `timeout` neither the request moved nor a response came. While the request waits for its sender, the upstream
/// owes nothing.
pub(super) struct Deadline {
    /// Where the request is more than what is known when it starts.
    progress: Option<Arc<Mutex<Progress>>>,
    begun: Instant,
    timeout: Duration,
}

struct Progress {
    moved: Instant,
    waits_for_sender: bool,
    failed: Option<BodyError>,
}

/// A body that puts the deadline off with every piece.
struct Paced {
    inner: Body,
    progress: Arc<Mutex<Progress>>,
}

impl Deadline {
    /// A deadline and the body to send in place of `body`.
    pub(super) fn over(body: Body, timeout: Duration) -> (Self, Body) {
        let begun = Instant::now();
        if body.try_clone().is_some() {
            return (Self { progress: None, begun, timeout }, body);
        }
        let progress = Arc::new(Mutex::new(Progress { moved: begun, waits_for_sender: false, failed: None }));
        (Self { progress: Some(Arc::clone(&progress)), begun, timeout }, Body::stream(Paced { inner: body, progress }))
    }

    /// Why the body of the request came to no end, if it did not.
    pub(super) fn body_error(&self) -> Option<BodyError> {
        self.progress.as_ref()?.lock().failed.clone()
    }

    /// Waits until the deadline has passed.
    pub(super) async fn passed(&self) {
        loop {
            let until = self.moved() + self.timeout;
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Deadline {
    /// When the request moved last, which is now while it waits for its sender.
    fn moved(&self) -> Instant {
        let Some(progress) = &self.progress else { return self.begun };
        let mut progress = progress.lock();
        if progress.waits_for_sender {
            progress.moved = Instant::now();
        }
        progress.moved
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        let failed = if let Poll::Ready(Some(Err(error))) = &frame { Some(error.clone()) } else { None };
        *self.progress.lock() = Progress { moved: Instant::now(), waits_for_sender: frame.is_pending(), failed };
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
