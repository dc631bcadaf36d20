//! What an addon asks for.

/// The events that an addon can subscribe to, in the only order in which they can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// CONNECT reached a forward listener.
    Connect,
    /// The head of a request arrived or, with its body asked for, all of it.
    Request,
    /// A piece of a streamed request body arrived.
    RequestChunk,
    /// The head of a response arrived or, with its body asked for, all of it; also for responses of addons and of the core.
    Response,
    /// A piece of a streamed response body arrived.
    ResponseChunk,
    /// An event of a `text/event-stream` response arrived.
    SseEvent,
    /// A WebSocket message arrived, from either side, pieces reassembled.
    WebsocketMessage,
    /// No response could be had from the upstream.
    UpstreamError,
    /// The flow ended, whatever way; exactly once, off the path of the client.
    Finish,
}

/// What happens to a flow whose body is over the cap of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OverCap {
    /// 413 for a request, 502 for a response.
    #[default]
    Refuse,
    /// The flow goes on without this hook; the log tells.
    PassUnseen,
    /// The hook sees the first bytes and can edit anything but the body.
    Truncate,
}

/// How much of a body a subscription asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BodyMode {
    /// Only the head; the body streams past.
    #[default]
    None,
    /// The whole body, collected before the hook is called, content codings undone. For pieces of a body: without content
    /// codings, and no larger than the cap.
    Full {
        /// In bytes. None: the addon's `max_body` (default 10 MiB).
        cap: Option<u64>,
        /// What happens beyond.
        over_cap: OverCap,
    },
}

/// Asks for an event.
///
/// ```
/// use tollgate_sdk::{Event, OverCap, Subscription};
///
/// // The whole body of JSON answers below /api, but only up to 64 KiB.
/// let subscription = Subscription::to(Event::Response)
///     .filter("~p ^/api/ & ~ts application/json")
///     .with_body_up_to(64 * 1024, OverCap::PassUnseen);
/// # assert_eq!(subscription.event(), Event::Response);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Subscription {
    event: Event,
    filter: String,
    body: BodyMode,
}

impl Subscription {
    /// Asks for this event, for every flow and without body.
    pub const fn to(event: Event) -> Self {
        Self { event, filter: String::new(), body: BodyMode::None }
    }

    /// Only for flows that match this expression. Default: empty, which matches every flow.
    ///
    /// The language is that of mitmproxy 10, with `~p REGEX` for the percent-decoded path without query and `~l NAME` for the
    /// listener. The core evaluates it when the event happens; an expression that it can't read refuses the addon at load.
    pub fn filter(mut self, expression: impl Into<String>) -> Self {
        self.filter = expression.into();
        self
    }

    /// Asks for the whole body, up to the addon's `max_body` (default 10 MiB); a larger one is refused: 413 for a request, 502
    /// for a response. With [`Event::RequestChunk`] and [`Event::ResponseChunk`] pieces come without content codings, and the
    /// message goes on without Content-Encoding; without this they come as they are on the wire. With another event it refuses
    /// the addon at load.
    pub const fn with_body(mut self) -> Self {
        self.body = BodyMode::Full { cap: None, over_cap: OverCap::Refuse };
        self
    }

    /// As [`with_body`](Self::with_body), with a cap of one's own in bytes: for pieces the largest one, at most 64 KiB. A cap over `max_body` refuses the addon at load.
    pub const fn with_body_up_to(mut self, bytes: u64, over_cap: OverCap) -> Self {
        self.body = BodyMode::Full { cap: Some(bytes), over_cap };
        self
    }

    /// What happens to a body over the cap; without a body asked for, nothing. Default: [`OverCap::Refuse`].
    pub const fn over_cap(mut self, over_cap: OverCap) -> Self {
        if let BodyMode::Full { cap, .. } = self.body {
            self.body = BodyMode::Full { cap, over_cap };
        }
        self
    }

    /// The event.
    #[must_use]
    pub const fn event(&self) -> Event {
        self.event
    }

    /// The filter as written.
    #[must_use]
    pub fn filter_text(&self) -> &str {
        &self.filter
    }

    /// How much of the body.
    #[must_use]
    pub const fn body(&self) -> BodyMode {
        self.body
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn into_filter(self) -> String {
        self.filter
    }
}
