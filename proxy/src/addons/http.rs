//! The `http-client` interface: a guest waits for what the outbound service does.

mod stats;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::Method;
use tokio::{runtime::Handle, time::timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::{
    bindings::http_client::{self as wit, Error as WitError},
    configure::Setup,
    engine::Outbound,
    grants::Grants,
    limits::Limits,
    over::BudgetKind,
    stage::EditError,
    state::HostState,
    stats::Stats,
};
use crate::{
    dns::Names,
    hooks::{Facts, Follow, Guard, Step},
    http::{Headers, Origin},
    outbound::{self, Caller, Error, Hosts, Options, Outcome, Request, Response, Service},
};

pub use stats::HttpCounters;
pub(super) use stats::{HttpStats, InFlight};

/// What the requests of one instance go by.
pub(super) struct Calls {
    outbound: Outbound,
    grants: Arc<Grants>,
    stats: Arc<Stats>,
    /// In this hook.
    made: u32,
}

/// A call that may go.
struct Call {
    request: Request,
    options: Options,
    caller: Caller,
    in_flight: InFlight,
}

/// Requests that one hook may make, refused ones and questions to the domain name system included.
pub(super) const PER_HOOK: u32 = 64;
const MAX_METHOD: usize = 64;

impl Calls {
    pub(super) fn new(setup: &Setup) -> Self {
        let (outbound, grants, stats) = (setup.engine.outbound().clone(), Arc::clone(&setup.grants), Arc::clone(&setup.stats));
        Self { outbound, grants, stats, made: 0 }
    }

    /// Whether a flow may be sent to `origin`, and what is then asked about each of its addresses.
    pub(super) fn route(&self, origin: &Origin, facts: &Facts) -> Result<Option<Guard>, EditError> {
        route(&self.outbound.service, &self.grants, origin, facts).map_err(|error| match error {
            Error::Invalid(why) => EditError::Invalid(why),
            _ => EditError::Forbidden(format!("{origin}, which is not granted (upstreams)")),
        })
    }

    /// Which redirects of a flow are followed: to these hosts, as far as the flow may be sent there. None where there is no host.
    pub(super) fn follow(&self, hosts: &[String], facts: Arc<Facts>) -> Result<Option<Follow>, EditError> {
        let hosts = Hosts::parse(hosts).map_err(|error| EditError::Invalid(error.to_string()))?;
        if hosts.is_empty() {
            return Ok(None);
        }
        let (service, grants) = (Arc::clone(&self.outbound.service), Arc::clone(&self.grants));
        Ok(Some(Follow(Arc::new(move |head, origin, target| {
            let (upstream, target) = outbound::next(&hosts, head, origin, target)?;
            let guard = route(&service, &grants, &upstream, &facts).ok()?;
            Some(Step { upstream, target, guard })
        }))))
    }

    /// One more; whether the hook may make it.
    pub(super) const fn make(&mut self) -> bool {
        self.made = self.made.saturating_add(1);
        self.made <= PER_HOOK
    }

    /// Whether names of services may be looked up.
    pub(super) fn may_ask(&self) -> bool {
        self.grants.dns
    }

    /// What looks them up, and where.
    pub(super) fn names(&self) -> (Arc<Names>, Handle) {
        (Arc::clone(&self.outbound.names), self.outbound.runtime.clone())
    }

    /// A hook begins.
    pub(super) const fn refill(&mut self) {
        self.made = 0;
    }
}

fn route(service: &Service, grants: &Grants, origin: &Origin, facts: &Facts) -> Result<Option<Guard>, Error> {
    if *origin == *facts.upstream {
        return Ok(facts.guard.clone());
    }
    let caller = Caller { grants: grants.upstreams.clone(), upstream: configured(facts), way: None };
    service.route(origin, &caller).map(|guard| guard.map(Guard))
}

/// The upstream that the flow's listener is configured with. What a client chose is no such thing: an addon needs a grant for it.
fn configured(facts: &Facts) -> Option<Arc<Origin>> {
    facts.guard.is_none().then(|| Arc::clone(&facts.upstream))
}

impl wit::Host for HostState {
    async fn send(&mut self, request: wit::Request, options: wit::Options) -> wasmtime::Result<Result<wit::Response, WitError>> {
        let (deadline, over) = (self.budget.deadline(), self.budget.over_wall());
        let (start, stats) = (Instant::now(), Arc::clone(&self.calls.stats));
        let call = match self.prepare(request, options) {
            Ok(call) => call,
            Err(error) => {
                if matches!(error, Error::Busy(_)) {
                    stats.over(BudgetKind::Calls);
                }
                stats.http.ended(Some(&error), start.elapsed());
                return Ok(Err(error.into()));
            }
        };
        let Outbound { service, runtime, .. } = self.calls.outbound.clone();
        let work = async move {
            let Call { request, options, caller, in_flight } = call;
            let outcome = service.call(request, options, &caller).await;
            drop(in_flight);
            outcome
        };
        // Dropped, it is broken off.
        let work = AbortOnDropHandle::new(runtime.spawn(work.in_current_span()));
        // True until it is known better, also where the wait below is the end.
        let had_effect = std::mem::replace(&mut self.had_effect, true);
        let Ok(ended) = timeout_at(deadline, work).await else {
            stats.http.abandoned(start.elapsed());
            return Err(wasmtime::Error::new(over));
        };
        let Outcome { result, was_sent } = ended.map_err(wasmtime::Error::new)?;
        self.had_effect = had_effect || was_sent;
        stats.http.ended(result.as_ref().err(), start.elapsed());
        Ok(result.map(wit::Response::from).map_err(WitError::from))
    }
}

impl HostState {
    fn prepare(&mut self, request: wit::Request, options: wit::Options) -> Result<Call, Error> {
        let facts = self.facts.as_ref().filter(|_| self.stage.is_some());
        let facts = facts.ok_or_else(|| Error::Denied("requests are for hooks, and this is none".to_owned()))?;
        if !self.calls.make() {
            return Err(Error::Busy(PER_HOOK));
        }
        let limits = &self.limits;
        let max_response = match options.max_response {
            None => limits.max_body,
            Some(bytes) => match usize::try_from(bytes) {
                Ok(bytes) if bytes <= limits.max_body => bytes,
                _ => return Err(over("bytes of max-response", bytes, limits.max_body)),
            },
        };
        let request = legal(limits, request)?;
        let options = Options {
            timeout: options.timeout.map_or(outbound::TIMEOUT, Duration::from_millis),
            redirects: options.redirects,
            max_response,
        };
        let (grants, way) = (self.calls.grants.http.clone(), facts.way.clone());
        let caller = Caller { grants, upstream: configured(facts), way };
        let in_flight = HttpStats::begin(&self.calls.stats, limits.calls).ok_or(Error::Busy(limits.calls))?;
        Ok(Call { request, options, caller, in_flight })
    }
}

/// The request as it is sent, but for its URL, which is not looked at.
pub(super) fn legal(limits: &Limits, request: wit::Request) -> Result<Request, Error> {
    at_most("bytes of the body", request.body.len(), limits.max_body)?;
    at_most("header fields", request.headers.len(), limits.header_count)?;
    at_most("bytes in the method", request.method.len(), MAX_METHOD)?;
    let method = Method::from_bytes(request.method.as_bytes()).ok().filter(|method| *method != Method::CONNECT);
    let headers = request.headers.into_iter().map(|(name, value)| outbound::header(name, value));
    let headers: Headers = headers.collect::<Result<_, _>>()?;
    at_most("bytes of header fields", headers.wire_len(), limits.header_bytes)?;
    Ok(Request {
        method: method.ok_or_else(|| Error::Invalid(format!("the method {:?}", request.method)))?,
        url: request.url,
        headers,
        body: request.body.into(),
    })
}

fn at_most(what: &str, count: usize, limit: usize) -> Result<(), Error> {
    if count > limit { Err(over(what, count, limit)) } else { Ok(()) }
}

fn over(what: &str, count: impl std::fmt::Display, limit: usize) -> Error {
    Error::Invalid(format!("{count} {what}, limit {limit}"))
}

impl From<Response> for wit::Response {
    fn from(response: Response) -> Self {
        Self {
            status: response.status.as_u16(),
            version: response.version.as_str().to_owned(),
            headers: fields(&response.headers),
            body: response.body.into(),
            trailers: fields(&response.trailers),
            url: response.url,
        }
    }
}

fn fields(headers: &Headers) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|field| (field.name_str().to_owned(), field.value().to_vec())).collect()
}

impl From<Error> for WitError {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(text) => Self::Denied(text),
            Error::Invalid(text) => Self::Invalid(text),
            Error::Dns(text) => Self::Dns(text),
            Error::Connect(text) => Self::Connect(text),
            Error::Tls(text) => Self::Tls(text),
            Error::Timeout => Self::Timeout,
            Error::TooLarge(limit) => Self::TooLarge(limit),
            Error::Closed(text) => Self::Closed(text),
            Error::Protocol(text) => Self::Protocol(text),
            Error::Busy(limit) => Self::Busy(limit),
        }
    }
}
