//! Bodies: streams of bytes with optional trailers.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// A body on its way. Pulling a frame is what lets more come: back-pressure reaches the sender through it.
///
/// Frames are data, then at most one of trailers. Trailers are handed on as an `http::HeaderMap`, whatever the version.
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
}

/// Why a body ended before its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BodyError {
    /// The peer closed or reset the connection or stream within the body.
    #[error("the {0} went away within the body")]
    Aborted(Peer),
    /// The bytes are not what the framing promised.
    #[error("the {0} sent a malformed body: {1}")]
    Malformed(Peer, &'static str),
    /// Over a limit, in bytes.
    #[error("the body is over the limit of {0} bytes")]
    TooLarge(u64),
    /// Nothing came or nothing could be sent for too long.
    #[error("the {0} did not move for too long")]
    Idle(Peer),
    /// A hook that decides about its pieces failed: the addon's name.
    #[error("addon {0} failed")]
    Stopped(Arc<str>),
    /// All flows together hold as much of bodies as they may, in bytes.
    #[error("the proxy holds as many bodies as it may: {0} bytes")]
    Crowded(usize),
    /// The flow took longer than it may as a whole.
    #[error("the flow took too long")]
    Lifetime,
}

/// Whose bytes a body error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The side that asked.
    Client,
    /// The side that answers.
    Upstream,
}

impl Body {
    /// No bytes, no trailers.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// These bytes, no trailers.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Full(bytes)) }
    }

    /// The same body again, if its bytes are known.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        match &self.0 {
            Kind::Empty => Some(Self::empty()),
            Kind::Full(bytes) => Some(Self(Kind::Full(bytes.clone()))),
            Kind::Stream(_) => None,
        }
    }

    /// A body that arrives.
    #[must_use]
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(body)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Stream(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Body({:?})", self.size_hint())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        })
    }
}
