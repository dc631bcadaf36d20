//! The writing side of a connection: heads and framed bodies, in as few writes as possible.

use std::{
    future::{Future as _, poll_fn},
    io::{self, IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;
use tokio::{
    io::AsyncWrite,
    time::{Sleep, sleep},
};

use super::Framing;
use crate::http::{Body, BodyError, Field, Headers, RequestHead, ResponseHead};

/// A stream to write to.
pub type WriteSide = Box<dyn AsyncWrite + Send + Unpin>;

/// Room for most heads.
const HEAD: usize = 1024;
/// Pieces of a body up to this size are copied behind the head, or behind those before, to go out with them in one write.
const COPY_UP_TO: usize = 16 * 1024;
/// From so many bytes on, what was copied is written though more would be there.
const GATHER: usize = 64 * 1024;

/// Writes to a stream: first what is buffered, then one piece of data that is not copied, then its end.
pub struct Writer {
    io: WriteSide,
    buffer: BytesMut,
    data: Bytes,
    tail: &'static [u8],
    has_written: bool,
    patience: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Why a body was not sent to its end. The connection cannot be used again.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The stream took no more.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The body did not reach its end.
    #[error(transparent)]
    Body(BodyError),
    /// The body is not as long as its head said.
    #[error("the body is not as long as Content-Length says")]
    Length,
}

impl Writer {
    /// Writes to `io`.
    #[must_use]
    pub fn new(io: WriteSide) -> Self {
        Self { io, buffer: BytesMut::new(), data: Bytes::new(), tail: b"", has_written: false, patience: None, stalled: None }
    }

    /// Fails with `TimedOut` when the peer takes nothing for so long. Default: waits for ever.
    pub fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
        self.stalled = None;
    }

    /// Buffers bytes that are already framed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Buffers a request's head. `authority` is what goes into Host; `target` may be in absolute form.
    pub fn push_request(&mut self, head: &RequestHead, authority: &str, framing: Framing, extra: &[Field]) {
        self.buffer.reserve(HEAD);
        self.push(head.method.as_str().as_bytes());
        self.push(b" ");
        self.push(&head.target);
        self.push(b" HTTP/1.1\r\nHost: ");
        self.push(authority.as_bytes());
        self.push(b"\r\n");
        self.push_fields(&head.headers, Some("host"));
        for field in extra {
            self.push_field(field);
        }
        match framing {
            // A method that is defined with a body says so even if it is empty (RFC 9110, 8.6).
            Framing::None if is_body_expected(&head.method) => self.push(b"Content-Length: 0\r\n"),
            Framing::None | Framing::UntilClose => {}
            Framing::Length(_) | Framing::Chunked => self.push_framing(framing),
        }
        self.push(b"\r\n");
    }

    /// Buffers a response's head, Connection and framing fields included. `length` is what a body would have, for answers
    /// without one (HEAD, 304).
    pub fn push_response(&mut self, head: &ResponseHead, framing: Framing, length: Option<u64>, connection: Option<&str>) {
        let mut out = std::mem::take(&mut self.buffer);
        out.reserve(HEAD);
        let reason = head.reason.as_deref().or_else(|| head.status.canonical_reason().map(str::as_bytes)).unwrap_or_default();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(head.status.as_str().as_bytes());
        out.extend_from_slice(b" ");
        out.extend_from_slice(reason);
        out.extend_from_slice(b"\r\n");
        self.buffer = out;
        self.push_fields(&head.headers, None);
        self.push_framing(framing);
        if let (Framing::None, Some(length)) = (framing, length) {
            self.push_framing(Framing::Length(length));
        }
        if let Some(connection) = connection {
            self.push(b"Connection: ");
            self.push(connection.as_bytes());
            self.push(b"\r\n");
        }
        self.push(b"\r\n");
    }

    /// All fields but those that the framing decides, and one more.
    fn push_fields(&mut self, headers: &Headers, except: Option<&str>) {
        for field in headers {
            if !field.is("content-length") && !except.is_some_and(|name| field.is(name)) {
                self.push_field(field);
            }
        }
    }

    fn push_field(&mut self, field: &Field) {
        self.push(field.name());
        self.push(b": ");
        self.push(field.value());
        self.push(b"\r\n");
    }

    fn push_framing(&mut self, framing: Framing) {
        match framing {
            Framing::None | Framing::UntilClose => {}
            Framing::Chunked => self.push(b"Transfer-Encoding: chunked\r\n"),
            Framing::Length(length) => {
                self.push(b"Content-Length: ");
                self.push_number(format_args!("{length}\r\n"));
            }
        }
    }

    fn push_number(&mut self, number: std::fmt::Arguments<'_>) {
        let mut line = [0_u8; 32];
        let mut rest = &mut line[..];
        // 32 bytes hold any u64 with its line end.
        let written = if rest.write_fmt(number).is_ok() { 32 - rest.len() } else { 0 };
        self.buffer.extend_from_slice(line.get(..written).unwrap_or_default());
    }

    /// Whether the stream has taken anything since the last [`Writer::restart`].
    #[must_use]
    pub const fn has_written(&self) -> bool {
        self.has_written
    }

    /// Forgets what was written: another message starts.
    pub const fn restart(&mut self) {
        self.has_written = false;
    }

    /// Whether everything buffered was written.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.buffer.is_empty() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Writes everything buffered.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let slices = [IoSlice::new(&self.buffer), IoSlice::new(&self.data), IoSlice::new(self.tail)];
            let Poll::Ready(written) = Pin::new(&mut self.io).poll_write_vectored(context, &slices) else {
                return self.poll_patience(context);
            };
            self.stalled = None;
            let mut written = written?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.has_written = true;
            for len in [self.buffer.len(), self.data.len(), self.tail.len()] {
                let taken = written.min(len);
                written -= taken;
                if !self.buffer.is_empty() {
                    self.buffer.advance(taken);
                } else if !self.data.is_empty() {
                    self.data.advance(taken);
                    if self.data.is_empty() {
                        // An empty rest would keep all of it in memory for as long as the connection waits for more.
                        self.data = Bytes::new();
                    }
                } else {
                    self.tail = self.tail.get(taken..).unwrap_or_default();
                }
            }
        }
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(patience) = self.patience else { return Poll::Pending };
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Writes everything buffered.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Tells the peer that no more will come.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.flush().await?;
        poll_fn(|context| Pin::new(&mut self.io).poll_shutdown(context)).await
    }

    /// Sends a body after the buffered head, to its last byte. Data is pulled from the body only when what came before was
    /// written: that is how back-pressure reaches the sender.
    ///
    /// Cancel safe in the sense that dropping it leaves the connection unusable, never a half-framed message followed by
    /// another: the caller must close.
    pub async fn send(&mut self, body: &mut Body, framing: Framing) -> Result<(), SendError> {
        let sent = self.send_all(body, framing).await;
        if sent.is_ok() {
            // The next message may be long in coming.
            self.buffer = BytesMut::new();
        }
        sent
    }

    async fn send_all(&mut self, body: &mut Body, framing: Framing) -> Result<(), SendError> {
        let mut left = match framing {
            Framing::Length(length) => length,
            Framing::None => 0,
            Framing::Chunked | Framing::UntilClose => u64::MAX,
        };
        loop {
            let frame = poll_fn(|context| {
                let frame = Pin::new(&mut *body).poll_frame(context);
                if frame.is_pending()
                    && let Poll::Ready(Err(error)) = self.poll_flush(context)
                {
                    return Poll::Ready(Err(error));
                }
                frame.map(Ok)
            })
            .await?;
            match frame {
                None => break,
                Some(Err(error)) => {
                    // What was promised and arrived goes out before the connection is cut.
                    let _ = self.flush().await;
                    return Err(SendError::Body(error));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        left = left.checked_sub(data.len() as u64).ok_or(SendError::Length)?;
                        self.push_data(data, framing);
                        if self.buffer.len() >= GATHER || !self.data.is_empty() {
                            self.flush().await?;
                        }
                    }
                    Err(frame) => {
                        if let (Framing::Chunked, Ok(trailers)) = (framing, frame.into_trailers()) {
                            self.push_trailers(&trailers);
                            return Ok(self.flush().await?);
                        }
                    }
                },
            }
        }
        match framing {
            Framing::Length(_) if left != 0 => return Err(SendError::Length),
            Framing::Chunked => self.push(b"0\r\n\r\n"),
            _ => {}
        }
        Ok(self.flush().await?)
    }

    fn push_data(&mut self, data: Bytes, framing: Framing) {
        if data.is_empty() {
            return;
        }
        let is_chunked = framing == Framing::Chunked;
        if is_chunked {
            self.push_number(format_args!("{:x}\r\n", data.len()));
        }
        if data.len() <= COPY_UP_TO {
            self.push(&data);
            if is_chunked {
                self.push(b"\r\n");
            }
        } else {
            self.data = data;
            self.tail = if is_chunked { b"\r\n" } else { b"" };
        }
    }

    fn push_trailers(&mut self, trailers: &http::HeaderMap) {
        self.push(b"0\r\n");
        for (name, value) in trailers {
            if super::decode::may_be_trailer(name.as_str()) {
                self.push(name.as_str().as_bytes());
                self.push(b": ");
                self.push(value.as_bytes());
                self.push(b"\r\n");
            }
        }
        self.push(b"\r\n");
    }

    /// The stream. What is buffered is lost.
    #[must_use]
    pub fn into_io(self) -> WriteSide {
        self.io
    }
}

fn is_body_expected(method: &http::Method) -> bool {
    matches!(method.as_str(), "POST" | "PUT" | "PATCH")
}
