//! A flow: from the head of a request to the last byte of its response, through the chain of addons.
//!
//! Servers hand in an [`Arrival`] and send what [`Flows::run`] answers. No socket is known here, and no wasm.

mod bodies;
mod chain;
mod collect;
mod connect;
mod depart;
mod destination;
mod events;
mod failure;
mod filters;
mod follow;
mod forward;
mod intercept;
mod piecewise;
mod recent;
mod record;
mod respond;
mod rewrite;
mod routed;
mod rules;
mod site;
mod socket;
mod stream;
mod tunnel;
mod uncoded;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    hooks::{
        Addons, Chain, Event, Exchange, Facts, FailureKind, RequestMessage, ResponseMessage, Source, StagedBody, UpstreamFailure,
        Way,
    },
    http::{Body, BodyError, Extent, Holdings, RequestHead, ResponseHead, body::Peer},
    http1::{Framing, framing::may_have_body},
    options::core::Options,
    record::{Recorder, Tape},
    upstream::{Interim, Outgoing, Reply, SendFailure, Tunnel},
};

use bodies::FromClient;
use chain::{Pass, Passed};
use collect::Held;
use depart::{depart, forget_body_fields};
pub use destination::Destination;
pub use intercept::Intercept;
pub use recent::{EndedFlow, Recent};
pub use record::{Ending, Record};
pub use respond::refuse;
use routed::Routed;
use rules::Judged;
pub use site::{FOREVER, Forward, Rewrite, Route, Site};
pub use socket::{Decided, Socket};
use stream::Closed;

/// Runs flows.
pub struct Flows {
    addons: Arc<dyn Addons>,
    next_id: AtomicU64,
    tasks: TaskTracker,
    recent: Option<Arc<Recent>>,
    recorder: Option<Arc<Recorder>>,
    holdings: Arc<Holdings>,
}

/// A request as a server has read it.
pub struct Arrival {
    /// Where it goes unless an addon chooses another upstream.
    pub destination: Destination,
    /// With hop-by-hop fields still in it.
    pub head: RequestHead,
    /// What follows.
    pub body: Body,
    /// How the body's end is told.
    pub framing: Framing,
    /// The client's address.
    pub peer: SocketAddr,
    /// Whether the client's connection is TLS.
    pub is_tls: bool,
    /// The flow of the CONNECT that it is inside of.
    pub connect: Option<u64>,
    /// The user that the client has proven to be.
    pub user: Option<Arc<str>>,
    /// Whether the client waits for 100 (Continue).
    pub expects_continue: bool,
    /// Protocols that the client offers to switch to.
    pub upgrade: Option<Bytes>,
    /// Takes interim responses for the client.
    pub interim: Option<Interim>,
}

/// What a server sends.
pub enum Departure {
    /// This response. The flow ends when its body ends or is dropped.
    Response(ResponseHead, Body),
    /// This 101, and then bytes both ways. The flow ends with the ending.
    Upgrade(ResponseHead, Tunnel, Ending),
    /// This 101, and then a WebSocket whose messages hooks decide about. The flow ends with the ending.
    Socket(ResponseHead, Tunnel, Box<Socket>, Ending),
    /// This 200 to CONNECT, and then whatever is inside is served. The flow ends with the ending.
    Intercept(ResponseHead, Ending),
    /// Nothing: close the connection or reset the stream.
    Drop,
}

impl Flows {
    /// Flows through these addons; `tasks` counts what goes on after a flow's end, `holdings` what is held of bodies.
    #[must_use]
    pub fn new(addons: Arc<dyn Addons>, tasks: TaskTracker, holdings: Arc<Holdings>) -> Self {
        Self { addons, next_id: AtomicU64::new(1), tasks, recent: None, recorder: None, holdings }
    }

    /// The same, remembering flows that have ended.
    #[must_use]
    pub fn remembering(self, recent: Option<Arc<Recent>>) -> Self {
        Self { recent, ..self }
    }

    /// The same, recording flows.
    #[must_use]
    pub fn recording(self, recorder: Option<Arc<Recorder>>) -> Self {
        Self { recorder, ..self }
    }

    /// Takes a request through the chain and to its upstream, and the response back.
    ///
    /// Dropping the future is how a server tells that the client went away: nothing more is sent upstream, hooks that run
    /// are left to end by themselves, and the flow's `finish` event follows.
    pub async fn run(&self, site: &Arc<Site>, arrival: Arrival) -> Departure {
        if let (Some(limit), Framing::Length(length)) = (site.limits.request_body, arrival.framing)
            && length > limit
        {
            let (head, body) =
                refuse(&arrival.head.method, StatusCode::PAYLOAD_TOO_LARGE, &BodyError::TooLarge(limit).to_string());
            site.metrics.refused(head.status);
            return Departure::Response(head, body);
        }
        let (chain, options) = match rules::judge(site, &arrival) {
            Judged::Flow(options) => (self.addons.chain(&site.name), options),
            Judged::Ignored => (self.nobody(site), None),
            Judged::Answered(status) => return Box::pin(self.answered(site, arrival, Some(status))).await,
            Judged::Dropped => return Box::pin(self.answered(site, arrival, None)).await,
        };
        let (ending, request) = self.begin(site, arrival, chain, options);
        rules::before_addons(ending.record());
        let deadline = site.timeouts.flow.map(|limit| Instant::now() + limit);
        let record = Arc::clone(ending.record());
        let passed = match deadline {
            None => pass(&record, request).await,
            Some(deadline) => {
                if let Ok(passed) = tokio::time::timeout_at(deadline, Box::pin(pass(&record, request))).await {
                    passed
                } else {
                    record.fail(BodyError::Lifetime.to_string());
                    record.exchange.lock().response =
                        Some(respond::staged(StatusCode::GATEWAY_TIMEOUT, "the flow took too long"));
                    Passed::Response(Held::new(Body::empty()), 0)
                }
            }
        };
        depart(ending, passed, deadline).await
    }

    /// A chain without addons, for flows that none is to see.
    fn nobody(&self, site: &Site) -> Arc<Chain> {
        Arc::new(Chain::new(self.addons.chain(&site.name).generation, Vec::new()))
    }

    /// The end of a flow that goes nowhere: with an empty response of this status, or without one.
    async fn answered(&self, site: &Arc<Site>, arrival: Arrival, status: Option<StatusCode>) -> Departure {
        let (ending, _) = self.begin(site, arrival, self.nobody(site), None);
        let record = Arc::clone(ending.record());
        record.fail("blocked by the option block_list");
        let Some(status) = status else { return Departure::Drop };
        record.exchange.lock().response = Some(respond::empty(status, &record.method));
        depart(ending, Passed::Response(Held::new(Body::empty()), 0), None).await
    }

    fn begin(&self, site: &Arc<Site>, arrival: Arrival, chain: Arc<Chain>, options: Option<Arc<Options>>) -> (Ending, Request) {
        let tape = self.tape(&arrival.head);
        self.begin_with(site, arrival, chain, options, tape)
    }

    fn tape(&self, head: &RequestHead) -> Option<Arc<Tape>> {
        self.recorder.as_ref()?.tape(head)
    }

    fn begin_with(
        &self,
        site: &Arc<Site>,
        arrival: Arrival,
        chain: Arc<Chain>,
        options: Option<Arc<Options>>,
        tape: Option<Arc<Tape>>,
    ) -> (Ending, Request) {
        let Arrival { destination, mut head, body, framing: _, peer, is_tls, connect, user, expects_continue, upgrade, interim } =
            arrival;
        let takes_trailers = forward::takes_trailers(&head.headers);
        let is_part = head.headers.contains("content-range");
        head.headers.strip_hop_by_hop();
        head.headers.remove("expect");
        if !site.is_forward() {
            forward::set_forwarded(&mut head, site, peer.ip());
        }
        forward::add_via(&mut head.headers, head.version, site);
        let interim = interim.map(without_hop_by_hop);
        let facts = Facts {
            id: self.next_id.fetch_add(1, Relaxed),
            listener: Arc::clone(&site.name),
            peer,
            is_tls,
            connect,
            user,
            started: SystemTime::now(),
            generation: chain.generation,
            upstream: Arc::clone(destination.origin()),
            guard: destination.guard(),
            named: site.upstreams(),
            way: Some(Way(Arc::clone(&site.client))),
            public: rewrite::public(site, &head).map(Arc::new),
        };
        let (upstream, guard) = (Arc::clone(&facts.upstream), facts.guard.clone());
        let message = RequestMessage { head, body: StagedBody::Streaming, upstream, guard, follow: None };
        let exchange = Exchange::new(message, Arc::clone(&self.holdings));
        let record = Record::new(facts, destination, chain, Arc::clone(site), options, (exchange, tape), self);
        let body = FromClient::watch(body, &record);
        let ending = Ending::new(record);
        let body = Held::new(body).part(is_part);
        (ending, Request { body, expects_continue, upgrade, takes_trailers, interim, target: None })
    }
}

/// Interim responses have hop-by-hop fields, too.
fn without_hop_by_hop(sink: Interim) -> Interim {
    Arc::new(move |mut head| {
        head.headers.strip_hop_by_hop();
        sink(head);
    })
}

/// What of a request is not in the exchange.
struct Request {
    body: Held,
    expects_continue: bool,
    upgrade: Option<Bytes>,
    takes_trailers: bool,
    interim: Option<Interim>,
    /// Where a redirect led, in place of what is staged.
    target: Option<Bytes>,
}

/// Both passes along the chain, with the upstream between them.
///
/// What only some flows come to is boxed: the room for the largest of it would be taken, and moved, for every flow.
async fn pass(record: &Arc<Record>, mut request: Request) -> Passed {
    let pass = Pass::new(record);
    let requested = match pass.first_of_request() {
        Some(first) => Box::pin(pass.request(first, &mut request.body)).await,
        None => chain::Requested::Upstream,
    };
    let from = match requested {
        chain::Requested::Upstream => record.chain.addons.len(),
        chain::Requested::Answered { from, body } => return pass.response(from, body).await,
        chain::Requested::Drop => return Passed::Drop,
        chain::Requested::Failed(error) => return client_failed(record, &error),
    };
    let offer = socket::offer(record, &mut request.upgrade);
    let offered = request.upgrade.clone().unwrap_or_default();
    let (found, sent) = match routed::before_upstream(record, &mut request) {
        Ok(Routed::Onward(found)) => (found, follow::send(record, request).await),
        Ok(Routed::Answered(answered)) => return pass.response(from, answered.stage(&pass)).await,
        Err(failure) => (None, Err(failure)),
    };
    match sent {
        Ok(Reply::Response(head, body)) => {
            if let Some(answered) = found.and_then(|found| found.instead_of(record, head.status)) {
                record.was_answered.store(true, Relaxed);
                routed::spend(body);
                return pass.response(from, answered.stage(&pass)).await;
            }
            if let Some(failure) = bodies::announces_too_much(record, head.status, &body) {
                record.fail(failure.message.clone());
                return Box::pin(pass.failure(failure)).await;
            }
            let body =
                bodies::at_most(body.not_idle(Peer::Upstream, record.site.timeouts.body_idle), record.site.response_body());
            let body = Held::coded(body, &head.headers).part(Extent::of(head.status, &head.headers) == Extent::Part);
            stage(record, head);
            match pass.response(from, body).await {
                // The response came before the request's end, and an addon has stopped that since.
                Passed::Response(..) if record.stopper().is_some() => pass.stopped_late(),
                passed => passed,
            }
        }
        Ok(Reply::Upgraded(mut head, tunnel)) => {
            let protocols: Vec<_> = head.headers.iter().filter(|field| field.is("upgrade")).cloned().collect();
            head.headers.strip_hop_by_hop();
            head.headers.replace("upgrade", protocols);
            stage(record, head);
            let agreed = match socket::agree(record, &offered, offer) {
                Ok(agreed) => agreed,
                Err(failure) => {
                    record.exchange.lock().response = None;
                    record.fail(failure.message.clone());
                    return Box::pin(pass.failure(failure)).await;
                }
            };
            match pass.response(from, Held::new(Body::empty())).await {
                Passed::Response(..) if is_switching(record) => {
                    let socket = agreed.and_then(|agreed| Socket::new(record, from, agreed));
                    Passed::Upgrade(tunnel, socket.map(Box::new))
                }
                other => other,
            }
        }
        Err(SendFailure::Client(BodyError::Stopped(_))) => Box::pin(pass.stopped()).await,
        Err(SendFailure::Client(error)) => client_failed(record, &error),
        // The operator's lists have spoken, not an upstream: no hook is asked.
        Err(SendFailure::Denied(_)) if record.is_denied() => {
            let denied = record.denied();
            record.exchange.lock().response = Some(denied);
            Passed::Response(Held::new(Body::empty()), 0)
        }
        Err(SendFailure::Upstream(failure) | SendFailure::Denied(failure)) => {
            record.fail(failure.message.clone());
            Box::pin(pass.failure(failure)).await
        }
    }
}

/// Sends the staged request to the staged upstream.
async fn send(record: &Arc<Record>, request: Request) -> Result<Reply, SendFailure> {
    let site = &record.site;
    let (mut head, staged, origin, guard) = {
        let request = &record.exchange.lock().request;
        (request.head.clone(), request.body.clone(), Arc::clone(&request.upstream), request.guard.clone())
    };
    if matches!(staged, StagedBody::Replaced(_)) {
        forget_body_fields(&mut head.headers);
    }
    if let Some(target) = request.target {
        head.target = target;
    }
    if head.method == Method::CONNECT {
        let message = "CONNECT cannot be sent to an upstream".to_owned();
        let reason = message.clone();
        return Err(SendFailure::Upstream(UpstreamFailure { kind: FailureKind::Protocol, message, reason }));
    }
    let host = if site.preserve_host && !head.authority.is_empty() { head.authority.as_str() } else { origin.authority.as_str() };
    let is_part = request.body.is_part() && !matches!(staged, StagedBody::Replaced(_));
    let body = request.body.into_body(&staged);
    // A body that a hook has collected is here: the client was told to send it.
    let expects_continue = request.expects_continue && body.try_clone().is_none();
    let body = match stream::request(record, &mut head.headers, body, is_part) {
        Ok(body) => body,
        Err(Closed { index, why }) => {
            record.stopped_by(index, why);
            return Err(SendFailure::Client(BodyError::Stopped(record.stopped_why().unwrap_or_default())));
        }
    };
    record.release_after(Event::RequestChunk);
    let outgoing = Outgoing {
        host: host.to_owned(),
        head,
        origin,
        expects_continue,
        upgrade: request.upgrade,
        takes_trailers: request.takes_trailers,
        interim: request.interim,
        may_dial: guard.map(|guard| guard.0),
        marks: record.tape.as_ref().map(|tape| Arc::clone(tape.marks())),
    };
    site.client.send(&outgoing, body).await
}

/// Whether the staged response still is the upstream's 101.
fn is_switching(record: &Record) -> bool {
    let messages = record.exchange.lock();
    messages
        .response
        .as_ref()
        .is_some_and(|response| response.origin == Source::Upstream && response.head.status == StatusCode::SWITCHING_PROTOCOLS)
}

/// Puts an upstream's response into the exchange.
fn stage(record: &Record, mut head: ResponseHead) {
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        head.headers.strip_hop_by_hop();
    }
    forward::add_via(&mut head.headers, head.version, &record.site);
    let may_have_body = may_have_body(&record.method, head.status);
    record.was_answered.store(true, Relaxed);
    let mut messages = record.exchange.lock();
    let extent = Extent::of(head.status, &head.headers);
    messages.response =
        Some(ResponseMessage { head, body: StagedBody::Streaming, origin: Source::Upstream, may_have_body, extent });
}

/// The body of the request did not arrive: nothing goes on, and no hook sees the answer, since it is the client's fault.
fn client_failed(record: &Record, error: &BodyError) -> Passed {
    record.fail(error.to_string());
    let status = match error {
        BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Idle(_) => StatusCode::REQUEST_TIMEOUT,
        BodyError::Crowded(_) => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Malformed(..) => StatusCode::BAD_REQUEST,
        BodyError::Aborted(_) | BodyError::Lifetime | BodyError::Stopped(_) => return Passed::Drop,
    };
    record.exchange.lock().response = Some(respond::staged(status, &error.to_string()));
    Passed::Response(Held::new(Body::empty()), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_takes_little_room() {
        fn room<F: Future>(_: impl FnOnce(&'static Flows, &'static Arc<Site>, Arrival) -> F) -> usize {
            size_of::<F>()
        }
        // What is not boxed is moved with every flow.
        let room = room(Flows::run);
        assert!(room <= 5 << 10, "{room} bytes");
    }
}
