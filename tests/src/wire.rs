//! HTTP/1 read strictly: what is not exactly one well-formed message is an error.
//!
//! This reader shares nothing with the proxy's own, and is stricter: it takes what a careful sender writes, and no more. No
//! leading empty lines, no chunk extensions, no folded fields, no blanks around a chunk size, one Host, one framing.

use std::{fmt, io};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest head that is read.
const MAX_HEAD: usize = 2 << 20;

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

/// A connection that speaks HTTP/1, or any other bytes.
pub struct Wire {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// What was read and not yet taken.
    pub buffer: BytesMut,
    body: State,
    on_read: OnRead,
}

type OnRead = Box<dyn FnMut(&[u8]) + Send>;

#[derive(Debug, Clone, Copy)]
enum State {
    Length(u64),
    Chunk,
    ChunkData(u64),
    UntilClose,
    End,
}

use WireError::{Malformed, Truncated};

impl Wire {
    /// Speaks over a stream.
    pub fn new(reader: impl AsyncRead + Send + Unpin + 'static, writer: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self {
            reader: Box::new(reader),
            writer: Box::new(writer),
            buffer: BytesMut::new(),
            body: State::End,
            on_read: Box::new(|_| {}),
        }
    }

    /// Shows every byte that is read from now on.
    pub fn on_read(&mut self, on_read: impl FnMut(&[u8]) + Send + 'static) {
        self.on_read = Box::new(on_read);
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.writer.write_all(bytes.as_ref()).await?;
        self.writer.flush().await
    }

    /// Closes the sending side.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.writer.shutdown().await
    }

    /// Reads once; 0 at the end.
    pub async fn fill(&mut self) -> io::Result<usize> {
        let before = self.buffer.len();
        self.buffer.reserve(64 * 1024);
        let read = self.reader.read_buf(&mut self.buffer).await?;
        (self.on_read)(&self.buffer[before..]);
        Ok(read)
    }

    /// Takes exactly so many bytes.
    pub async fn take(&mut self, count: usize) -> Result<Bytes, WireError> {
        while self.buffer.len() < count {
            if self.fill().await? == 0 {
                return Err(Truncated);
            }
        }
        Ok(self.buffer.split_to(count).freeze())
    }

    /// Takes everything until the peer closes.
    pub async fn take_all(&mut self) -> io::Result<Bytes> {
        while self.fill().await? > 0 {}
        Ok(self.buffer.split().freeze())
    }

    /// Reads the head of a request. None if the peer closed instead.
    pub async fn request_head(&mut self) -> Result<Option<Request>, WireError> {
        let Some(head) = self.head().await? else { return Ok(None) };
        let (line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
        let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(Malformed(format!("the request line {line:?}")));
        };
        if !is_token(method) || target.is_empty() || !is_version(version) {
            return Err(Malformed(format!("the request line {line:?}")));
        }
        let is_whole = target.starts_with('/') || (target == "*" && method == "OPTIONS");
        if !is_whole || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Malformed(format!("the target {target:?}")));
        }
        let fields = Fields::parse(fields)?;
        if fields.all("host").count() != 1 {
            return Err(Malformed(format!("{} Host fields", fields.all("host").count())));
        }
        self.body = match fields.framing()? {
            None => State::End,
            Some(Framing::Chunked) if version == "HTTP/1.0" => return Err(Malformed("chunks in HTTP/1.0".to_owned())),
            Some(framing) => framing.into(),
        };
        Ok(Some(Request {
            method: method.to_owned(),
            target: target.to_owned(),
            version: version.to_owned(),
            fields,
            body: Vec::new(),
            trailers: Fields::default(),
        }))
    }

    /// Reads a request to its end. None if the peer closed instead.
    pub async fn request(&mut self) -> Result<Option<Request>, WireError> {
        let Some(mut request) = self.request_head().await? else { return Ok(None) };
        request.trailers = self.rest(&mut request.body).await?;
        Ok(Some(request))
    }

    /// Reads the head of a response to a request with this method, an interim one included.
    pub async fn response_head(&mut self, method: &str) -> Result<Response, WireError> {
        let head = self.head().await?.ok_or(Truncated)?;
        let (line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
        let [version, status, reason] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            return Err(Malformed(format!("the status line {line:?}")));
        };
        let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
        if !is_version(version) || !is_status {
            return Err(Malformed(format!("the status line {line:?}")));
        }
        let status: u16 = status.parse().map_err(|_| Malformed(format!("the status line {line:?}")))?;
        let fields = Fields::parse(fields)?;
        let framing = fields.framing()?;
        if (status < 200 || status == 204) && framing.is_some() {
            return Err(Malformed(format!("{status} with a body")));
        }
        let has_none = method == "HEAD" || status < 200 || status == 204 || status == 304;
        self.body = match framing {
            _ if has_none => State::End,
            None => State::UntilClose,
            Some(framing) => framing.into(),
        };
        Ok(Response {
            version: version.to_owned(),
            status,
            reason: reason.to_owned(),
            fields,
            body: Vec::new(),
            trailers: Fields::default(),
            interim: Vec::new(),
        })
    }

    /// Reads a final response to its end, with the interim ones before it. 101 is final.
    pub async fn response(&mut self, method: &str) -> Result<Response, WireError> {
        let mut interim = Vec::new();
        loop {
            let mut response = self.response_head(method).await?;
            if response.status < 200 && response.status != 101 {
                interim.push(response);
                continue;
            }
            response.interim = interim;
            response.trailers = self.rest(&mut response.body).await?;
            return Ok(response);
        }
    }

    /// The next piece of the current body. None at its end; trailers are [`Self::rest`]'s.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, WireError> {
        loop {
            match self.body {
                State::End => return Ok(None),
                State::Length(0) => {
                    self.body = State::End;
                    return Ok(None);
                }
                State::Length(left) => {
                    let piece = self.data(left).await?.ok_or(Truncated)?;
                    self.body = State::Length(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                State::UntilClose => {
                    let piece = self.data(u64::MAX).await?;
                    if piece.is_none() {
                        self.body = State::End;
                    }
                    return Ok(piece);
                }
                State::Chunk => {
                    let line = self.line().await?.ok_or(Truncated)?;
                    let is_size = (1..=16).contains(&line.len()) && line.bytes().all(|byte| byte.is_ascii_hexdigit());
                    if !is_size {
                        return Err(Malformed(format!("the chunk size {line:?}")));
                    }
                    match u64::from_str_radix(&line, 16).unwrap_or_default() {
                        0 => return Ok(None),
                        size => self.body = State::ChunkData(size),
                    }
                }
                State::ChunkData(left) => {
                    let piece = self.data(left).await?.ok_or(Truncated)?;
                    let left = left - piece.len() as u64;
                    self.body = State::ChunkData(left);
                    if left == 0 {
                        if &self.take(2).await?[..] != b"\r\n" {
                            return Err(Malformed("no line end after a chunk".to_owned()));
                        }
                        self.body = State::Chunk;
                    }
                    return Ok(Some(piece));
                }
            }
        }
    }

    /// Reads the current body to its end; its trailers.
    pub async fn rest(&mut self, body: &mut Vec<u8>) -> Result<Fields, WireError> {
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        self.trailers().await
    }

    /// Reads the trailer section, when [`Self::piece`] has come to the end.
    pub async fn trailers(&mut self) -> Result<Fields, WireError> {
        let State::Chunk = std::mem::replace(&mut self.body, State::End) else { return Ok(Fields::default()) };
        let mut lines = String::new();
        loop {
            match self.line().await?.ok_or(Truncated)? {
                line if line.is_empty() => return Fields::parse(lines.trim_end_matches("\r\n")),
                line => lines = lines + &line + "\r\n",
            }
        }
    }

    async fn data(&mut self, at_most: u64) -> Result<Option<Bytes>, WireError> {
        if self.buffer.is_empty() && self.fill().await? == 0 {
            return Ok(None);
        }
        let len = usize::try_from(at_most).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(Some(self.buffer.split_to(len).freeze()))
    }

    /// Lines up to the empty one, without it. Bytes above ASCII are shown as Latin-1.
    async fn head(&mut self) -> Result<Option<String>, WireError> {
        let mut head = String::new();
        loop {
            match self.line().await {
                Ok(None) if head.is_empty() => return Ok(None),
                Ok(None) => return Err(Truncated),
                Ok(Some(line)) if line.is_empty() && head.is_empty() => {
                    return Err(Malformed("an empty line before a head".to_owned()));
                }
                Ok(Some(line)) if line.is_empty() => {
                    head.truncate(head.len() - 2);
                    return Ok(Some(head));
                }
                Ok(Some(line)) => head = head + &line + "\r\n",
                Err(error) => return Err(error),
            }
            if head.len() > MAX_HEAD {
                return Err(Malformed("an endless head".to_owned()));
            }
        }
    }

    /// A line without its end. None if the peer closed before its first byte.
    async fn line(&mut self) -> Result<Option<String>, WireError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                let line: String = line.iter().map(|&byte| char::from(byte)).collect();
                let Some(line) = line.strip_suffix("\r\n") else { return Err(Malformed(format!("the end of line {line:?}"))) };
                if line.contains(['\r', '\0']) {
                    return Err(Malformed(format!("a control character in {line:?}")));
                }
                return Ok(Some(line.to_owned()));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(Malformed("an endless line".to_owned()));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(Truncated) };
            }
        }
    }
}

impl From<Framing> for State {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunk,
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

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
