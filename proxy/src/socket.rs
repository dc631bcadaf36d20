//! Connections that end in one of two ways: in good order, or with a reset, by which whoever reads until their end learns that
//! something is missing.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Decides how a connection ends: shared by whoever writes to it and whatever closes it. In good order unless it is told
/// otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct End(Arc<AtomicBool>);

/// A connection, or its writing half, that ends as its [`End`] says when it is dropped.
pub(crate) struct Socket<S: Resets> {
    /// None from the end on.
    inner: Option<S>,
    end: End,
}

/// What can be closed by a reset.
pub(crate) trait Resets {
    /// Closes it so, as soon as nobody else holds it. What the peer has not acknowledged is lost.
    fn reset(self);
}

impl End {
    /// From now on the connection ends with a reset, whatever ends it.
    pub(crate) fn by_reset(&self) {
        self.0.store(true, Relaxed);
    }

    /// From now on it ends in good order.
    pub(crate) fn in_order(&self) {
        self.0.store(false, Relaxed);
    }
}

impl<S: Resets> Socket<S> {
    /// Ends `inner` as `end` says.
    pub(crate) const fn new(inner: S, end: End) -> Self {
        Self { inner: Some(inner), end }
    }

    /// What decides about its end.
    pub(crate) const fn end(&self) -> &End {
        &self.end
    }
}

impl Socket<TcpStream> {
    /// Both halves; the second one closes it as before.
    pub(crate) fn halves(mut self) -> io::Result<(OwnedReadHalf, Socket<OwnedWriteHalf>)> {
        let stream = self.inner.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok(split(stream, self.end.clone()))
    }
}

/// Both halves of a connection; the second one closes it.
#[must_use]
pub(crate) fn split(stream: TcpStream, end: End) -> (OwnedReadHalf, Socket<OwnedWriteHalf>) {
    let (reader, writer) = stream.into_split();
    (reader, Socket::new(writer, end))
}

impl Resets for TcpStream {
    fn reset(self) {
        // Without it, it is closed in good order: nothing else can be done here.
        let _ = self.set_zero_linger();
    }
}

impl Resets for OwnedWriteHalf {
    fn reset(self) {
        let _ = self.as_ref().set_zero_linger();
        // Dropped, it would tell the peer at once that all was said.
        self.forget();
    }
}

impl<S: Resets> Drop for Socket<S> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take().filter(|_| self.end.0.load(Relaxed)) {
            inner.reset();
        }
    }
}

impl<S: Resets + Unpin> Socket<S> {
    fn pin(&mut self) -> io::Result<Pin<&mut S>> {
        self.inner.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: Resets + AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.pin()?.poll_read(context, into)
    }
}

impl<S: Resets + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.pin()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pin()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pin()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pin()?.poll_shutdown(context)
    }
}
