//! What streams bring: WebSocket messages and server-sent events.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A message as Mastodon's streaming server sends it.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    stream: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// What matters of a message or an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News<'a> {
    /// A status came, or was edited.
    Status {
        /// Of the stream, if the message says it.
        stream: Option<Vec<Cow<'a, str>>>,
        /// The status.
        json: Cow<'a, str>,
        /// It was edited.
        is_update: bool,
    },
    /// The entry of this id is gone.
    Deleted {
        /// Of the stream, if the message says it.
        stream: Option<Vec<Cow<'a, str>>>,
        id: Cow<'a, str>,
    },
}

impl<'a> News<'a> {
    /// Of a WebSocket message; none where it is anything else.
    pub(crate) fn of_message(data: &'a [u8]) -> Option<Self> {
        if !data.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        let message: Message<'a> = serde_json::from_slice(data).ok()?;
        let payload = match message.payload.get() {
            text if text.starts_with('"') => serde_json::from_str(text).ok()?,
            json => Cow::Borrowed(json),
        };
        Self::of(&message.event, payload, message.stream)
    }

    /// Of a server-sent event; none where it is anything else.
    pub(crate) fn of_event(event: &str, data: &'a str) -> Option<Self> {
        Self::of(event, Cow::Borrowed(data), None)
    }

    /// Of the stream that brings it, if the message says it.
    pub(crate) fn stream(&self) -> Option<&[Cow<'a, str>]> {
        let (Self::Status { stream, .. } | Self::Deleted { stream, .. }) = self;
        stream.as_deref()
    }

    fn of(event: &str, payload: Cow<'a, str>, stream: Option<Vec<Cow<'a, str>>>) -> Option<Self> {
        match event {
            "update" => Some(Self::Status { stream, json: payload, is_update: false }),
            "status.update" => Some(Self::Status { stream, json: payload, is_update: true }),
            "delete" => {
                let is_id = !payload.is_empty() && payload.bytes().all(|byte| byte.is_ascii_graphic());
                is_id.then_some(Self::Deleted { stream, id: payload })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let update = br#"{"stream":["hashtag","rust"],"event":"update","payload":"{\"id\":\"1\"}"}"#;
        let stream = Some(vec!["hashtag".into(), "rust".into()]);
        let expected = News::Status { stream, json: r#"{"id":"1"}"#.into(), is_update: false };
        assert_eq!(News::of_message(update), Some(expected));
        let edit = br#" {"event":"status.update","payload":{"id":"1"}}"#;
        let expected = News::Status { stream: None, json: r#"{"id":"1"}"#.into(), is_update: true };
        assert_eq!(News::of_message(edit), Some(expected));
        let delete = br#"{"stream":["user"],"event":"delete","payload":"12"}"#;
        let expected = News::Deleted { stream: Some(vec!["user".into()]), id: "12".into() };
        assert_eq!(News::of_message(delete), Some(expected));
    }

    #[test]
    fn anything_else_is_nobodys_affair() {
        for data in [
            &b""[..],
            b"{",
            b"\xff",
            b"[]",
            b"[[\"user\"],\"update\",\"{}\"]",
            br#"{"event":"update"}"#,
            br#"{"payload":"{}"}"#,
            br#"{"event":1,"payload":"{}"}"#,
            br#"{"event":"update","event":"update","payload":"{}"}"#,
            br#"{"event":"update","payload":"{}","stream":"user"}"#,
            br#"{"event":"update","payload":"{}","stream":[1]}"#,
            br#"{"event":"notification","payload":"{}"}"#,
            br#"{"event":"delete","payload":""}"#,
            br#"{"event":"delete","payload":"a b"}"#,
            br#"{"event":"filters_changed"}"#,
            br#"{"type":"subscribe","stream":"user"}"#,
        ] {
            assert_eq!(News::of_message(data), None, "{}", String::from_utf8_lossy(data));
        }
    }
}
