//! Requests that declare an empty body.

use std::time::Duration;

use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::time::timeout;

use crate::http::Body;

/// The body of a request whose `content-length` is zero, once its end has come; at most this long is waited for that. None if it
/// has bytes after all: such a request is malformed, and goes nowhere (RFC 9113, 8.1.1). Of one that declares bytes that is known
/// when most of it is under way already.
pub(super) async fn none(mut body: Body, patience: Option<Duration>) -> Option<Body> {
    let end = async {
        loop {
            match body.frame().await {
                None => return Some(Body::empty()),
                Some(Err(_)) => return None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(_) => return None,
                    Err(frame) => return frame.into_trailers().ok().map(trailers),
                },
            }
        }
    };
    match patience {
        Some(patience) => timeout(patience, end).await.ok().flatten(),
        None => end.await,
    }
}

fn trailers(fields: http::HeaderMap) -> Body {
    Body::stream(StreamBody::new(stream::iter([Ok(Frame::trailers(fields))])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::BodyError;

    type Piece = Result<Frame<bytes::Bytes>, BodyError>;

    fn data(bytes: &'static [u8]) -> Frame<bytes::Bytes> {
        Frame::data(bytes.into())
    }

    /// What becomes of these frames: None, or the trailers behind nothing.
    async fn settled(frames: Vec<Piece>) -> Option<Option<http::HeaderMap>> {
        let body = Body::stream(StreamBody::new(stream::iter(frames)));
        let rest = none(body, None).await?.collect().await.expect("a whole body");
        let trailers = rest.trailers().cloned();
        assert!(rest.to_bytes().is_empty());
        Some(trailers)
    }

    #[tokio::test]
    async fn what_declares_nothing_has_nothing() {
        let fields = || http::HeaderMap::from_iter([(http::HeaderName::from_static("a"), http::HeaderValue::from_static("b"))]);
        assert_eq!(settled(vec![]).await, Some(None));
        assert_eq!(settled(vec![Ok(data(b"")), Ok(data(b""))]).await, Some(None));
        assert_eq!(settled(vec![Ok(data(b"")), Ok(Frame::trailers(fields()))]).await, Some(Some(fields())));
        assert_eq!(settled(vec![Ok(data(b"a"))]).await, None);
        assert_eq!(settled(vec![Ok(data(b"")), Err(BodyError::Aborted(crate::http::body::Peer::Client))]).await, None);
    }

    #[tokio::test]
    async fn the_end_is_waited_for_in_vain_only_so_long() {
        let body = || Body::stream(StreamBody::new(stream::pending::<Piece>()));
        assert!(none(body(), Some(Duration::from_millis(20))).await.is_none());
        assert!(timeout(Duration::from_millis(100), none(body(), None)).await.is_err());
    }
}
