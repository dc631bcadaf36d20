//! The reading side of a client's HTTP/1 connection: heads for the connection, the body for the flow, and the news that the
//! client went away for both.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::Method;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;

use super::interim::Interims;
use crate::{
    http::{Body, BodyError, body::Peer},
    http1::{Decoded, Decoder, Framing, HeadLimits, Reader, decode::DecodeError, read::ReadError},
};

/// Bytes of later requests that are read while one is answered.
const MAX_EARLY: usize = 64 * 1024;

/// Shared between a connection and the body of its current request.
#[derive(Clone)]
pub(super) struct Input(Arc<Mutex<Inner>>);

struct Inner {
    reader: Reader,
    decoder: Decoder,
    /// Set when the client waits for 100 (Continue), until the body is first asked for.
    waits: Option<Interims>,
    is_broken: bool,
    /// Number of the request: a body that outlives its request must not read from the next one's.
    epoch: u64,
    /// Woken when the body is complete, so that the connection looks out for the client from then on.
    watcher: Option<Waker>,
}

impl Input {
    /// Reads from a fresh connection.
    pub(super) fn new(reader: Reader) -> Self {
        let decoder = Decoder::new(Framing::None, HeadLimits::default());
        Self(Arc::new(Mutex::new(Inner { reader, decoder, waits: None, is_broken: false, epoch: 0, watcher: None })))
    }

    /// Waits for the first byte of a head.
    pub(super) fn poll_first(&self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut inner = self.0.lock();
        if inner.reader.buffer.is_empty() {
            let read = ready!(inner.reader.poll_fill(context, 8 * 1024))?;
            return Poll::Ready(Ok(read > 0));
        }
        Poll::Ready(Ok(true))
    }

    /// Reads a head.
    pub(super) fn poll_head(&self, context: &mut Context<'_>, limits: HeadLimits) -> Poll<Result<Bytes, ReadError>> {
        self.0.lock().reader.poll_head(context, limits)
    }

    /// The method of a head that could not be read.
    pub(super) fn method(&self) -> Method {
        method_of(&self.0.lock().reader.buffer)
    }

    /// The body that follows the head. If the client `waits`, asking for the body sends it 100 (Continue).
    pub(super) fn begin(&self, framing: Framing, limits: HeadLimits, waits: Option<Interims>) -> Body {
        let mut inner = self.0.lock();
        inner.decoder = Decoder::new(framing, limits);
        inner.epoch += 1;
        let epoch = inner.epoch;
        inner.waits = waits.filter(|_| !inner.decoder.is_ended());
        if inner.decoder.is_ended() { Body::empty() } else { Body::stream(RequestBody { input: self.clone(), epoch }) }
    }

    /// Whether the whole body was read.
    pub(super) fn is_complete(&self) -> bool {
        let inner = self.0.lock();
        inner.decoder.is_ended() && !inner.is_broken
    }

    /// Whether the client still waits for 100 (Continue): then its body may never come.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.lock().waits.is_some()
    }

    /// Whether what came is no body: then nobody knows where the next request would begin.
    pub(super) fn is_broken(&self) -> bool {
        self.0.lock().is_broken
    }

    /// Whether bytes came beyond the request.
    pub(super) fn has_more(&self) -> bool {
        !self.0.lock().reader.buffer.is_empty()
    }

    /// Ready when the client has closed its side or the connection is lost, after a complete request. A client that sends
    /// another request early is there.
    pub(super) fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.lock();
        if !inner.decoder.is_ended() {
            inner.watcher = Some(context.waker().clone());
            return Poll::Pending;
        }
        // What comes early is kept, up to a bound: beyond it nobody can tell whether the client is still there.
        while inner.reader.buffer.len() < MAX_EARLY {
            match ready!(inner.reader.poll_fill(context, 8 * 1024)) {
                Ok(read) if read > 0 => {}
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Reads and throws away what is left of the body, `budget` bytes at most.
    pub(super) fn poll_drain(&self, context: &mut Context<'_>, budget: &mut usize) -> Poll<Result<(), BodyError>> {
        let mut inner = self.0.lock();
        loop {
            match ready!(inner.poll_decode(context))? {
                Decoded::Data(data) => match budget.checked_sub(data.len()) {
                    Some(left) => *budget = left,
                    None => return Poll::Ready(Err(BodyError::TooLarge(0))),
                },
                Decoded::Trailers(_) | Decoded::End | Decoded::More => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Reads and throws away whatever comes, until the client closes.
    pub(super) fn poll_discard(&self, context: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        let mut inner = self.0.lock();
        loop {
            *budget = budget.saturating_sub(inner.reader.buffer.len());
            inner.reader.buffer.clear();
            if *budget == 0 {
                return Poll::Ready(());
            }
            match ready!(inner.reader.poll_fill(context, 16 * 1024)) {
                Ok(read) if read > 0 => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    /// The reader, once nothing else shares it.
    pub(super) fn into_reader(self) -> Option<Reader> {
        Arc::into_inner(self.0).map(|inner| inner.into_inner().reader)
    }
}

/// What matters of the method of bytes that are no head: whether its refusal may have a body. GET stands for all that may.
pub(super) fn method_of(bytes: &[u8]) -> Method {
    if bytes.starts_with(b"HEAD ") { Method::HEAD } else { Method::GET }
}

impl Inner {
    fn poll_decode(&mut self, context: &mut Context<'_>) -> Poll<Result<Decoded, BodyError>> {
        if self.is_broken {
            return Poll::Ready(Err(BodyError::Aborted(Peer::Client)));
        }
        if let Some(interims) = self.waits.take() {
            interims.push_continue();
        }
        loop {
            let error = match self.reader.decode(&mut self.decoder) {
                Ok(Decoded::More) => match ready!(self.reader.poll_fill_body(context, self.decoder.remaining())) {
                    Ok(_) => continue,
                    Err(_) => BodyError::Aborted(Peer::Client),
                },
                Ok(decoded) => {
                    if self.decoder.is_ended()
                        && let Some(watcher) = self.watcher.take()
                    {
                        watcher.wake();
                    }
                    return Poll::Ready(Ok(decoded));
                }
                Err(DecodeError::Malformed(why)) => BodyError::Malformed(Peer::Client, why),
                Err(DecodeError::Truncated) => BodyError::Aborted(Peer::Client),
            };
            self.is_broken = true;
            return Poll::Ready(Err(error));
        }
    }
}

/// The body of the current request.
struct RequestBody {
    input: Input,
    epoch: u64,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut inner = self.input.0.lock();
        if inner.epoch != self.epoch {
            return Poll::Ready(Some(Err(BodyError::Aborted(Peer::Client))));
        }
        let decoded = ready!(inner.poll_decode(context));
        Poll::Ready(match decoded {
            Ok(Decoded::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Decoded::Trailers(trailers)) => crate::http2::into_map(&trailers).map(|trailers| Ok(Frame::trailers(trailers))),
            Ok(Decoded::End | Decoded::More) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        let inner = self.input.0.lock();
        inner.epoch == self.epoch && inner.decoder.is_ended() && !inner.is_broken
    }

    fn size_hint(&self) -> SizeHint {
        self.input.0.lock().decoder.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
