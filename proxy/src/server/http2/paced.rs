//! Bodies of responses that clients must keep taking.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::activity::Active;
use crate::http::{Body, BodyError, body::Peer};

type Frames = Option<Result<Frame<Bytes>, BodyError>>;

/// A response's body on its way to an HTTP/2 client.
///
/// hyper asks for a piece when the client has room for it, and not at all while it has none. When it does not ask for
/// longer than `patience` the flow ends: its upstream is free at once, and the stream is reset as soon as the client takes
/// what it was sent before. No other stream of the connection notices.
pub(super) struct Paced {
    state: State,
    patience: Option<Duration>,
}

enum State {
    /// So far hyper asked for all there was.
    Direct(Body, Active),
    /// A task looks at the clock.
    Watched(Arc<Mutex<Watched>>),
    Ended,
}

struct Watched {
    /// None when patience was at its end.
    body: Option<(Body, Active)>,
    /// When the last piece was handed on, until the next one is asked for.
    handed: Option<Instant>,
}

impl Paced {
    /// Hands on `body`; the flow goes on as long as that. Without `patience` it waits for ever.
    pub(super) const fn new(body: Body, active: Active, patience: Option<Duration>) -> Self {
        Self { state: State::Direct(body, active), patience }
    }

    /// Polls a body that nobody watches, and has it watched if it goes on.
    fn poll_direct(&mut self, context: &mut Context<'_>) -> Poll<Frames> {
        let State::Direct(body, _) = &mut self.state else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(context);
        if let (Poll::Ready(Some(Ok(_))), Some(patience)) = (&polled, self.patience)
            && !body.is_end_stream()
            && let State::Direct(body, active) = mem::replace(&mut self.state, State::Ended)
        {
            let watched = Watched { body: Some((body, active)), handed: Some(Instant::now()) };
            let watched = Arc::new(Mutex::new(watched));
            tokio::spawn(watch(Arc::downgrade(&watched), patience));
            self.state = State::Watched(watched);
        }
        polled
    }
}

impl Watched {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Frames> {
        self.handed = None;
        let Some((body, _)) = &mut self.body else { return Poll::Ready(Some(Err(BodyError::Idle(Peer::Client)))) };
        let polled = Pin::new(body).poll_frame(context);
        if let Poll::Ready(Some(Ok(_))) = polled {
            self.handed = Some(Instant::now());
        }
        polled
    }
}

/// Ends the flow when the client takes nothing for too long.
async fn watch(watched: Weak<Mutex<Watched>>, patience: Duration) {
    let mut until = Instant::now() + patience;
    loop {
        sleep_until(until).await;
        let Some(watched) = watched.upgrade() else { return };
        let mut watched = watched.lock();
        until = watched.handed.unwrap_or_else(Instant::now) + patience;
        if until <= Instant::now() {
            let body = watched.body.take();
            drop(watched);
            drop(body);
            return;
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Frames> {
        match &self.state {
            State::Direct(..) => self.poll_direct(context),
            State::Watched(watched) => watched.lock().poll(context),
            State::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Direct(body, _) => body.is_end_stream(),
            State::Watched(watched) => watched.lock().body.as_ref().is_some_and(|(body, _)| body.is_end_stream()),
            State::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Direct(body, _) => body.size_hint(),
            State::Watched(watched) => watched.lock().body.as_ref().map_or_else(SizeHint::default, |(body, _)| body.size_hint()),
            State::Ended => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::{super::activity::Activity, *};

    const PATIENCE: Duration = Duration::from_millis(20);

    fn paced(activity: &Arc<Activity>, patience: Option<Duration>) -> Paced {
        let pieces: [Result<_, BodyError>; 3] =
            ["a", "b", "c"].map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
        let body = Body::stream(StreamBody::new(futures_util::stream::iter(pieces)));
        Paced::new(body, activity.begin(), patience)
    }

    #[tokio::test]
    async fn clients_that_take_get_all() {
        for patience in [None, Some(Duration::from_mins(1))] {
            let all = paced(&Activity::new(), patience).collect().await.expect("a body");
            assert_eq!(all.to_bytes(), "abc");
        }
    }

    #[tokio::test]
    async fn clients_that_stall_end_the_flow() {
        let activity = Activity::new();
        let mut body = paced(&activity, Some(PATIENCE));
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        let start = Instant::now();
        activity.idle(Duration::ZERO).await;
        assert!(start.elapsed() >= PATIENCE);
        assert!(matches!(body.frame().await, Some(Err(BodyError::Idle(Peer::Client)))));
    }
}
