//! Bodies that tests send through hyper.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

/// Any body.
pub type BoxBody = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// No bytes.
#[must_use]
pub fn empty() -> BoxBody {
    full(Bytes::new())
}

/// These bytes, with their length known.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> BoxBody {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// A body whose pieces a test sends one by one; its length is not known. It ends when the sender is dropped.
#[must_use]
pub fn channel() -> (ChunkSender, BoxBody) {
    let (sender, receiver) = mpsc::channel(1);
    (ChunkSender(sender), Receiver(receiver).boxed())
}

/// The sending end of [`channel`].
pub struct ChunkSender(mpsc::Sender<Result<Frame<Bytes>, io::Error>>);

impl ChunkSender {
    /// Sends a piece, when the one before was taken. False if nobody wants it any more.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Ok(Frame::data(bytes.into()))).await.is_ok()
    }

    /// Ends the body with trailers.
    pub async fn trailers(self, trailers: HeaderMap) {
        let _ = self.0.send(Ok(Frame::trailers(trailers))).await;
    }

    /// Breaks the body off.
    pub async fn abort(self) {
        let _ = self.0.send(Err(io::Error::other("the test broke the body off"))).await;
    }

    /// Waits until nobody wants more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

struct Receiver(mpsc::Receiver<Result<Frame<Bytes>, io::Error>>);

impl Body for Receiver {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context)
    }
}
