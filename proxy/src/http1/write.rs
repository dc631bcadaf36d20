//! The writing side of a connection: heads and framed bodies, in as few writes as possible.

use std::{
    collections::VecDeque,
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
const COPY_UP_TO: usize = 4 * 1024;
/// Larger ones go out together, too, until there are so many bytes.
const GATHER: usize = 128 * 1024;
/// One of this size goes at once: what it was read into is wanted for the next.
const LARGE: usize = 64 * 1024;
/// Most pieces that are written at once.
const PIECES: usize = 32;

/// Writes to a stream: first what is buffered, then pieces that are not copied.
pub struct Writer {
    io: WriteSide,
    buffer: BytesMut,
    pieces: VecDeque<Bytes>,
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
        Self { io, buffer: BytesMut::new(), pieces: VecDeque::new(), has_written: false, patience: None, stalled: None }
    }

    /// Fails with `TimedOut` when the peer takes nothing for so long. Default: waits for ever.
    pub fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
        self.stalled = None;
    }

    /// Buffers bytes that are already framed.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.pieces.is_empty() {
            self.buffer.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            self.pieces.push_back(Bytes::copy_from_slice(bytes));
        }
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
        self.push(line.get(..written).unwrap_or_default());
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
        self.buffer.is_empty() && self.pieces.is_empty()
    }

    /// Writes everything buffered.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let io = Pin::new(&mut self.io);
            let polled = if self.pieces.is_empty() {
                // Less work for the system than a list of one.
                io.poll_write(context, &self.buffer)
            } else {
                let mut slices = [IoSlice::new(&[]); PIECES];
                let buffered = Some(&*self.buffer).filter(|buffer| !buffer.is_empty());
                let all = buffered.into_iter().chain(self.pieces.iter().map(|piece| &**piece));
                let count = slices.iter_mut().zip(all).map(|(slice, bytes)| *slice = IoSlice::new(bytes)).count();
                io.poll_write_vectored(context, slices.get(..count).unwrap_or_default())
            };
            let Poll::Ready(written) = polled else { return self.poll_patience(context) };
            self.stalled = None;
            let written = written?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.has_written = true;
            self.written(written);
        }
        Pin::new(&mut self.io).poll_flush(context)
    }

    /// So many bytes are gone.
    fn written(&mut self, mut count: usize) {
        let taken = count.min(self.buffer.len());
        self.buffer.advance(taken);
        count -= taken;
        while let Some(piece) = self.pieces.front_mut().filter(|_| count > 0) {
            let taken = count.min(piece.len());
            piece.advance(taken);
            count -= taken;
            // An empty rest would keep all of it in memory for as long as the connection waits for more.
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
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

    /// Sends a body after the buffered head, to its last byte. What is there at once is gathered, up to a bound; beyond it data
    /// is pulled from the body only when what came before was written: that is how back-pressure reaches the sender.
    ///
    /// Cancel safe in the sense that dropping it leaves the connection unusable, never a half-framed message followed by
    /// another: the caller must close.
    pub async fn send(&mut self, body: &mut Body, framing: Framing) -> Result<(), SendError> {
        let sent = self.send_all(body, framing).await;
        if sent.is_ok() {
            // The next message may be long in coming.
            self.buffer = BytesMut::new();
            self.pieces = VecDeque::new();
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
                        let is_large = data.len() >= LARGE;
                        self.push_data(data, framing);
                        if is_large || self.has_gathered() {
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
            Framing::Length(_) if left != 0 => {
                let _ = self.flush().await;
                return Err(SendError::Length);
            }
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
        } else {
            self.pieces.push_back(data);
        }
        if is_chunked {
            self.push(b"\r\n");
        }
    }

    /// Whether it is time to write, though more would be there.
    fn has_gathered(&self) -> bool {
        let bytes = self.buffer.len() + self.pieces.iter().map(Bytes::len).sum::<usize>();
        bytes >= GATHER || self.pieces.len() >= PIECES - 1
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use parking_lot::Mutex;

    use super::*;

    /// Takes so many bytes at a time, and keeps each write.
    struct Sink(usize, Arc<Mutex<Vec<Vec<u8>>>>);

    impl AsyncWrite for Sink {
        fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(context, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(self: Pin<&mut Self>, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
            let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            bytes.truncate(self.0);
            let count = bytes.len();
            self.1.lock().push(bytes);
            Poll::Ready(Ok(count))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What is written of pieces of these sizes, a sink taking `most` at a time: the writes, and the data that was meant.
    async fn written(sizes: &[usize], framing: Framing, most: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
        let writes = Arc::default();
        let mut writer = Writer::new(Box::new(Sink(most, Arc::clone(&writes))));
        let pieces: Vec<Bytes> = (b'a'..).zip(sizes).map(|(letter, size)| Bytes::from(vec![letter; *size])).collect();
        let frames: Vec<_> = pieces.iter().map(|piece| Ok(Frame::data(piece.clone()))).collect();
        let mut body = Body::stream(StreamBody::new(stream::iter(frames)));
        writer.push(b"head");
        writer.send(&mut body, framing).await.expect("sent");
        assert!(writer.is_flushed() && writer.buffer.capacity() == 0, "nothing is kept until the next message");
        drop(writer);
        (Arc::into_inner(writes).expect("one owner").into_inner(), pieces.concat())
    }

    #[tokio::test]
    async fn pieces_that_are_there_go_out_together() {
        let (writes, data) = written(&[16 << 10; 20], Framing::UntilClose, usize::MAX).await;
        assert_eq!(writes.iter().map(Vec::len).collect::<Vec<_>>(), [GATHER + 4, GATHER, 64 << 10]);
        assert_eq!(writes.concat(), [b"head", &*data].concat());
        // By their number, however small.
        let (writes, _) = written(&[COPY_UP_TO + 1; PIECES], Framing::UntilClose, usize::MAX).await;
        assert_eq!(writes.iter().map(Vec::len).collect::<Vec<_>>(), [(COPY_UP_TO + 1) * (PIECES - 1) + 4, COPY_UP_TO + 1]);
        let (writes, _) = written(&[LARGE - 1, LARGE, 1], Framing::UntilClose, usize::MAX).await;
        assert_eq!(writes.iter().map(Vec::len).collect::<Vec<_>>(), [2 * LARGE - 1 + 4, 1]);
    }

    #[tokio::test]
    async fn order_survives_writes_of_any_size() {
        let sizes = [10, COPY_UP_TO, COPY_UP_TO + 1, 3, LARGE, 0, 7];
        for most in [1000, 4096, 5001, usize::MAX] {
            let (writes, data) = written(&sizes, Framing::UntilClose, most).await;
            assert_eq!(writes.concat(), [b"head", &*data].concat(), "{most}");
            let (writes, _) = written(&sizes, Framing::Chunked, most).await;
            let expected = b"head".to_vec().into_iter().chain((b'a'..).zip(sizes).filter(|(_, size)| *size > 0).flat_map(
                |(letter, size)| [format!("{size:x}\r\n").into_bytes(), vec![letter; size], b"\r\n".to_vec()].concat(),
            ));
            assert_eq!(writes.concat(), expected.chain(*b"0\r\n\r\n").collect::<Vec<_>>(), "{most}");
        }
    }
}
