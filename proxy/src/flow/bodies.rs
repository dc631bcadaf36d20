//! Bodies on their way through a flow: counted, limited, timed, and with the flow's end at their end.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::record::{Ending, Record};
use crate::{
    hooks::{FailureKind, UpstreamFailure},
    http::{Body, BodyError, body::Peer},
    http1::framing::may_have_body,
};

/// A request's body: limited, and never idle for too long.
pub(super) struct FromClient {
    inner: Body,
    record: Arc<Record>,
    left: u64,
}

/// A response's body as the upstream sends it: limited.
struct FromUpstream {
    inner: Body,
    left: u64,
    limit: u64,
}

/// What is wrong with a response whose body is known to be over the limit.
pub(super) fn announces_too_much(record: &Record, status: StatusCode, body: &Body) -> Option<UpstreamFailure> {
    let limit = record.site.response_body()?;
    let length = body.size_hint().exact()?;
    let messages = record.exchange.lock();
    // Lengths that are told without a body, as to HEAD, are of no body.
    if length <= limit || !may_have_body(&messages.request.head.method, status) {
        return None;
    }
    let reason = BodyError::TooLarge(limit).to_string();
    let message = format!("{}: {reason}", messages.request.upstream);
    Some(UpstreamFailure { kind: FailureKind::Protocol, message, reason })
}

/// Fails with [`BodyError::TooLarge`] beyond so many bytes; none: no limit.
pub(super) fn at_most(body: Body, limit: Option<u64>) -> Body {
    match limit {
        Some(limit) if !body.is_end_stream() => Body::stream(FromUpstream { inner: body, left: limit, limit }),
        _ => body,
    }
}

/// A response's body: the flow ends with it.
pub(super) struct ToClient {
    inner: Body,
    ending: Option<Ending>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether an addon that stops the request's body breaks this one off: not its own answer to that.
    can_be_stopped: bool,
}

impl FromClient {
    /// Watches over a body that arrives; one that is known needs no watch.
    pub(super) fn watch(body: Body, record: &Arc<Record>) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let site = &record.site;
        Body::stream(Self {
            inner: body.not_idle(Peer::Client, site.timeouts.body_idle),
            left: site.limits.request_body.unwrap_or(u64::MAX),
            record: Arc::clone(record),
        })
    }
}

impl HttpBody for FromClient {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let len = data.len() as u64;
            this.record.request_bytes.fetch_add(len, Relaxed);
            if let Some(tape) = &this.record.tape {
                tape.take_request(data);
            }
            if let Some(left) = this.left.checked_sub(len) {
                this.left = left;
            } else {
                let limit = this.record.site.limits.request_body.unwrap_or(u64::MAX);
                return Poll::Ready(Some(Err(BodyError::TooLarge(limit))));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl HttpBody for FromUpstream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(length) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Some(Err(BodyError::TooLarge(self.limit)))),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl ToClient {
    /// Ends the flow with this body.
    pub(super) fn watch(body: Body, ending: Ending, deadline: Option<Instant>) -> Body {
        let deadline = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        let can_be_stopped = ending.record().stopper().is_none();
        Body::stream(Self { inner: body, ending: Some(ending), deadline, can_be_stopped })
    }

    fn end(&mut self) {
        if let Some(mut ending) = self.ending.take() {
            ending.complete();
        }
    }
}

impl HttpBody for ToClient {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.can_be_stopped
            && let Some(why) = this.ending.as_ref().and_then(|ending| ending.record().stopped_why())
        {
            // What has failed there noted why.
            this.ending = None;
            return Poll::Ready(Some(Err(BodyError::Stopped(why))));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            if let Some(deadline) = &mut this.deadline {
                ready!(deadline.as_mut().poll(context));
                if let Some(ending) = &this.ending {
                    ending.record().fail(BodyError::Lifetime.to_string());
                }
                return Poll::Ready(Some(Err(BodyError::Lifetime)));
            }
            return Poll::Pending;
        };
        match &frame {
            None => this.end(),
            Some(Ok(frame)) => {
                if let (Some(data), Some(ending)) = (frame.data_ref(), &this.ending) {
                    let record = ending.record();
                    record.response_bytes.fetch_add(data.len() as u64, Relaxed);
                    if let Some(tape) = &record.tape {
                        tape.take_response(data);
                    }
                }
            }
            Some(Err(error)) => {
                if let Some(ending) = this.ending.take() {
                    ending.record().fail(error.to_string());
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ToClient {
    fn drop(&mut self) {
        // Whoever sees that nothing is left need not poll for it.
        if self.inner.is_end_stream() {
            self.end();
        }
    }
}
