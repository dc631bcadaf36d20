//! Requests that addons make of their own: what they may reach, and how a call goes.
//!
//! A call never trusts a name. [`HttpGrants`] are asked about the name before it is looked up, about every address that it has
//! before that is dialled, about the peer of a connection that was kept, and about all of it again at each redirect.

mod address;
mod call;
mod collect;
mod error;
mod grants;
mod hosts;
mod outbox;
mod redirect;
mod url;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::sync::OnceCell;

use crate::{
    hooks::Way,
    http::{Field, Headers, Origin, ResponseHead, Version},
    http1::HeadLimits,
    upstream::{Client, Lookups, MayDial, OwnAddresses, Protocol, Settings, tls},
};

pub(crate) use address::{is_public, reached};
pub use error::Error;
pub use grants::{HttpGrant, HttpGrants, InvalidGrant};
pub(crate) use hosts::{Hosts, next};
pub use outbox::{Carrier, Letter, Outbox, OutboxCounters, Refused, Room};
pub(crate) use url::Target;

/// A request as an addon wants it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Any but CONNECT.
    pub method: Method,
    /// Absolute; checked when it is sent.
    pub url: String,
    /// End-to-end fields without Host: see [`header`].
    pub headers: Headers,
    /// All of it.
    pub body: Bytes,
}

/// How a call goes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// For all of it.
    pub timeout: Duration,
    /// Redirects followed at most.
    pub redirects: u8,
    /// Bytes of the response's body at most, with content codings and without.
    pub max_response: usize,
}

/// Whose call it is.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What it may reach.
    pub grants: HttpGrants,
    /// The upstream that its flow's listener is configured with, if it is with one: needs no grant.
    pub upstream: Option<Arc<Origin>>,
    /// The listener's way there: with the trust and the version of HTTP that its flows go by.
    pub way: Option<Way>,
}

/// All of a response.
#[derive(Debug, Clone)]
pub struct Response {
    /// 200 to 599.
    pub status: StatusCode,
    /// What was spoken.
    pub version: Version,
    /// Without hop-by-hop fields.
    pub headers: Headers,
    /// Content codings taken off where they are known.
    pub body: Bytes,
    /// What followed the body.
    pub trailers: Headers,
    /// What answered.
    pub url: String,
}

/// What became of a call.
#[derive(Debug)]
pub struct Outcome {
    /// The response, or why there is none.
    pub result: Result<Response, Error>,
    /// Whether a peer may have seen something of it.
    pub was_sent: bool,
}

/// How long a call may take where nothing else is said.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Name, connection and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeouts of calls are shorter.
const RESPONSE_TIMEOUT: Duration = Duration::from_hours(24);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_IDLE: usize = 64;
const MAX_KEPT: usize = 1024;
/// The process has 512 threads for all that blocks.
const LOOKUPS: usize = 64;
const HEAD_LIMITS: HeadLimits = HeadLimits { count: 256, bytes: 64 << 10 };

/// Fields of a request that belong to the core: those of framing and of one hop (RFC 9110, 7.6.1; RFC 9113, 8.2.2), and those
/// that follow from the URL or from how the body is sent.
const OF_THE_CORE: [&str; 11] = [
    "host",
    "expect",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
];

/// Sends requests of addons over connections of its own; those of flows are not touched. Cheap to make: trust is read when it
/// is first used.
pub struct Service {
    client: OnceCell<Client>,
    own: OwnAddresses,
}

impl Service {
    /// Never dials these addresses.
    #[must_use]
    pub fn new(own: OwnAddresses) -> Self {
        Self { client: OnceCell::new(), own }
    }

    /// What is to be asked about each address when a flow of this caller's goes to `origin` instead of its upstream; none where that
    /// is the upstream which is configured.
    ///
    /// # Errors
    /// When no grant covers it.
    pub fn route(&self, origin: &Origin, caller: &Caller) -> Result<Option<MayDial>, Error> {
        if caller.upstream.as_deref() == Some(origin) {
            return Ok(None);
        }
        call::guard(&self.own, caller, &url::Target::parse(&format!("{origin}/"))?).map(Some)
    }

    /// Makes a call. Must be awaited within the runtime whose connections are used.
    ///
    /// Cancel safe: dropping it closes the connection that is in use.
    pub async fn call(&self, request: Request, options: Options, caller: &Caller) -> Outcome {
        call::run(self, request, options, caller).await
    }

    /// The same for who wants no more of the response than its head.
    async fn deliver(&self, request: &Request, within: Duration, caller: &Caller) -> Result<ResponseHead, Error> {
        call::deliver(self, request, within, caller).await
    }

    async fn client(&self) -> Result<&Client, Error> {
        self.client.get_or_try_init(client).await
    }
}

/// The URL without its query, if a call could go there: errors and logs may show it.
///
/// # Errors
/// [`Error::Invalid`], which does not show it.
pub fn shown(url: &str) -> Result<String, Error> {
    url::Target::parse(url).map(|target| target.shown())
}

impl Caller {
    /// Whether this is what its flow's listener is configured with.
    fn is_own_upstream(&self, target: &Target) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| target.is_at(upstream))
    }

    /// The operator, who wants to call this URL: it needs no grant. The proxy's own addresses are dialled for nobody.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is no URL of a call.
    pub fn for_url(url: &str) -> Result<Self, Error> {
        Ok(Self { grants: HttpGrants::default(), upstream: Some(url::Target::parse(url)?.origin), way: None })
    }
}

/// A field of a request, if it is legal and an addon may set it.
///
/// # Errors
/// [`Error::Invalid`], which names the field and not its value.
pub fn header(name: String, value: Vec<u8>) -> Result<Field, Error> {
    if OF_THE_CORE.iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Err(Error::Invalid(format!("the field {name} belongs to the core")));
    }
    let shown: String = name.chars().take(100).collect();
    Field::new(name, value).map_err(|error| Error::Invalid(format!("the field {shown:?}: {error}")))
}

async fn client() -> Result<Client, Error> {
    // The system's roots are some hundred files.
    let roots = tokio::task::spawn_blocking(|| tls::client_configs(None, Protocol::Auto));
    let roots = roots.await.map_err(|error| Error::Tls(error.to_string()))?;
    let (tls, tls_http1) = roots.map_err(|error| Error::Tls(error.to_string()))?;
    Ok(Client::new(Settings {
        identified: None,
        protocol: Protocol::Auto,
        tls,
        tls_http1,
        connect_timeout: CONNECT_TIMEOUT,
        response_timeout: RESPONSE_TIMEOUT,
        idle_timeout: IDLE_TIMEOUT,
        max_idle: MAX_IDLE,
        max_kept: MAX_KEPT,
        lookups: Lookups::at_most(LOOKUPS),
        head_limits: HEAD_LIMITS,
        proxies: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_core_and_illegal_ones_are_refused() {
        for name in ["Host", "content-LENGTH", "Connection", "TE", "Expect", "", "a b", "a\r\nb", "\u{e4}"] {
            assert!(matches!(header(name.to_owned(), b"1".to_vec()), Err(Error::Invalid(_))), "{name:?}");
        }
        for value in ["hunter2\r\nb", "hunter2\0", " hunter2"] {
            let error = header("X-Secret".to_owned(), value.into()).expect_err("illegal").to_string();
            assert!(error.contains("X-Secret") && !error.contains("hunter2"), "{error}");
        }
        assert!(header("Authorization".to_owned(), b"Bearer \xff".to_vec()).is_ok());
    }
}
