//! What HTTP or TLS is spoken upon towards an upstream: a connection, or one within TLS to a proxy.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::{
    http1::{ReadSide, WriteSide},
    socket::{End, Socket},
};

/// Bytes both ways.
pub(super) enum Base {
    Tcp(Socket<TcpStream>),
    /// To a proxy.
    Tls(Box<TlsStream<Socket<TcpStream>>>),
}

impl Base {
    /// A fresh connection.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self::Tcp(Socket::new(stream, End::default()))
    }

    /// What decides how it ends.
    pub(super) fn end(&self) -> &End {
        match self {
            Self::Tcp(socket) => socket.end(),
            Self::Tls(stream) => stream.get_ref().0.end(),
        }
    }

    /// Both directions, and how they end.
    pub(super) fn halves(self) -> io::Result<(ReadSide, WriteSide, End)> {
        let end = self.end().clone();
        match self {
            Self::Tcp(socket) => {
                let (reader, writer) = socket.halves()?;
                Ok((Box::new(reader), Box::new(writer), end))
            }
            Self::Tls(stream) => {
                let (reader, writer) = tokio::io::split(*stream);
                Ok((Box::new(reader), Box::new(writer), end))
            }
        }
    }
}

impl AsyncRead for Base {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Base {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
