//! What hooks decide.

use crate::{MadeResponse, Refusal, SseEvent};

/// What happens to a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ConnectVerdict {
    /// No opinion: on to the next addon; after the last one the listener's lists decide.
    #[default]
    Next,
    /// Answer 200, end the client's TLS here and show what is inside, whatever the listener's lists say. Fails the hook where the
    /// listener has no authority.
    Intercept,
    /// Connect, answer 200 and copy bytes both ways, unseen, whatever the listener's lists say.
    Tunnel,
    /// Answer with this error.
    Refuse(Refusal),
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RequestVerdict {
    /// On to the next addon, or upstream.
    #[default]
    Next,
    /// On to the upstream: the `request` hooks of later addons are skipped.
    EndChain,
    /// Answer with this response; nothing goes upstream. It passes through the `response` hooks, this addon's included.
    Respond(MadeResponse),
    /// Answer with this error; nothing goes upstream. It passes through the `response` hooks like any response.
    Refuse(Refusal),
    /// Close the client's connection (HTTP/2: reset the stream) without an answer.
    Drop,
}

/// What happens to a response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ResponseVerdict {
    /// On to the next addon, or to the client.
    #[default]
    Next,
    /// Send this in place of the response.
    Replace(MadeResponse),
    /// Close the client's connection (HTTP/2: reset the stream) without an answer.
    Drop,
}

/// What happens to a piece of a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ChunkAction {
    /// It goes on as it is.
    #[default]
    Pass,
    /// These bytes go on in its place.
    Replace(Vec<u8>),
    /// Nothing goes on for this piece. What was held back may be sent with a later one.
    Drop,
}

/// What happens to a piece of a body, and whether the next one is shown too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkVerdict {
    /// For this piece.
    pub action: ChunkAction,
    /// No more calls for this body: the rest goes by unseen.
    pub is_done: bool,
}

/// What happens to an event of an event stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SseVerdict {
    /// It goes on as it is.
    #[default]
    Pass,
    /// This one goes on in its place.
    Replace(SseEvent),
    /// The client never sees it.
    Drop,
}

/// What happens to a WebSocket message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WebsocketVerdict {
    /// It goes on as it is.
    #[default]
    Pass,
    /// These bytes go on in its place, as a message of the same kind.
    Replace(Vec<u8>),
    /// The other side never sees it.
    Drop,
    /// Both sides are closed.
    Close {
        /// RFC 6455, 7.4.
        code: u16,
        /// At most 123 bytes (RFC 6455, 5.5).
        reason: String,
    },
}

impl ChunkVerdict {
    /// The piece goes on as it is.
    #[must_use]
    pub const fn pass() -> Self {
        Self { action: ChunkAction::Pass, is_done: false }
    }

    /// These bytes go on in its place.
    pub fn replace(data: impl Into<Vec<u8>>) -> Self {
        Self { action: ChunkAction::Replace(data.into()), is_done: false }
    }

    /// Nothing goes on for this piece.
    #[must_use]
    pub const fn hold() -> Self {
        Self { action: ChunkAction::Drop, is_done: false }
    }

    /// And the rest of the body goes by unseen.
    #[must_use]
    pub fn and_done(mut self) -> Self {
        self.is_done = true;
        self
    }
}

impl From<MadeResponse> for RequestVerdict {
    fn from(response: MadeResponse) -> Self {
        Self::Respond(response)
    }
}

impl From<Refusal> for RequestVerdict {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<MadeResponse> for ResponseVerdict {
    fn from(response: MadeResponse) -> Self {
        Self::Replace(response)
    }
}

impl From<Refusal> for ResponseVerdict {
    fn from(refusal: Refusal) -> Self {
        Self::Replace(refusal.into_response())
    }
}
