//! The messages of a flow, staged between hooks.

use std::{fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::Ledger;
use crate::{
    http::{Extent, Holdings, Origin, RequestHead, ResponseHead},
    upstream::Client,
};

/// The messages of a flow as they stand after the last hook.
pub struct Exchange {
    messages: Mutex<Messages>,
    holdings: Arc<Holdings>,
}

/// What a hook works on.
#[derive(Debug, Clone)]
pub struct Messages {
    /// The request; read-only once it was sent.
    pub request: RequestMessage,
    /// From the `response` event on.
    pub response: Option<ResponseMessage>,
    /// Notes of the chain, key and value, in the order in which keys first appeared.
    pub notes: Vec<(String, String)>,
    /// What addons changed so far.
    pub ledger: Ledger,
}

/// A staged request.
#[derive(Debug, Clone)]
pub struct RequestMessage {
    /// Its head.
    pub head: RequestHead,
    /// Its body, as far as it was collected.
    pub body: StagedBody,
    /// Where it will go.
    pub upstream: Arc<Origin>,
    /// What is asked about each address there, where an addon chose it.
    pub guard: Option<Guard>,
    /// Which redirects are followed; none by default.
    pub follow: Option<Follow>,
}

/// Whether an address may be dialled.
#[derive(Clone)]
pub struct Guard(pub Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>);

/// Where the response to a request for this target at this origin leads, if it is a redirect that is to be followed.
#[derive(Clone)]
pub struct Follow(pub Arc<dyn Fn(&ResponseHead, &Origin, &[u8]) -> Option<Step> + Send + Sync>);

/// Where a redirect leads.
pub struct Step {
    /// The next upstream.
    pub upstream: Arc<Origin>,
    /// Path and query there.
    pub target: Bytes,
    /// What is asked about each address there.
    pub guard: Option<Guard>,
}

/// How a listener's flows reach its upstream: with its trust, its version of HTTP, its connections.
#[derive(Clone)]
pub struct Way(pub Arc<Client>);

/// A staged response.
#[derive(Debug, Clone)]
pub struct ResponseMessage {
    /// Its head.
    pub head: ResponseHead,
    /// Its body, as far as it was collected.
    pub body: StagedBody,
    /// Who made it.
    pub origin: Source,
    /// Whether it may have a body: not to HEAD, not with 204 or 304.
    pub may_have_body: bool,
    /// How much of a whole its body is, whatever a hook makes of the fields: a part is not replaced.
    pub extent: Extent,
}

/// How much of a body is known.
#[derive(Debug, Clone, Default)]
pub enum StagedBody {
    /// It streams.
    #[default]
    Streaming,
    /// All of it, content codings undone.
    Whole(Bytes),
    /// Its first bytes.
    Truncated(Bytes),
    /// A hook replaced it: goes out as it is, without content coding.
    Replaced(Bytes),
}

/// Who made a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It came over the wire.
    Upstream,
    /// The addon of this name.
    Addon(Arc<str>),
    /// Tollgate itself.
    Core,
}

impl Exchange {
    /// The exchange of a flow that starts with this request; what it holds of bodies counts there.
    #[must_use]
    pub fn new(request: RequestMessage, holdings: Arc<Holdings>) -> Self {
        let messages = Messages { request, response: None, notes: Vec::new(), ledger: Ledger::default() };
        Self { messages: Mutex::new(messages), holdings }
    }

    /// Where what is held of bodies counts.
    pub const fn holdings(&self) -> &Arc<Holdings> {
        &self.holdings
    }

    /// The messages, for a short look or an edit: never held across a wait.
    pub fn lock(&self) -> parking_lot::MutexGuard<'_, Messages> {
        self.messages.lock()
    }
}

impl StagedBody {
    /// The known bytes.
    #[must_use]
    pub const fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Streaming => None,
            Self::Whole(bytes) | Self::Truncated(bytes) | Self::Replaced(bytes) => Some(bytes),
        }
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Way")
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Guard")
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Follow")
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Exchange")
    }
}
