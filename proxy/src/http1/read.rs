//! The reading side of a connection: a buffer over a stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use super::{Decoded, Decoder, HeadLimits, ParseError, amount::Amount, decode::DecodeError, parse};

/// A stream to read from.
pub type ReadSide = Box<dyn AsyncRead + Send + Unpin>;

/// How much is read at once while heads are awaited.
const HEAD_READ: usize = 8 * 1024;
/// What is waited with is copied if it is no more than this: it may be the end of a large buffer.
const LITTLE: usize = 1024;

/// Reads from a stream into a buffer that heads and bodies are taken from.
pub struct Reader {
    io: ReadSide,
    /// What was read and not yet taken.
    pub buffer: BytesMut,
    scanned: usize,
    is_closed: bool,
    amount: Amount,
}

/// Why no head could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer closed before the first byte: the usual end of a connection.
    #[error("closed")]
    Closed,
    /// The peer closed within the head.
    #[error("closed within the head")]
    Truncated,
    /// The bytes are no head.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Reader {
    /// Reads from `io`, after what is in `buffer`.
    #[must_use]
    pub const fn new(io: ReadSide, buffer: BytesMut) -> Self {
        Self { io, buffer, scanned: 0, is_closed: false, amount: Amount::new() }
    }

    /// Whether the peer has closed its side.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Reads once, `at_most` bytes. 0 means that the peer has closed its side.
    pub fn poll_fill(&mut self, context: &mut Context<'_>, at_most: usize) -> Poll<io::Result<usize>> {
        if self.is_closed {
            return Poll::Ready(Ok(0));
        }
        if self.buffer.is_empty() && self.buffer.capacity() < at_most {
            // To grow the old one could take more than is asked for.
            self.buffer = BytesMut::with_capacity(at_most);
        }
        self.buffer.reserve(at_most);
        let mut room = (&mut self.buffer).limit(at_most);
        let polled = poll_read_buf(Pin::new(&mut self.io), context, &mut room);
        if polled.is_pending() {
            self.rest();
        }
        let filled = ready!(polled)?;
        self.is_closed = filled == 0;
        Poll::Ready(Ok(filled))
    }

    /// Gives memory back that nothing, or next to nothing, is in: who waits may wait for long.
    pub fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        } else if self.amount.is_large() || self.buffer.len() <= LITTLE {
            self.buffer = BytesMut::from(&*self.buffer);
        } else {
            return;
        }
        self.amount.rest();
    }

    /// Reads once for a body of which so many bytes are to come; none: nobody knows.
    pub fn poll_fill_body(&mut self, context: &mut Context<'_>, left: Option<u64>) -> Poll<io::Result<usize>> {
        let at_most = self.amount.next(left);
        let filled = ready!(self.poll_fill(context, at_most))?;
        self.amount.came(filled);
        Poll::Ready(Ok(filled))
    }

    /// Takes what it can of a body from the front of the buffer.
    pub fn decode(&mut self, decoder: &mut Decoder) -> Result<Decoded, DecodeError> {
        Ok(match decoder.decode(&mut self.buffer, self.is_closed)? {
            Decoded::Data(data) => Decoded::Data(self.amount.keep(data)),
            other => other,
        })
    }

    /// Takes the bytes of the next head, its empty line included. Empty lines before it are skipped (RFC 9112, 2.2).
    pub fn poll_head(&mut self, context: &mut Context<'_>, limits: HeadLimits) -> Poll<Result<Bytes, ReadError>> {
        loop {
            while self.scanned == 0 && self.buffer.starts_with(b"\r\n") {
                let _ = self.buffer.split_to(2);
            }
            if let Some(end) = parse::find_end(&self.buffer, &mut self.scanned, limits)? {
                self.scanned = 0;
                // Copied so that the buffer can be used again as it is.
                let head = Bytes::copy_from_slice(self.buffer.get(..end).unwrap_or_default());
                let _ = self.buffer.split_to(end);
                return Poll::Ready(Ok(head));
            }
            let read = ready!(self.poll_fill(context, HEAD_READ))?;
            if read == 0 {
                let is_clean = self.buffer.is_empty();
                return Poll::Ready(Err(if is_clean { ReadError::Closed } else { ReadError::Truncated }));
            }
        }
    }

    /// The stream and what was read beyond.
    #[must_use]
    pub fn into_parts(mut self) -> (ReadSide, BytesMut) {
        self.rest();
        (self.io, self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;
    use crate::http1::Framing;

    #[tokio::test]
    async fn who_waits_holds_no_buffer() {
        let (mut peer, io) = duplex(1024);
        let mut reader = Reader::new(Box::new(io), BytesMut::new());
        let mut context = Context::from_waker(Waker::noop());
        assert!(reader.poll_fill(&mut context, HEAD_READ).is_pending());
        assert_eq!(reader.buffer.capacity(), 0);
        peer.write_all(b"GET").await.expect("room");
        assert!(matches!(reader.poll_fill(&mut context, HEAD_READ), Poll::Ready(Ok(3))));
        assert!(reader.poll_fill(&mut context, HEAD_READ).is_pending());
        assert_eq!(&*reader.buffer, b"GET", "what came stays");
        assert!(reader.buffer.capacity() < LITTLE);
    }

    #[tokio::test]
    async fn bodies_that_come_fast_come_in_larger_pieces() {
        let (mut peer, io) = duplex(1 << 20);
        let body: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        peer.write_all(&body).await.expect("room");
        let mut reader = Reader::new(Box::new(io), BytesMut::new());
        let mut decoder = Decoder::new(Framing::Length(body.len() as u64), HeadLimits::default());
        let mut context = Context::from_waker(Waker::noop());
        let mut pieces = Vec::new();
        while let Ok(decoded) = reader.decode(&mut decoder) {
            match decoded {
                Decoded::Data(data) => pieces.push(data),
                Decoded::More => {
                    let left = decoder.remaining();
                    assert!(matches!(reader.poll_fill_body(&mut context, left), Poll::Ready(Ok(read)) if read > 0));
                }
                _ => break,
            }
        }
        assert_eq!(pieces.concat(), body);
        let sizes: Vec<_> = pieces.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [64 << 10, 512 << 10, 1_000_000 - (576 << 10)]);
        reader.rest();
        assert_eq!(reader.buffer.capacity(), 0);
    }
}
