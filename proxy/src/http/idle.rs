//! Bodies that must not stand still.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::{Body, BodyError, body::Peer};

/// A body that fails when nothing of it comes for so long after it was asked for.
struct Watched {
    inner: Body,
    peer: Peer,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Body {
    /// Fails with [`BodyError::Idle`] when the next piece does not come within `patience` of being asked for; none: waits for
    /// ever. Time in which nobody asks, since the other side takes nothing, does not count.
    #[must_use]
    pub fn not_idle(self, peer: Peer, patience: Option<Duration>) -> Self {
        match patience {
            Some(patience) if self.try_clone().is_none() => Self::stream(Watched { inner: self, peer, patience, timer: None }),
            _ => self,
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            this.timer = None;
            return Poll::Ready(frame);
        }
        ready!(this.timer.get_or_insert_with(|| Box::pin(sleep(this.patience))).as_mut().poll(context));
        Poll::Ready(Some(Err(BodyError::Idle(this.peer))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
