//! WebSocket messages, and events of event streams, that hooks decide about.

use bytes::Bytes;

use super::Hook;

/// A WebSocket message, fragments put together and without compression (RFC 6455, 5.4 and 5.6).
#[derive(Debug, Clone)]
pub struct SocketMessage {
    /// Whether the client sent it; else the upstream.
    pub is_from_client: bool,
    /// Whether it is text: then the bytes are UTF-8.
    pub is_text: bool,
    /// All of it.
    pub data: Bytes,
}

/// What becomes of a WebSocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketVerdict {
    /// It goes on.
    Pass,
    /// These bytes go on instead, as a message of the same kind: UTF-8 where that is text.
    Replace(Bytes),
    /// Nothing goes on.
    Drop,
    /// Both sides are closed.
    Close(Close),
}

/// Why a WebSocket is closed, as one side tells the other (RFC 6455, 7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// One that may go over the wire: 1000 to 1003, 1007 to 1014, 3000 to 4999.
    pub code: u16,
    /// For people, at most 123 bytes.
    pub reason: String,
}

/// An event of an event stream (HTML Living Standard, 9.2.6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamEvent {
    /// Its type; none where the stream names none.
    pub event: Option<String>,
    /// The last event ID that it sets.
    pub id: Option<String>,
    /// Its lines, separated by LF.
    pub data: String,
    /// Reconnection time in milliseconds.
    pub retry: Option<u64>,
}

/// What becomes of an event, and of the stream after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamVerdict {
    /// Of the event.
    pub action: StreamAction,
    /// Whether the stream ends after it.
    pub is_last: bool,
}

/// What becomes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamAction {
    /// It goes on, byte for byte.
    Pass,
    /// This one goes on instead.
    Replace(StreamEvent),
    /// Nothing of it goes on.
    Drop,
}

/// How many messages of a WebSocket, or events of an event stream, there were; and how it was closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Messages from the client.
    pub from_client: u64,
    /// Messages, or events, from the upstream.
    pub from_upstream: u64,
    /// Of both, those that hooks replaced.
    pub edited: u64,
    /// Of both, those that hooks dropped.
    pub dropped: u64,
    /// Code of the first close of a WebSocket, whoever it came from; 1005 for one without, 1006 where a connection was lost.
    pub close_code: Option<u16>,
}

impl Hook {
    /// Bytes of the message or event that it is given: more of them may take it longer.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::WebsocketMessage(message) => message.data.len(),
            Self::SseEvent(event) => event.len(),
            _ => 0,
        }
    }
}

impl StreamEvent {
    /// Bytes of its texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len() + self.event.as_ref().map_or(0, String::len) + self.id.as_ref().map_or(0, String::len)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
