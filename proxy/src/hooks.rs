//! What a flow asks of addons, and nothing of how they run.
//!
//! The flow decides which event happens when, evaluates filters and applies failure policies; an implementation of
//! [`Addons`] runs the hooks. Staged messages sit in an [`Exchange`]: an instance works on a copy and commits it when its
//! hook has returned without an error, so that a failed hook leaves nothing behind.

mod chunk;
mod connect;
mod event;
mod exchange;
mod ledger;
mod message;
mod policy;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;

use crate::{
    filter::{Answer, Filter, FilterSet, Texts},
    http::{Headers, Origin},
    upstream::Upstreams,
};

pub use chunk::{Chunk, ChunkAction, ChunkVerdict};
pub use connect::{Connecting, Ruling};
pub use event::{Event, Events};
pub use exchange::{Exchange, Follow, Guard, Messages, RequestMessage, ResponseMessage, Source, StagedBody, Step, Way};
pub use ledger::{Change, Content, Digest, FieldChanges, Ledger, MessageKind, Mutation, differences};
pub use message::{Close, MessageCounts, SocketMessage, SocketVerdict, StreamAction, StreamEvent, StreamVerdict};
pub use policy::{FailureAnswer, FailurePolicy, OnError, QuarantineRule};

/// Gives out the chain of addons that is in force.
pub trait Addons: Send + Sync + 'static {
    /// The chain for a flow that starts now on this listener. Cheap: called once a flow.
    fn chain(&self, listener: &str) -> Arc<Chain>;
}

/// The addons of one listener in one generation; never changes.
pub struct Chain {
    /// Grows with every accepted change of code or options.
    pub generation: u64,
    /// In the order of request events.
    pub addons: Vec<Arc<dyn Addon>>,
    /// Events that at least one addon subscribes to.
    pub events: Events,
    matchers: Vec<[Option<Matcher>; Event::ALL.len()]>,
}

/// The filters of one addon's subscriptions to one event, as one.
struct Matcher {
    indices: Vec<u32>,
    filters: FilterSet,
}

/// One addon of a chain.
pub trait Addon: Send + Sync + 'static {
    /// File stem of its component.
    fn name(&self) -> &str;
    /// What `configure` answered, filters compiled, in its order.
    fn subscriptions(&self) -> &[Subscription];
    /// Whether it can change anything of a message.
    fn may_edit(&self) -> bool;
    /// Whether its `response` hook can replace the body of a response, asked for or not.
    fn may_set_response_bodies(&self) -> bool;
    /// What becomes of flows whose hook failed.
    fn policy(&self) -> &FailurePolicy;
    /// An instance for this flow. Cheap: nothing is created before its first call.
    fn instance(self: Arc<Self>, facts: Arc<Facts>) -> Box<dyn Instance>;
}

/// An addon at work on one flow.
pub trait Instance: Send + Sync {
    /// Runs a hook; calls of one instance run one after the other.
    ///
    /// Dropping the future does not cancel the hook: it runs on, to its end or its deadline, and what it did is discarded.
    /// After an error every later call fails with [`HookError::Gone`].
    fn call(&self, call: Call, exchange: Arc<Exchange>) -> BoxFuture<'static, Result<Verdict, HookError>>;
    /// Whether the last call did something outside of its flow, or may have: then it must not be made once more.
    fn had_effect(&self) -> bool;
    /// A fresh instance for the same flow, in place of this one; it knows nothing of earlier hooks.
    fn renewed(&self, why: Renewal) -> Box<dyn Instance>;
}

/// Why a flow gets another instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// A hook failed and is called once more.
    Retry,
    /// The instance was gone before: an earlier hook had failed, or its client had left in the middle of it.
    Gone,
}

/// An addon's wish to be called.
#[derive(Debug)]
pub struct Subscription {
    /// When.
    pub event: Event,
    /// For which flows.
    pub filter: Filter,
    /// The filter as written.
    pub filter_text: String,
    /// With how much of the body.
    pub body: BodyMode,
}

/// How much of a body a hook sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyMode {
    /// None; it streams past.
    None,
    /// All of it, up to `cap` bytes.
    Full {
        /// Bytes, content codings undone.
        cap: usize,
        /// What happens beyond.
        over_cap: OverCap,
    },
}

/// What happens to a flow whose body is over a subscription's cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverCap {
    /// 413 for requests, 502 for responses.
    Refuse,
    /// The hook is not called.
    PassUnseen,
    /// The hook sees the first bytes, read-only.
    Truncate,
}

/// What never changes while a flow lives.
#[derive(Debug)]
pub struct Facts {
    /// Unique in this process, increasing.
    pub id: u64,
    /// Name of the listener.
    pub listener: Arc<str>,
    /// The client's address.
    pub peer: SocketAddr,
    /// Whether the client speaks TLS.
    pub is_tls: bool,
    /// The flow of the CONNECT that it is inside of.
    pub connect: Option<u64>,
    /// The user that the client has proven to be, where the listener asks.
    pub user: Option<Arc<str>>,
    /// When the request's head was complete.
    pub started: SystemTime,
    /// Of the chain that the flow keeps.
    pub generation: u64,
    /// The upstream that the listener is configured with, or that the client of a forward listener chose; whatever addons choose.
    pub upstream: Arc<Origin>,
    /// Upstreams of the listener, which addons may choose by name; none on a forward listener.
    pub named: Option<Arc<Upstreams>>,
    /// The listener's way there, for requests that addons make of their own to it.
    pub way: Option<Way>,
    /// What is asked about each address there, where the client chose it.
    pub guard: Option<Guard>,
    /// The origin that the client knows, where the listener stands for its upstream.
    pub public: Option<Arc<Origin>>,
}

/// One call of a hook.
#[derive(Debug, Clone)]
pub struct Call {
    /// Indices of the subscriptions that matched.
    pub matched: Vec<u32>,
    /// Which hook.
    pub hook: Hook,
    /// How much of the body they asked for, in bytes; none: the hook sees none, even if it is known.
    pub body_cap: Option<usize>,
}

/// A hook with what it is given besides the exchange.
#[derive(Debug, Clone)]
pub enum Hook {
    /// May decide what becomes of a CONNECT.
    Connect(Connecting),
    /// May edit the request.
    Request,
    /// May replace this piece of the request's body.
    RequestChunk(Chunk),
    /// May edit the response.
    Response,
    /// May replace this piece of the response's body.
    ResponseChunk(Chunk),
    /// May replace this event of the response.
    SseEvent(StreamEvent),
    /// May replace this message.
    WebsocketMessage(SocketMessage),
    /// May make a response.
    UpstreamError(UpstreamFailure),
    /// May only look.
    Finish(Outcome),
}

/// What a hook decided.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Next,
    /// Go on without the `request` events of later addons.
    EndChain,
    /// Use this response.
    Respond(MadeResponse),
    /// Answer with this error.
    Refuse(Refusal),
    /// Close the client's connection or reset its stream.
    Drop,
    /// Of a piece of a body.
    Chunk(ChunkVerdict),
    /// Of an event of an event stream.
    Stream(StreamVerdict),
    /// Of a WebSocket message.
    Socket(SocketVerdict),
    /// Of a CONNECT.
    Connect(Ruling),
}

/// A response made by an addon; checked: the status is 200 to 599, the fields are legal and none is the core's.
#[derive(Debug, Clone)]
pub struct MadeResponse {
    /// 200 to 599.
    pub status: StatusCode,
    /// Without framing fields.
    pub headers: Headers,
    /// All of it.
    pub body: Bytes,
}

/// An error answer in Matrix' shape.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// 400 to 599.
    pub status: StatusCode,
    /// Like `M_FORBIDDEN`.
    pub errcode: String,
    /// For people.
    pub error: String,
}

/// Why there is no response from the upstream.
#[derive(Debug, Clone)]
pub struct UpstreamFailure {
    /// For programs.
    pub kind: FailureKind,
    /// For people who look after the proxy: names the upstream; without credentials.
    pub message: String,
    /// The same for the client, whose business the upstream's address is not.
    pub reason: String,
}

/// Kinds of failures of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The name has no address.
    Dns,
    /// No connection.
    Connect,
    /// No trust, or nothing in common.
    Tls,
    /// No response in time: the only kind that becomes 504, the others 502.
    Timeout,
    /// The connection ended before a response.
    Closed,
    /// Not HTTP, or over a limit.
    Protocol,
}

/// How a flow ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Sent to the client.
    pub status: Option<StatusCode>,
    /// Who made the response.
    pub source: Option<Source>,
    /// Why it is not complete.
    pub error: Option<String>,
    /// Body bytes from the client.
    pub request_bytes: u64,
    /// Body bytes to the client.
    pub response_bytes: u64,
    /// From the complete head to the end.
    pub duration: Duration,
    /// What addons changed.
    pub mutations: Arc<Ledger>,
    /// Messages and events that hooks were asked about, where there were any.
    pub messages: Option<MessageCounts>,
}

/// Why a hook has no verdict. What it did to the messages is discarded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HookError {
    /// The guest trapped: text with message and place if it told them.
    #[error("trapped: {0}")]
    Trap(String),
    /// The guest returned an error.
    #[error("failed: {0}")]
    Failed(String),
    /// The hook used its CPU or its time.
    #[error("over its {kind} budget of {limit:?}")]
    Deadline {
        /// `cpu` or `wall`.
        kind: &'static str,
        /// As configured.
        limit: Duration,
    },
    /// The verdict cannot be carried out, like a status of 99.
    #[error("gave an impossible verdict: {0}")]
    Verdict(String),
    /// No instance could be had.
    #[error("no instance: {0}")]
    Instance(String),
    /// Those of this addon alone are in use, and those that all addons share.
    #[error("no instance: its own {own} are in use, and so are the {common} that all share")]
    NoSeat {
        /// Kept for this addon.
        own: u32,
        /// For whoever comes first.
        common: u32,
    },
    /// As many instances of this addon live as may.
    #[error("no instance: all {0} of this addon are in use")]
    NoRoom(u32),
    /// The addon kept failing: flows do not come to it for a while.
    #[error("quarantined")]
    Quarantined,
    /// The configuration names the addon, and it is not in force.
    #[error("not loaded")]
    NotLoaded,
    /// It was not called: it wants the body without content codings, and they cannot be taken off.
    #[error("the body cannot be shown: {0}")]
    Coded(&'static str),
    /// An earlier hook of this instance failed.
    #[error("gone after an earlier failure")]
    Gone,
}

impl Chain {
    /// A chain of these addons.
    #[must_use]
    pub fn new(generation: u64, addons: Vec<Arc<dyn Addon>>) -> Self {
        let mut events = Events::default();
        for addon in &addons {
            for subscription in addon.subscriptions() {
                events.insert(subscription.event);
            }
        }
        let matchers = addons.iter().map(|addon| Event::ALL.map(|event| Matcher::new(addon.subscriptions(), event))).collect();
        Self { generation, addons, events, matchers }
    }

    /// Asks the filters of the addon at `index` about an event: calls `hit` with the index of each subscription that matches,
    /// or may match once a body is known.
    pub fn evaluate(&self, index: usize, event: Event, texts: &Texts<'_>, mut hit: impl FnMut(u32, Answer)) {
        let Some(Some(matcher)) = self.matchers.get(index).and_then(|events| events.get(event as usize)) else { return };
        matcher.filters.evaluate(texts, |place, answer| {
            if let Some(&subscription) = matcher.indices.get(place) {
                hit(subscription, answer);
            }
        });
    }

    /// Whether the addon at `index` subscribes to this event.
    #[must_use]
    pub fn subscribes(&self, index: usize, event: Event) -> bool {
        self.matchers.get(index).and_then(|events| events.get(event as usize)).is_some_and(Option::is_some)
    }
}

impl Matcher {
    /// None if there is no subscription to this event.
    fn new(subscriptions: &[Subscription], event: Event) -> Option<Self> {
        let (indices, filters): (Vec<u32>, Vec<&Filter>) = (0_u32..)
            .zip(subscriptions)
            .filter(|(_, subscription)| subscription.event == event)
            .map(|(index, subscription)| (index, &subscription.filter))
            .unzip();
        (!indices.is_empty()).then(|| Self { indices, filters: FilterSet::new(filters) })
    }
}

impl FailureKind {
    /// Status for the client.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}
