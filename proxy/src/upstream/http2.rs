//! HTTP/2 towards upstreams (RFC 9113), upon hyper.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Marks, Outgoing, Reply, Settings, deadline::Deadline, exchange::Failed, mark};
use crate::{
    http::{Body, BodyError, Field, ResponseHead, Version, body::Peer},
    http2,
};

/// Starts HTTP/2 on a stream; a task drives the connection until its last share is dropped.
pub(super) async fn start(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    settings: &Settings,
) -> Result<SendRequest<Body>, hyper::Error> {
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(8 * 1024 * 1024)
        .max_send_buf_size(256 * 1024)
        .max_header_list_size(u32::try_from(settings.head_limits.bytes).unwrap_or(u32::MAX))
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an HTTP/2 connection to an upstream ended");
        }
    });
    Ok(sender)
}

/// One exchange on a shared connection.
pub(super) async fn exchange(
    mut sender: SendRequest<Body>,
    request: &Outgoing,
    body: Body,
    settings: &Settings,
) -> Result<Reply, Failed> {
    let origin = &request.origin;
    if sender.ready().await.is_err() {
        return Err(Failed::closed(origin, true));
    }
    let has_body = !body.is_end_stream();
    let (deadline, body) = Deadline::over(body, settings.response_timeout);
    let body = match &request.marks {
        Some(marks) if has_body => Body::stream(Taken { inner: body, marks: Arc::clone(marks) }),
        _ => body,
    };
    mark(request.marks.as_deref().filter(|_| !has_body), Marks::send);
    let outgoing = into_request(request, body).map_err(|why| Failed::protocol(origin, why))?;
    let response = tokio::select! {
        biased;
        // A body that fails has the stream reset, and hyper tells of that alone.
        response = sender.send_request(outgoing) => {
            response.map_err(|error| deadline.body_error().map_or_else(|| explain(&error, request), Failed::client))?
        }
        () = deadline.passed() => return Err(Failed::timeout(origin)),
    };
    let (parts, incoming) = response.into_parts();
    if parts.headers.len() > settings.head_limits.count {
        return Err(Failed::protocol(origin, "the response has too many fields"));
    }
    let headers = http2::from_map(&parts.headers);
    if headers.wire_len() > settings.head_limits.bytes {
        return Err(Failed::protocol(origin, "the head of the response is too large"));
    }
    let head = ResponseHead { status: parts.status, reason: None, version: Version::Http2, headers };
    Ok(Reply::Response(head, http2::body(incoming, Peer::Upstream)))
}

/// A body that notes when its last piece was taken.
struct Taken {
    inner: Body,
    marks: Arc<Marks>,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || (frame.is_ready() && self.inner.is_end_stream()) {
            self.marks.send();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn explain(error: &hyper::Error, request: &Outgoing) -> Failed {
    if let Some(error) = http2::body_error(error) {
        return Failed::client(error);
    }
    if error.is_canceled() || error.is_closed() {
        return Failed::closed(&request.origin, error.is_canceled());
    }
    if http2::cause::<h2::Error>(error).is_some_and(is_unprocessed) {
        return Failed::closed(&request.origin, true);
    }
    if http2::cause::<io::Error>(error).is_some() {
        return Failed::closed(&request.origin, false);
    }
    Failed::protocol(&request.origin, http2::describe(error))
}

/// Whether the upstream says that it has not looked at the request: it refused the stream, or went away in good order
/// before (RFC 9113, 8.7).
fn is_unprocessed(cause: &h2::Error) -> bool {
    let reason = if cause.is_go_away() { h2::Reason::NO_ERROR } else { h2::Reason::REFUSED_STREAM };
    cause.is_remote() && (cause.is_go_away() || cause.is_reset()) && cause.reason() == Some(reason)
}

fn into_request(request: &Outgoing, body: Body) -> Result<Request<Body>, &'static str> {
    let uri = Uri::builder()
        .scheme(request.origin.scheme.as_str())
        .authority(request.host.as_str())
        .path_and_query(request.head.target_str())
        .build()
        .map_err(|_| "the target cannot be sent over HTTP/2")?;
    let mut outgoing = Request::new(body);
    *outgoing.method_mut() = request.head.method.clone();
    *outgoing.uri_mut() = uri;
    *outgoing.version_mut() = http::Version::HTTP_2;
    let mut headers = request.head.headers.clone();
    headers.remove("host");
    // hyper tells the length that the body has.
    headers.remove("content-length");
    if request.takes_trailers {
        headers.push(Field::from_static("te", "trailers"));
    }
    *outgoing.headers_mut() = http2::into_map(&headers).ok_or("too many fields")?;
    Ok(outgoing)
}
