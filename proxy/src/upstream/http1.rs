//! HTTP/1.1 towards upstreams: one exchange at a time on a connection.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;

use super::{
    Outgoing, Reply, Settings, Tunnel,
    deadline::Deadline,
    exchange::Failed,
    pool::Pool,
    proxy::{Proxy, ProxyError},
    upload::{Detached, Upload},
};
use crate::{
    http::{Body, BodyError, Field, Origin, RequestHead, ResponseHead, Version, body::Peer},
    http1::{Decoded, Decoder, Framing, HeadLimits, Reader, Writer, parse, read::ReadError},
    socket::End,
    targets::Target,
};

/// Interim responses that one exchange may have.
const MAX_INTERIM: usize = 32;

/// A connection to one origin.
pub(super) struct Connection {
    line: Line,
    reader: Reader,
    writer: Writer,
}

/// What a connection is.
#[derive(Clone)]
pub(super) struct Line {
    /// Where it leads.
    pub origin: Arc<Origin>,
    /// The address that was dialled.
    pub peer: SocketAddr,
    /// How it ends.
    pub end: End,
    /// The proxy at its other end that is asked for URLs; none: what is there is the origin, as far as HTTP goes.
    pub proxy: Option<Arc<Proxy>>,
}

impl Connection {
    /// A fresh connection.
    pub(super) const fn new(line: Line, reader: Reader, writer: Writer) -> Self {
        Self { line, reader, writer }
    }

    /// What it is.
    pub(super) const fn line(&self) -> &Line {
        &self.line
    }

    /// Whether an idle connection can be used: it is open, and nothing came that nobody asked for.
    pub(super) fn is_usable(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.reader.buffer.is_empty() && self.reader.poll_fill(&mut context, 1).is_pending()
    }

    /// Sends a request and reads the head of its response; the connection goes with the response's body and back into the
    /// pool when that is complete.
    pub(super) async fn exchange(
        mut self: Box<Self>,
        request: &Outgoing,
        body: Body,
        settings: &Settings,
        pool: &Arc<Pool>,
    ) -> Result<Reply, Failed> {
        let origin = Arc::clone(&self.line.origin);
        let framing = match body.size_hint().exact() {
            Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        let (deadline, body) = Deadline::over(body, settings.response_timeout);
        self.writer.restart();
        self.push_head(request, framing);
        let waits = request.expects_continue && framing != Framing::None;
        let mut upload = Upload::start(self.writer, body, framing, waits, request.marks.clone());
        let mut interim = Interims { request, gate: upload.gate.clone(), seen: 0 };
        let received = {
            let head = pin!(read_head(&mut self.reader, settings.head_limits, &mut interim));
            let race = race(&mut upload, head);
            tokio::select! {
                biased;
                received = race => received,
                () = deadline.passed() => return Err(Failed::timeout(&origin)),
            }
        };
        let head = match received {
            Ok(head) => head,
            Err(Race::Body(error)) => return Err(Failed::client(error)),
            Err(Race::Closed) => return Err(Failed::closed(&origin, upload.is_unsent)),
            Err(Race::Malformed(why)) => return Err(Failed::protocol(&origin, why)),
        };
        if self.line.proxy.is_some() && head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(Failed::proxy(&origin, &ProxyError::Credentials));
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Self::switch(self.reader, upload, head, request, self.line.end);
        }
        let framing = Framing::of_response(&request.head.method, head.status, &head.headers, head.version)
            .map_err(|why| Failed::protocol(&origin, why))?;
        let mut arriving = Arriving {
            decoder: Decoder::new(framing, settings.head_limits),
            may_keep: keeps_alive(&head) && framing != Framing::UntilClose && !announces_body_of_none(&head),
            reader: Some(self.reader),
            upload: upload.detach(),
            line: self.line,
            pool: Arc::clone(pool),
        };
        let body = if arriving.decoder.is_ended() {
            arriving.finish();
            Body::empty()
        } else if let Some(whole) = arriving.whole() {
            Body::full(whole)
        } else {
            Body::stream(arriving)
        };
        Ok(Reply::Response(head, body))
    }

    fn push_head(&mut self, request: &Outgoing, framing: Framing) {
        let mut extra = Vec::new();
        if request.expects_continue && framing != Framing::None {
            extra.push(Field::from_static("Expect", "100-continue"));
        }
        if let Some(protocols) = &request.upgrade {
            extra.push(Field::from_static("Connection", "Upgrade"));
            extra.extend(Field::new("Upgrade", protocols.clone()));
        } else if request.takes_trailers {
            extra.push(Field::from_static("TE", "trailers"));
            extra.push(Field::from_static("Connection", "TE"));
        }
        let Some(proxy) = &self.line.proxy else {
            self.writer.push_request(&request.head, &request.host, framing, &extra);
            return;
        };
        extra.extend(proxy.authorization());
        // What asks for all of a server has no path (RFC 9112, 3.2.4).
        let path = if *request.head.target == *b"*" { "" } else { request.head.target_str() };
        let origin = Target::spelled(&self.line.origin);
        let head = RequestHead { target: format!("{origin}{path}").into(), ..request.head.clone() };
        // No other host is asked for in this way.
        self.writer.push_request(&head, origin.authority.as_str(), framing, &extra);
    }

    fn switch(reader: Reader, upload: Upload, head: ResponseHead, request: &Outgoing, end: End) -> Result<Reply, Failed> {
        let Some(writer) = upload.into_writer().filter(|_| request.upgrade.is_some()) else {
            return Err(Failed::protocol(&request.origin, "switched protocols without being asked"));
        };
        let (reader, buffer) = reader.into_parts();
        Ok(Reply::Upgraded(head, Tunnel { reader, buffer, writer: writer.into_io(), end }))
    }
}

/// Whether the connection can be used after this response (RFC 9112, 9.3).
fn keeps_alive(head: &ResponseHead) -> bool {
    let has = |option: &[u8]| head.headers.list("connection").any(|given| given.eq_ignore_ascii_case(option));
    match head.version {
        Version::Http10 => has(b"keep-alive") && !has(b"close"),
        _ => !has(b"close"),
    }
}

/// Whether a 204 tells of a body: what follows it cannot be trusted to be the next response (RFC 9110, 15.3.5).
fn announces_body_of_none(head: &ResponseHead) -> bool {
    let has_length = head.headers.get("content-length").is_some_and(|length| length != b"0");
    head.status == StatusCode::NO_CONTENT && (has_length || head.headers.contains("transfer-encoding"))
}

enum Race {
    Body(BodyError),
    Closed,
    Malformed(String),
}

/// Drives the upload until the head of the response is there.
async fn race(
    upload: &mut Upload,
    mut head: Pin<&mut impl Future<Output = Result<ResponseHead, ReadError>>>,
) -> Result<ResponseHead, Race> {
    poll_fn(|context| {
        if let Poll::Ready(Err(error)) = upload.poll(context) {
            return Poll::Ready(Err(Race::Body(error)));
        }
        let head = ready!(head.as_mut().poll(context));
        Poll::Ready(head.map_err(|error| match error {
            ReadError::Closed | ReadError::Io(_) => Race::Closed,
            ReadError::Truncated => Race::Malformed("closed within the head of the response".to_owned()),
            ReadError::Parse(why) => Race::Malformed(why.to_string()),
        }))
    })
    .await
}

/// Deals with interim responses.
struct Interims<'a> {
    request: &'a Outgoing,
    gate: Option<Arc<Notify>>,
    seen: usize,
}

async fn read_head(reader: &mut Reader, limits: HeadLimits, interims: &mut Interims<'_>) -> Result<ResponseHead, ReadError> {
    loop {
        let bytes = poll_fn(|context| reader.poll_head(context, limits)).await?;
        let head = parse::response(&bytes, limits)?;
        if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(head);
        }
        interims.seen += 1;
        if interims.seen > MAX_INTERIM {
            return Err(parse::ParseError::Malformed("too many interim responses").into());
        }
        if head.status == StatusCode::CONTINUE {
            if let Some(gate) = &interims.gate {
                gate.notify_one();
            }
        } else if let Some(interim) = &interims.request.interim {
            interim(head);
        }
    }
}

/// A response's body on its way in, and the connection that it comes over.
struct Arriving {
    decoder: Decoder,
    reader: Option<Reader>,
    upload: Detached,
    may_keep: bool,
    line: Line,
    pool: Arc<Pool>,
}

impl Arriving {
    /// All of it, where it came with the head and is small, and nothing is left to be sent.
    fn whole(&mut self) -> Option<Bytes> {
        let buffer = &mut self.reader.as_mut()?.buffer;
        let whole = if self.upload.is_done() { self.decoder.take_whole(buffer)? } else { return None };
        self.finish();
        Some(whole)
    }

    /// Gives the connection back, if it is in a state to be used again.
    fn finish(&mut self) {
        let (reader, writer) = (self.reader.take(), self.upload.take_writer());
        if let (true, Some(mut reader), Some(writer)) = (self.may_keep, reader, writer)
            && reader.buffer.is_empty()
            && writer.is_flushed()
        {
            reader.rest();
            self.pool.put(Box::new(Connection::new(self.line.clone(), reader, writer)));
        }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            let Some(reader) = &mut this.reader else { return Poll::Ready(None) };
            match reader.decode(&mut this.decoder) {
                Ok(Decoded::Data(data)) => {
                    if this.decoder.is_ended() {
                        this.finish();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Decoded::Trailers(trailers)) => {
                    this.finish();
                    let trailers = crate::http2::into_map(&trailers).unwrap_or_default();
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Decoded::End) => {
                    this.finish();
                    return Poll::Ready(None);
                }
                Ok(Decoded::More) => {
                    if ready!(reader.poll_fill_body(context, this.decoder.remaining())).is_err() {
                        this.reader = None;
                        return Poll::Ready(Some(Err(BodyError::Aborted(Peer::Upstream))));
                    }
                }
                Err(error) => {
                    this.reader = None;
                    return Poll::Ready(Some(Err(match error {
                        crate::http1::decode::DecodeError::Malformed(why) => BodyError::Malformed(Peer::Upstream, why),
                        crate::http1::decode::DecodeError::Truncated => BodyError::Aborted(Peer::Upstream),
                    })));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.reader.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
