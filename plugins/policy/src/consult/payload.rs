//! What services are told.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use tollgate_sdk::Header;

use super::escape;

/// What a service is told of a flow.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    meta: Vec<u8>,
    request: Message<'a>,
    /// None before.
    response: Option<Message<'a>>,
}

/// A message as it stands.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// The members of its object that come before the payload, braces included.
    head: Vec<u8>,
    body: Cow<'a, [u8]>,
    /// Whether the body goes on.
    is_cut: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    hook_id: &'a str,
    authenticated_matrix_user_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestHead<'a> {
    /// With query, as it was sent.
    #[serde(rename = "URI")]
    pub(crate) uri: String,
    /// Decoded, without query.
    pub(crate) path: Cow<'a, str>,
    pub(crate) method: &'a str,
    pub(crate) headers: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResponseHead {
    pub(crate) status_code: u16,
    pub(crate) headers: BTreeMap<String, String>,
}

/// Codings that the core takes off bodies: what was coded so is not any more.
const CODINGS: [&str; 6] = ["gzip", "x-gzip", "deflate", "br", "zstd", "identity"];
/// Bytes of what is written between heads and payloads.
const ABOUT: usize = 128;

impl<'a> Payload<'a> {
    /// # Errors
    ///
    /// Where it has no JSON.
    pub(crate) fn new(
        hook: &str,
        user: Option<&str>,
        request: Message<'a>,
        response: Option<Message<'a>>,
    ) -> Result<Self, serde_json::Error> {
        let meta = serde_json::to_vec(&Meta { hook_id: hook, authenticated_matrix_user_id: user })?;
        Ok(Self { meta, request, response })
    }

    /// The document, in which payloads take no more bytes than this. One that is cut has `"payloadTruncated": true` beside it.
    pub(crate) fn to_json(&self, room: usize) -> Vec<u8> {
        let bodies = self.body_length();
        let heads = self.messages().map(|message| message.head.len()).sum::<usize>().saturating_add(self.meta.len());
        // Few bytes of a text are escaped.
        let length = bodies.saturating_add(bodies >> 3).min(room).saturating_add(heads).saturating_add(ABOUT);
        let mut out = Vec::with_capacity(length);
        // Each byte of the response may take six; but the request leaves it no less than half.
        let kept = self.response.as_ref().map_or(0, |response| response.body.len().saturating_mul(6).min(room >> 1));
        out.extend_from_slice(b"{\"meta\":");
        out.extend_from_slice(&self.meta);
        out.extend_from_slice(b",\"request\":");
        let used = self.request.write(&mut out, room.saturating_sub(kept));
        out.extend_from_slice(b",\"response\":");
        match &self.response {
            Some(response) => drop(response.write(&mut out, room.saturating_sub(used))),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
        out
    }

    /// The same to be kept, with no more bytes of bodies than this.
    pub(crate) fn into_owned(self, room: usize) -> Payload<'static> {
        let kept = self.response.as_ref().map_or(0, |response| response.body.len().min(room >> 1));
        let request = self.request.into_owned(room.saturating_sub(kept));
        let room = room.saturating_sub(request.body.len());
        Payload { meta: self.meta, request, response: self.response.map(|response| response.into_owned(room)) }
    }

    /// Bytes of the bodies.
    pub(crate) fn body_length(&self) -> usize {
        self.messages().map(|message| message.body.len()).sum()
    }

    /// Bytes that payloads take where nothing is cut; at most.
    pub(crate) fn escaped_length(&self) -> usize {
        self.body_length().saturating_mul(6)
    }

    /// Whether a body is not told to its end.
    pub(crate) fn is_cut(&self) -> bool {
        self.messages().any(|message| message.is_cut)
    }

    fn messages(&self) -> impl Iterator<Item = &Message<'a>> {
        [Some(&self.request), self.response.as_ref()].into_iter().flatten()
    }
}

impl<'a> Message<'a> {
    /// # Errors
    ///
    /// Where the head has no JSON.
    pub(crate) fn new(head: &impl Serialize, body: &'a [u8]) -> Result<Self, serde_json::Error> {
        Ok(Self { head: serde_json::to_vec(head)?, body: Cow::Borrowed(body), is_cut: false })
    }

    /// How many bytes its payload took.
    fn write(&self, out: &mut Vec<u8>, room: usize) -> usize {
        out.extend_from_slice(self.head.strip_suffix(b"}").unwrap_or(&self.head));
        out.extend_from_slice(b",\"payload\":\"");
        let start = out.len();
        let is_whole = escape::push(out, &self.body, room) && !self.is_cut;
        let used = out.len().saturating_sub(start);
        out.extend_from_slice(if is_whole { b"\"}" } else { b"\",\"payloadTruncated\":true}" });
        used
    }

    fn into_owned(self, room: usize) -> Message<'static> {
        let body = escape::cut(&self.body, room);
        let is_cut = self.is_cut || body.len() < self.body.len();
        Message { head: self.head, body: Cow::Owned(body.to_vec()), is_cut }
    }
}

/// Header fields by name, as Go writes names, values of one name joined. Without Host, and without the coding of a body that is
/// told without it.
pub(crate) fn headers(fields: &[Header]) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in fields {
        let value = String::from_utf8_lossy(value);
        let is_undone = name.eq_ignore_ascii_case("content-encoding")
            && value.split(',').all(|coding| CODINGS.contains(&coding.trim().to_ascii_lowercase().as_str()));
        if name.eq_ignore_ascii_case("host") || is_undone {
            continue;
        }
        match headers.get_mut(&canonical(name)) {
            Some(before) => {
                before.push_str(", ");
                before.push_str(&value);
            }
            None => drop(headers.insert(canonical(name), value.into_owned())),
        }
    }
    headers
}

/// `x-mAtrix-id` as `X-Matrix-Id`.
fn canonical(name: &str) -> String {
    let mut is_first = true;
    name.chars()
        .map(|character| {
            let shown = if is_first { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() };
            is_first = character == '-';
            shown
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_canonical_and_values_joined() {
        let fields = [("x-m", "1"), ("hOST", "a"), ("X-M", "2"), ("content-encoding", "gzip, br"), ("dnt", "\u{e4}")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let told: Vec<_> = headers(&fields).into_iter().collect();
        assert_eq!(told, [("Dnt".to_owned(), "\u{e4}".to_owned()), ("X-M".to_owned(), "1, 2".to_owned())]);
    }

    #[test]
    fn unknown_codings_are_told() {
        let told = headers(&[("Content-Encoding".to_owned(), b"gzip, exi".to_vec())]);
        assert_eq!(told.get("Content-Encoding").map(String::as_str), Some("gzip, exi"));
    }

    fn told<'a>(request: &'a [u8], response: Option<&'a [u8]>) -> Payload<'a> {
        let head = RequestHead { uri: "/\"".to_owned(), path: "/".into(), method: "PUT", headers: BTreeMap::new() };
        let of_response = ResponseHead { status_code: 200, headers: headers(&[("a".to_owned(), b"b".to_vec())]) };
        let response = response.map(|body| Message::new(&of_response, body).unwrap());
        Payload::new("h", None, Message::new(&head, request).unwrap(), response).unwrap()
    }

    fn written(payload: &Payload<'_>, room: usize) -> String {
        String::from_utf8(payload.to_json(room)).unwrap()
    }

    #[test]
    fn the_document_is_that_of_the_manual() {
        let meta = r#"{"meta":{"hookId":"h","authenticatedMatrixUserId":null}"#;
        let request = r#""request":{"URI":"/\"","path":"/","method":"PUT","headers":{},"payload":"{\"a\":\"\\n\"}"}"#;
        let before = told(br#"{"a":"\n"}"#, None);
        assert_eq!(written(&before, usize::MAX), format!("{meta},{request},\"response\":null}}"));
        let after = told(br#"{"a":"\n"}"#, Some(b"x"));
        let response = r#""response":{"statusCode":200,"headers":{"A":"b"},"payload":"x"}"#;
        assert_eq!(written(&after, usize::MAX), format!("{meta},{request},{response}}}"));
    }

    #[test]
    fn cut_payloads_are_told_as_such() {
        let cut = |payload: &Payload<'_>, room| {
            let value: serde_json::Value = serde_json::from_slice(&payload.to_json(room)).unwrap();
            let of = |name: &str| {
                let (payload, flag) = (&value[name]["payload"], &value[name]["payloadTruncated"]);
                format!("{}{}", payload.as_str().unwrap_or("-"), if *flag == true { "~" } else { "" })
            };
            (of("request"), of("response"))
        };
        let pair = |request: &str, response: &str| (request.to_owned(), response.to_owned());
        let before = || told(b"abcd", None);
        assert_eq!(cut(&before(), 4), pair("abcd", "-"));
        assert_eq!(cut(&before(), 3), pair("abc~", "-"));
        assert_eq!(cut(&before().into_owned(4), 9), pair("abcd", "-"));
        assert_eq!(cut(&before().into_owned(3), 9), pair("abc~", "-"));
        // Whoever sends the request does not push the response out.
        let after = || told(b"abcdefghijkl", Some(b"1"));
        assert_eq!(cut(&after(), 12), pair("abcdef~", "1"));
        assert_eq!(cut(&after().into_owned(12), 99), pair("abcdefghijk~", "1"));
        assert_eq!(cut(&after().into_owned(0), 99), pair("~", "~"));
        assert!(after().into_owned(12).is_cut() && !after().into_owned(13).is_cut());
    }
}
