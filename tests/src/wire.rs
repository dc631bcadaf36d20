//! HTTP/1 read strictly: what is not exactly one well-formed message is an error.
//!
//! This reader shares nothing with the proxy's own, and is stricter: it takes what a careful sender writes, and no more. No
//! leading empty lines, no chunk extensions, no folded fields, no blanks around a chunk size, one Host, one framing.

mod stream;

use std::{fmt, io};

pub use stream::Wire;

/// A request as it was on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// As written.
    pub method: String,
    /// As written.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// In order, names as written.
    pub fields: Fields,
    /// Framing taken off; empty until it is read.
    pub body: Vec<u8>,
    /// What followed the last chunk.
    pub trailers: Fields,
}

/// A response as it was on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// As written.
    pub status: u16,
    /// As written.
    pub reason: String,
    /// In order, names as written.
    pub fields: Fields,
    /// Framing taken off; empty until it is read.
    pub body: Vec<u8>,
    /// What followed the last chunk.
    pub trailers: Fields,
    /// Interim responses that came before.
    pub interim: Vec<Response>,
}

/// Fields of a head or of trailers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, Vec<u8>)>);

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes, none included.
    Length(u64),
    /// Chunks.
    Chunked,
    /// The end of the connection.
    UntilClose,
}

/// Why there is no message.
#[derive(Debug)]
pub enum WireError {
    /// The peer sent no well-formed message.
    Malformed(String),
    /// The peer closed in the middle of one.
    Truncated,
    /// The connection was lost.
    Io(io::Error),
}

use WireError::{Malformed, Truncated};

impl Fields {
    /// Lines without the last one's end.
    fn parse(lines: &str) -> Result<Self, WireError> {
        if lines.is_empty() {
            return Ok(Self::default());
        }
        let mut fields = Vec::new();
        for line in lines.split("\r\n") {
            let (name, value) = line.split_once(':').ok_or_else(|| Malformed(format!("the field {line:?}")))?;
            let value = value.trim_matches([' ', '\t']);
            let is_value = value.chars().all(|character| character == '\t' || (character >= ' ' && character != '\x7f'));
            if !is_token(name) || !is_value {
                return Err(Malformed(format!("the field {line:?}")));
            }
            let value = value.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect();
            fields.push((name.to_owned(), value));
        }
        Ok(Self(fields))
    }

    /// The first value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Values of this name. One that is not text shows as nothing.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let name = name.to_owned();
        self.0
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(&name))
            .map(|(_, value)| std::str::from_utf8(value).unwrap_or_default())
    }

    /// Names in order, as written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there is one of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The one framing that the fields tell, if they tell any.
    fn framing(&self) -> Result<Option<Framing>, WireError> {
        let lengths: Vec<_> = self.all("content-length").collect();
        let codings: Vec<_> = self.all("transfer-encoding").collect();
        match (&lengths[..], &codings[..]) {
            ([], []) => Ok(None),
            ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => length
                .parse()
                .map(|length| Some(Framing::Length(length)))
                .map_err(|_| Malformed(format!("the length {length:?}"))),
            ([], ["chunked"]) => Ok(Some(Framing::Chunked)),
            _ => Err(Malformed(format!("the framing {lengths:?} {codings:?}"))),
        }
    }
}

impl Request {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Response {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_version(text: &str) -> bool {
    text == "HTTP/1.1" || text == "HTTP/1.0"
}

impl fmt::Debug for Fields {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.0.iter().map(|(name, value)| (name, value.escape_ascii().to_string()))).finish()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {} {:?} ", self.method, self.target, self.version, self.fields)?;
        show_body(&self.body, &self.trailers, out)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for interim in &self.interim {
            write!(out, "{interim:?}, then ")?;
        }
        write!(out, "{} {} {} {:?} ", self.version, self.status, self.reason, self.fields)?;
        show_body(&self.body, &self.trailers, out)
    }
}

/// The start of a body, and what followed it.
fn show_body(body: &[u8], trailers: &Fields, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    const SHOWN: usize = 1000;
    write!(out, "\"{}\"", body[..body.len().min(SHOWN)].escape_ascii())?;
    if body.len() > SHOWN {
        write!(out, "… ({} bytes)", body.len())?;
    }
    if trailers.0.is_empty() { Ok(()) } else { write!(out, " {trailers:?}") }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed(why) => write!(out, "malformed: {why}"),
            Truncated => out.write_str("closed in the middle"),
            Self::Io(error) => write!(out, "lost: {error}"),
        }
    }
}

impl std::error::Error for WireError {}

#[cfg(test)]
mod tests {
    use super::*;

    async fn request(text: &str) -> Result<Option<Request>, WireError> {
        Wire::new(io::Cursor::new(text.to_owned().into_bytes()), tokio::io::sink()).request().await
    }

    #[tokio::test]
    async fn careful_messages_are_read() {
        let read =
            request("POST /a HTTP/1.1\r\nHost: h\r\nX-a:  1 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n")
                .await
                .expect("well-formed")
                .expect("a request");
        assert_eq!((read.method.as_str(), read.target.as_str(), &read.body[..]), ("POST", "/a", &b"abc"[..]));
        assert_eq!((read.fields.get("x-A"), read.trailers.get("t")), (Some("1"), Some("1")));
    }

    #[tokio::test]
    async fn careless_messages_are_refused() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX : 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nb\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nbc\r\n0\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET ?q HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            assert!(matches!(request(text).await, Err(Malformed(_))), "{text:?}");
        }
        assert!(matches!(request("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na").await, Err(Truncated)));
    }
}
