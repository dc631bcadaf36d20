//! What hooks are shown besides messages.

use std::time::Duration;

use crate::{Mutation, Origin, host};

/// A piece of a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    /// May be empty in the last call.
    pub data: Vec<u8>,
    /// The last call for this body.
    pub is_last: bool,
}

/// Kinds of WebSocket messages (RFC 6455, 5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebsocketKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// A WebSocket message, pieces reassembled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebsocketMessage {
    /// Whether the client sent it; else the upstream.
    pub is_from_client: bool,
    /// Text or binary.
    pub kind: WebsocketKind,
    /// The whole payload.
    pub data: Vec<u8>,
}

/// An event of an event stream (HTML Living Standard, 9.2.6).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// Its type; none means `message`.
    pub event: Option<String>,
    /// The last event ID that it sets.
    pub id: Option<String>,
    /// Lines are separated by LF.
    pub data: String,
    /// Reconnection time in milliseconds.
    pub retry: Option<u64>,
}

/// Kinds of failures of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The name has no address.
    Dns,
    /// No connection: refused, unreachable, or not within the connect timeout.
    Connect,
    /// No trust in the upstream's certificate, or no common version or cipher.
    Tls,
    /// Connected, but no response within the limit. Becomes 504; all others 502.
    Timeout,
    /// The connection ended before a response.
    Closed,
    /// What came back is not HTTP, or over a limit.
    Protocol,
}

/// Why there is no response from the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamFailure {
    /// For programs.
    pub kind: FailureKind,
    /// For people; holds no credentials.
    pub message: String,
}

/// Messages of a WebSocket, or events of an event stream, that hooks were asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageCounts {
    /// Messages from the client.
    pub from_client: u64,
    /// Messages, or events, from the upstream.
    pub from_upstream: u64,
    /// Of both, those that addons replaced.
    pub edited: u64,
    /// Of both, those that addons dropped.
    pub dropped: u64,
    /// Code of the first close of a WebSocket, whoever it came from: 1005 if it had none, 1006 if a connection was lost.
    pub close_code: Option<u16>,
}

/// How a flow ended.
#[derive(Debug)]
pub struct Outcome<'a> {
    host: &'a host::Outcome,
}

impl<'a> Outcome<'a> {
    pub(crate) const fn new(host: &'a host::Outcome) -> Self {
        Self { host }
    }

    /// Status that the client was sent; none if it was sent no response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.host.status()
    }

    /// Whether the whole response was handed to the client's connection.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.host.is_complete()
    }

    /// Why not, in words; none if it was.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.host.error()
    }

    /// Where the response came from; none if there was none.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.host.origin().map(host::origin)
    }

    /// Bytes of the request's body that were read from the client.
    #[must_use]
    pub fn request_bytes(&self) -> u64 {
        self.host.request_bytes()
    }

    /// Bytes of the response's body that were handed to the client's connection.
    #[must_use]
    pub fn response_bytes(&self) -> u64 {
        self.host.response_bytes()
    }

    /// From the complete head of the request to the end of the flow.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.host.duration())
    }

    /// What addons changed, this one included, in the order of their first changes; at most 256. A hook that failed has changed
    /// nothing.
    #[must_use]
    pub fn mutations(&self) -> Vec<Mutation> {
        self.host.mutations().into_iter().map(host::mutation).collect()
    }

    /// Changes that are not in [`mutations`](Self::mutations), since there were too many.
    #[must_use]
    pub fn mutations_left_out(&self) -> u32 {
        self.host.mutations_left_out()
    }

    /// What went through `websocket_message` or `sse_event` of any addon; none where there was neither.
    #[must_use]
    pub fn messages(&self) -> Option<MessageCounts> {
        self.host.messages().map(host::message_counts)
    }
}
