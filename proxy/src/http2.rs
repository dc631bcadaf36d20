//! HTTP/2 messages as hyper has them, and as the core has them.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::http::{Body, BodyError, Field, Headers, body::Peer};

/// Fields in the order in which names first appeared.
#[must_use]
pub fn from_map(map: &HeaderMap) -> Headers {
    let mut headers = Headers::with_capacity(map.len() + 4);
    for (name, value) in map {
        // Values that no HTTP/1 message could carry are left out rather than handed on (RFC 9113, 8.2.1).
        let value = Bytes::copy_from_slice(value.as_bytes().trim_ascii());
        if let Ok(field) = Field::new(Bytes::copy_from_slice(name.as_str().as_bytes()), value) {
            headers.push(field);
        }
    }
    headers
}

/// Fields with lower-case names. `None` if there are more than a map can hold.
#[must_use]
pub fn into_map(headers: &Headers) -> Option<HeaderMap> {
    let mut map = HeaderMap::try_with_capacity(headers.len()).ok()?;
    for field in headers {
        let name = HeaderName::from_bytes(field.name()).ok()?;
        let value = HeaderValue::from_maybe_shared(field.value_bytes()).ok()?;
        map.try_append(name, value).ok()?;
    }
    Some(map)
}

/// A body that arrives over HTTP/2. It is whole where the peer has ended the stream: a reset or a GOAWAY with `NO_ERROR` before
/// that breaks it off like any other, also where the response came before the request's end (RFC 9113, 8.1).
#[must_use]
pub fn body(incoming: Incoming, peer: Peer) -> Body {
    if incoming.is_end_stream() { Body::empty() } else { Body::stream(Arriving { incoming, peer }) }
}

/// The error of the core's own body that made hyper give up, if that is why.
#[must_use]
pub fn body_error(error: &hyper::Error) -> Option<BodyError> {
    cause::<BodyError>(error).cloned()
}

/// The first cause of this type.
#[must_use]
pub fn cause<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    std::iter::successors(error.source(), |&cause| cause.source()).find_map(|cause| cause.downcast_ref())
}

/// The error with its causes, in one line.
#[must_use]
pub fn describe(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

struct Arriving {
    incoming: Incoming,
    peer: Peer,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(context));
        match frame {
            // hyper takes `NO_ERROR` for an end, wherever it comes; h2 remembers END_STREAM over what comes after it.
            None if !self.incoming.is_end_stream() => Poll::Ready(Some(Err(BodyError::Aborted(self.peer)))),
            frame => Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyError::Aborted(self.peer)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
