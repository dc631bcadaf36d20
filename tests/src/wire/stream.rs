//! The reading of messages from a stream.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{
    Fields, Framing, Request, Response,
    WireError::{self, Malformed, Truncated},
    is_token, is_version,
};

/// Longest head that is read.
const MAX_HEAD: usize = 2 << 20;

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
