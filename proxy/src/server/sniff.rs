//! Telling HTTP/2 from HTTP/1 by the first bytes, and giving those bytes back.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use crate::http1::{ReadSide, WriteSide};

/// What every HTTP/2 client sends first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads until the bytes are the preface or cannot become it. What was read is in `buffer`.
pub(super) async fn is_http2(reader: &mut ReadSide, buffer: &mut BytesMut) -> io::Result<bool> {
    buffer.reserve(8 * 1024);
    loop {
        let seen = buffer.len().min(PREFACE.len());
        if buffer.get(..seen) != PREFACE.get(..seen) {
            return Ok(false);
        }
        if seen == PREFACE.len() {
            return Ok(true);
        }
        if reader.read_buf(buffer).await? == 0 {
            return Ok(false);
        }
    }
}

/// A stream whose first bytes were read already.
pub(super) struct Replay {
    buffer: BytesMut,
    reader: ReadSide,
    writer: WriteSide,
}

impl Replay {
    /// Gives `buffer` first, then what `reader` reads.
    pub(super) const fn new(buffer: BytesMut, reader: ReadSide, writer: WriteSide) -> Self {
        Self { buffer, reader, writer }
    }
}

impl AsyncRead for Replay {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return Pin::new(&mut self.reader).poll_read(context, target);
        }
        let len = self.buffer.len().min(target.remaining());
        target.put_slice(self.buffer.get(..len).unwrap_or_default());
        self.buffer.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}
