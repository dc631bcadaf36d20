//! HTTP/1 with a client: one request after the other on a connection.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::{Method, StatusCode};
use http_body::Body as _;
use tokio::time::timeout;

use super::{
    Peer, Shared, door, intercept,
    interim::Interims,
    page,
    request_body::{Input, method_of},
    route::{self, HeadSize, Way, way},
    switched::Switched,
};
use crate::{
    flow::{Arrival, Departure, Ending, Site, Socket, refuse},
    http::{Body, RequestHead, ResponseHead, Scheme, Version},
    http1::{
        Framing, ParseError, Reader, Writer,
        framing::may_have_body,
        parse::{self, TargetForm},
        read::ReadError,
    },
    patience::Patience,
    socket::End,
    upstream::Tunnel,
};

/// Bytes of an unwanted request body that are read so that the connection can be used again.
const DRAIN_BYTES: usize = 256 * 1024;
/// Time that takes at most, and that a closing connection lingers so that the client can read its last response.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that a closing connection reads and throws away.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Serves a connection to its end, or until it is switched.
pub(super) async fn serve(shared: Arc<Shared>, peer: Peer, stream: Tunnel) -> Option<Switched> {
    let Tunnel { reader, buffer, writer, end } = stream;
    let input = Input::new(Reader::new(reader, buffer));
    let connection = Connection { shared, peer, input, writer: Writer::new(writer), end };
    connection.run().await
}

struct Connection {
    shared: Arc<Shared>,
    peer: Peer,
    input: Input,
    writer: Writer,
    end: End,
}

/// What comes after a request.
enum Next {
    /// Another one.
    Request,
    /// The end, after the client had time to read.
    Linger,
    /// The end at once.
    Close,
    /// What a CONNECT is looked into for.
    Intercept(Box<intercept::Connected>, Ending),
    /// Another protocol.
    Tunnel(Tunnel, Option<Box<Socket>>, Ending),
}

impl Connection {
    async fn run(mut self) -> Option<Switched> {
        let mut drained = pin!(self.shared.draining.clone().cancelled_owned());
        let mut patience = Patience::new(self.shared.patience().timeouts.idle);
        loop {
            if !self.has_begun(&mut patience, drained.as_mut()).await {
                return None;
            }
            // Not before: they may have changed while nothing came.
            let site = self.shared.sites.now();
            let next = match self.read_head(&site, &mut patience).await {
                Ok((head, form, size)) => {
                    // Boxed: an idle connection should not hold the room that a flow takes.
                    Box::pin(self.exchange(&site, head, form, size)).await
                }
                Err(Some((method, (status, why)))) => self.refuse(&site, &method, status, &why).await,
                Err(None) => Next::Close,
            };
            match next {
                Next::Request if !self.shared.draining.is_cancelled() => patience.renew(self.shared.patience().timeouts.idle),
                Next::Request | Next::Linger => {
                    self.linger().await;
                    return None;
                }
                Next::Close => return None,
                Next::Intercept(connected, ending) => {
                    let (reader, buffer) = self.input.into_reader()?.into_parts();
                    let client = Tunnel { reader, buffer, writer: self.writer.into_io(), end: self.end };
                    intercept::run(self.shared, self.peer, client, *connected, ending).await;
                    return None;
                }
                Next::Tunnel(upstream, socket, ending) => {
                    // Nothing else shares the input: the upgrade request had no body, or it was read.
                    let (reader, buffer) = self.input.into_reader()?.into_parts();
                    let client = Tunnel { reader, buffer, writer: self.writer.into_io(), end: self.end };
                    return Some(Switched { client, upstream, socket, ending });
                }
            }
        }
    }

    /// Waits for the first byte of a head. False: the connection is over.
    async fn has_begun(&mut self, patience: &mut Patience, mut drained: Pin<&mut impl Future<Output = ()>>) -> bool {
        poll_fn(|context| {
            if let Poll::Ready(first) = self.input.poll_first(context) {
                return Poll::Ready(matches!(first, Ok(true)));
            }
            let is_over = drained.as_mut().poll(context).is_ready() || patience.poll(context).is_ready();
            if is_over { Poll::Ready(false) } else { Poll::Pending }
        })
        .await
    }

    /// The head. `None`: the connection is over and nobody is left to be told.
    async fn read_head(
        &mut self,
        site: &Site,
        patience: &mut Patience,
    ) -> Result<(RequestHead, TargetForm, HeadSize), Option<(Method, Refusal)>> {
        let limits = self.shared.head_limits(site);
        let mut waits = false;
        let head = poll_fn(|context| {
            if let Poll::Ready(head) = self.input.poll_head(context, limits) {
                return Poll::Ready(Some(head));
            }
            // Most heads come in one piece, and none of them waits for anything.
            if !std::mem::replace(&mut waits, true) {
                patience.renew(self.shared.patience().timeouts.header_read);
            }
            patience.poll(context).map(|()| None)
        });
        let bytes = match head.await {
            Some(Ok(bytes)) => bytes,
            Some(Err(ReadError::Parse(error))) => return Err(Some((self.input.method(), explain(error)))),
            Some(Err(ReadError::Closed | ReadError::Truncated | ReadError::Io(_))) => return Err(None),
            None => {
                let late = (StatusCode::REQUEST_TIMEOUT, "the head did not come in time".to_owned());
                return Err(Some((self.input.method(), late)));
            }
        };
        let scheme = if self.peer.is_tls { Scheme::Https } else { Scheme::Http };
        match parse::request(&bytes, scheme, limits) {
            Ok((head, form)) => {
                // Lines, without the first and the empty one: the head may have got a Host that did not come.
                let fields = memchr::memchr_iter(b'\n', &bytes).count().saturating_sub(2);
                let size = HeadSize { fields, bytes: bytes.len() };
                Ok((head, form, size))
            }
            Err(error) => Err(Some((method_of(&bytes), explain(error)))),
        }
    }

    async fn refuse(&mut self, site: &Site, method: &Method, status: StatusCode, why: &str) -> Next {
        site.metrics.refused(status);
        let (head, mut body) = refuse(method, status, why);
        let framing = match body.size_hint().exact() {
            Some(length) if may_have_body(method, status) => Framing::Length(length),
            _ => Framing::None,
        };
        self.writer.push_response(&head, framing, told_length(&head), Some("close"));
        match self.writer.send(&mut body, framing).await {
            Ok(()) => Next::Linger,
            Err(_) => Next::Close,
        }
    }

    async fn exchange(&mut self, site: &Arc<Site>, mut head: RequestHead, form: TargetForm, size: HeadSize) -> Next {
        let user = match door::enter(site, &self.peer, &mut head).await {
            Ok(user) => user,
            Err((status, why)) => return self.refuse(site, &head.method, status, &why).await,
        };
        let (way, framing, expects_continue) = match self.admit(site, &mut head, form, size) {
            Ok(admitted) => admitted,
            Err((status, why)) => return self.refuse(site, &head.method, status, &why).await,
        };
        self.writer.set_patience(self.shared.body_idle(&way, site));
        let interims = Interims::default();
        let limits = if matches!(way, Way::Controller) { self.shared.head_limits(site) } else { site.head_limits() };
        let body = self.input.begin(framing, limits, expects_continue.then(|| interims.clone()));
        let request = Asked {
            method: head.method.clone(),
            version: head.version,
            // After CONNECT, what comes may be meant for the tunnel that there is not.
            keeps_alive: keeps_alive(&head) && head.method != Method::CONNECT,
            upgrades: parse::upgrade(&head.headers, head.version),
        };
        let shared = Arc::clone(&self.shared);
        let mut asked = None;
        let destination = match (way, &shared.controller) {
            (Way::Flow(destination), _) => destination,
            (Way::Connect(connect, destination), _) => {
                asked = Some(connect);
                destination
            }
            (Way::Page(intercept), _) => {
                let (head, body) = page::answer(&head, intercept.mint.authority());
                site.metrics.refused(head.status);
                return self.respond(site, &request, head, body).await;
            }
            (Way::Controller, Some(controller)) => {
                let answer = controller.answer(head, body);
                let answered = self.attend(site, &interims, Box::pin(async { Some(answer.await) })).await.flatten();
                let Some((head, body)) = answered else { return Next::Close };
                site.metrics.refused(head.status);
                return self.respond(site, &request, head, body).await;
            }
            (Way::Controller, None) => return Next::Close,
        };
        let arrival = Arrival {
            destination,
            head,
            body,
            framing,
            peer: self.peer.address,
            is_tls: self.peer.is_tls,
            connect: self.peer.connect(),
            user,
            expects_continue,
            upgrade: request.upgrades.clone(),
            interim: (request.version == Version::Http11).then(|| interims.sink()),
        };
        let departure = if let Some(asked) = &asked {
            let connect = shared.flows.connect(site, arrival, &asked.connecting, asked.otherwise);
            self.attend(site, &interims, Box::pin(connect)).await
        } else {
            self.attend(site, &interims, Box::pin(shared.flows.run(site, arrival))).await
        };
        match departure {
            Some(Departure::Response(head, body)) => self.respond(site, &request, head, body).await,
            Some(Departure::Upgrade(head, tunnel, ending)) => self.switch(&head, tunnel, None, ending).await,
            Some(Departure::Socket(head, tunnel, socket, ending)) => self.switch(&head, tunnel, Some(socket), ending).await,
            Some(Departure::Intercept(head, ending)) => match asked.and_then(|asked| asked.connected) {
                Some(connected) => self.intercept(&head, connected, ending).await,
                None => Next::Close,
            },
            Some(Departure::Drop) | None => Next::Close,
        }
    }

    /// Tells the client that the other end is there, though nobody has been asked: that comes with the first request.
    async fn intercept(&mut self, head: &ResponseHead, connected: intercept::Connected, ending: Ending) -> Next {
        self.writer.push_response(head, Framing::None, None, None);
        match self.writer.flush().await {
            Ok(()) => Next::Intercept(Box::new(connected), ending),
            Err(_) => Next::Close,
        }
    }

    async fn switch(&mut self, head: &ResponseHead, tunnel: Tunnel, socket: Option<Box<Socket>>, ending: Ending) -> Next {
        let connection = (head.status == StatusCode::SWITCHING_PROTOCOLS).then_some("Upgrade");
        self.writer.push_response(head, Framing::None, None, connection);
        match self.writer.flush().await {
            Ok(()) => Next::Tunnel(tunnel, socket, ending),
            Err(_) => Next::Close,
        }
    }

    /// What a head says beyond its fields, if all of it makes sense.
    fn admit(
        &self,
        site: &Site,
        head: &mut RequestHead,
        form: TargetForm,
        size: HeadSize,
    ) -> Result<(Way, Framing, bool), Refusal> {
        let framing = Framing::of_request(&head.headers, head.version).map_err(explain)?;
        let expects_continue = parse::expects_continue(&head.headers, head.version).map_err(explain)?;
        let way = way(&self.shared, site, &self.peer, head, form, size)?;
        if matches!(way, Way::Connect(..)) {
            route::may_tunnel(framing)?;
        }
        Ok((way, framing, expects_continue))
    }

    /// Awaits what becomes of a request; meanwhile writes interim responses and looks out for the client. `None`: it is gone.
    async fn attend<T>(&mut self, site: &Site, interims: &Interims, mut run: Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        poll_fn(|context| {
            let departure = run.as_mut().poll(context);
            while let Some(head) = interims.pop(context.waker()) {
                self.writer.push_response(&head, Framing::None, None, None);
            }
            if let Poll::Ready(departure) = departure {
                return Poll::Ready(Some(departure));
            }
            if !self.writer.is_flushed()
                && let Poll::Ready(Err(_)) = self.writer.poll_flush(context)
            {
                return Poll::Ready(None);
            }
            if !site.half_close && self.input.poll_gone(context).is_ready() {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }

    async fn respond(&mut self, site: &Site, request: &Asked, mut head: ResponseHead, mut body: Body) -> Next {
        let has_body = may_have_body(&request.method, head.status);
        let framing = match body.size_hint().exact() {
            _ if !has_body => Framing::None,
            Some(length) => Framing::Length(length),
            None if request.version == Version::Http11 => Framing::Chunked,
            None => Framing::UntilClose,
        };
        // What a body would be long, for answers that have none (RFC 9110, 8.6); 204 never tells.
        let length = told_length(&head).filter(|_| head.status != StatusCode::NO_CONTENT);
        if framing != Framing::Chunked {
            head.headers.remove("trailer");
        }
        let is_leftover = request.upgrades.is_some() && self.input.has_more();
        let is_unclear = self.input.is_waiting() || self.input.is_broken() || is_leftover;
        let is_draining = self.shared.draining.is_cancelled();
        let keeps = request.keeps_alive && framing != Framing::UntilClose && !is_draining && !is_unclear;
        let connection = match (keeps, request.version) {
            (true, Version::Http10) => Some("keep-alive"),
            (false, Version::Http11) => Some("close"),
            _ => None,
        };
        if framing == Framing::UntilClose {
            // Until all is sent: a body that is broken off must not look whole, whatever breaks it off.
            self.end.by_reset();
        }
        self.writer.push_response(&head, framing, length, connection);
        let is_sent = {
            let mut send = pin!(self.writer.send(&mut body, framing));
            poll_fn(|context| {
                if let Poll::Ready(sent) = send.as_mut().poll(context) {
                    return Poll::Ready(sent.is_ok());
                }
                if !site.half_close && self.input.poll_gone(context).is_ready() {
                    return Poll::Ready(false);
                }
                Poll::Pending
            })
            .await
        };
        drop(body);
        if !is_sent {
            return Next::Close;
        }
        self.end.in_order();
        if !keeps {
            return Next::Linger;
        }
        if self.input.is_complete() {
            return Next::Request;
        }
        let mut budget = DRAIN_BYTES;
        let drain = poll_fn(|context| self.input.poll_drain(context, &mut budget));
        match timeout(LINGER, drain).await {
            Ok(Ok(())) if self.input.is_complete() => Next::Request,
            _ => Next::Linger,
        }
    }

    /// Closes so that the client can still read what was written: closing with unread bytes would reset the connection.
    async fn linger(mut self) {
        if self.writer.shutdown().await.is_ok() {
            let mut budget = LINGER_BYTES;
            let _ = timeout(LINGER, poll_fn(|context| self.input.poll_discard(context, &mut budget))).await;
        }
    }
}

type Refusal = (StatusCode, String);

/// What of a request matters for its response.
struct Asked {
    method: Method,
    version: Version,
    keeps_alive: bool,
    upgrades: Option<bytes::Bytes>,
}

/// Whether the client wants to use the connection again (RFC 9112, 9.3).
fn keeps_alive(head: &RequestHead) -> bool {
    let has = |option: &[u8]| head.headers.list("connection").any(|given| given.eq_ignore_ascii_case(option));
    match head.version {
        Version::Http10 => has(b"keep-alive") && !has(b"close"),
        _ => !has(b"close"),
    }
}

fn told_length(head: &ResponseHead) -> Option<u64> {
    head.headers.get_str("content-length").and_then(|length| length.parse().ok())
}

fn explain(error: ParseError) -> Refusal {
    (error.status(), error.to_string())
}
