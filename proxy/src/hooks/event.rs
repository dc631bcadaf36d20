//! What hooks are called for.

use std::fmt;

/// An event that a hook can be called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Event {
    /// CONNECT reached a forward listener.
    Connect,
    /// A request arrived.
    Request,
    /// A piece of a request body arrived.
    RequestChunk,
    /// A response is ready to go to the client.
    Response,
    /// A piece of a response body arrived.
    ResponseChunk,
    /// An event of an event stream arrived.
    SseEvent,
    /// A WebSocket message arrived.
    WebsocketMessage,
    /// No response could be had.
    UpstreamError,
    /// The flow ended.
    Finish,
}

/// A set of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Events(u16);

impl Events {
    /// Adds one.
    pub const fn insert(&mut self, event: Event) {
        self.0 |= 1 << event as u16;
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn contains(self, event: Event) -> bool {
        self.0 & (1 << event as u16) != 0
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Event {
    /// All of them, in the order in which they happen.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Request,
        Self::RequestChunk,
        Self::Response,
        Self::ResponseChunk,
        Self::SseEvent,
        Self::WebsocketMessage,
        Self::UpstreamError,
        Self::Finish,
    ];

    /// As in WIT: `upstream-error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Request => "request",
            Self::RequestChunk => "request-chunk",
            Self::Response => "response",
            Self::ResponseChunk => "response-chunk",
            Self::SseEvent => "sse-event",
            Self::WebsocketMessage => "websocket-message",
            Self::UpstreamError => "upstream-error",
            Self::Finish => "finish",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
