//! Event streams (HTML Living Standard, 9.2.5 and 9.2.6), event by event, without losing a byte.

#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use crate::hooks::StreamEvent;

/// Reads a stream as it comes.
#[derive(Debug)]
pub struct Parser {
    cap: usize,
    /// What came of the event that is not over, or of a line.
    buffer: BytesMut,
    /// Where its last line begins, and up to where there is no end of it.
    line: usize,
    scanned: usize,
    /// Whether a line before that is no comment.
    is_within: bool,
    /// Whether the last line ended with CR, so that LF may still belong to it.
    is_after_cr: bool,
    mode: Mode,
}

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// There may be a byte order mark.
    Start,
    Reading,
    /// They go by to the end of the line: a comment that has begun.
    Comment,
    /// They go by to the end of an event that is over the cap; with whether something of its last line did.
    Unseen(bool),
}

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// Comments, empty lines, fields that nobody knows, parts of an event over the cap: nothing to be asked about.
    Bytes(Bytes),
    /// The rest of the end of the event before.
    Tail(Bytes),
    /// An event.
    Event(Box<Block>),
}

/// An event with its bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// What it says.
    pub event: StreamEvent,
    /// As it came.
    pub bytes: Bytes,
    /// Whether it has data, be it empty: without, nothing comes of it but its ID and its time.
    has_data: bool,
}

/// An event is over the cap: nothing is to be had after that but with [`Parser::pass`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Parser {
    /// Of a stream whose events have up to so many bytes.
    #[must_use]
    pub fn new(cap: usize) -> Self {
        let (buffer, mode) = (BytesMut::new(), Mode::Start);
        Self { cap, buffer, line: 0, scanned: 0, is_within: false, is_after_cr: false, mode }
    }

    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// The next part; none: more has to come.
    pub fn read(&mut self) -> Result<Option<Item>, TooLarge> {
        if self.mode == Mode::Start {
            if self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) {
                return Ok(None);
            }
            self.mode = Mode::Reading;
            if self.buffer.starts_with(BOM) {
                return Ok(Some(Item::Bytes(self.take(BOM.len()))));
            }
        }
        if self.is_after_cr
            && let Some(next) = self.buffer.get(self.line)
        {
            self.is_after_cr = false;
            if *next == b'\n' {
                if self.line == 0 {
                    return Ok(Some(Item::Tail(self.take(1))));
                }
                (self.line, self.scanned) = (self.line + 1, self.line + 1);
            }
        }
        loop {
            if self.mode == Mode::Reading && self.line == 0 && !self.is_within && self.buffer.first() == Some(&b':') {
                self.mode = Mode::Comment;
            }
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(found) = memchr2(b'\r', b'\n', rest) else { return self.unended() };
            let at = self.scanned + found;
            let is_empty = at == self.line;
            let mut end = at + 1;
            if self.buffer.get(at) == Some(&b'\r') {
                match self.buffer.get(end) {
                    Some(b'\n') => end += 1,
                    Some(_) => {}
                    None => self.is_after_cr = true,
                }
            }
            match self.mode {
                Mode::Comment => {
                    self.mode = Mode::Reading;
                    return Ok(Some(Item::Bytes(self.take(end))));
                }
                Mode::Unseen(has_begun) => {
                    self.mode = if is_empty && !has_begun { Mode::Reading } else { Mode::Unseen(false) };
                    return Ok(Some(Item::Bytes(self.take(end))));
                }
                Mode::Start | Mode::Reading => {}
            }
            if end > self.cap && (self.is_within || !is_empty) {
                self.is_after_cr = false;
                return Err(TooLarge);
            }
            if is_empty {
                let bytes = self.take(end);
                self.is_within = false;
                return Ok(Some(item(bytes)));
            }
            (self.line, self.scanned, self.is_within) = (end, end, true);
            if self.is_after_cr {
                return Ok(None);
            }
        }
    }

    /// Where the line has no end yet.
    fn unended(&mut self) -> Result<Option<Item>, TooLarge> {
        self.scanned = self.buffer.len();
        match self.mode {
            Mode::Comment | Mode::Unseen(_) if self.buffer.is_empty() => Ok(None),
            Mode::Comment => Ok(Some(Item::Bytes(self.take(self.scanned)))),
            Mode::Unseen(_) => {
                self.mode = Mode::Unseen(true);
                Ok(Some(Item::Bytes(self.take(self.scanned))))
            }
            _ if self.buffer.len() > self.cap => Err(TooLarge),
            _ => Ok(None),
        }
    }

    /// From now on the event that is over the cap goes by, to its end.
    pub fn pass(&mut self) {
        self.mode = Mode::Unseen(false);
        self.is_within = false;
        (self.line, self.scanned) = (0, 0);
    }

    /// All that is held, where no more is to be read in it.
    pub fn rest(&mut self) -> Bytes {
        self.take(self.buffer.len())
    }

    /// What is left when the stream ends: an event whose end is missing, which most clients ignore.
    pub fn end(&mut self) -> Option<Item> {
        let bytes = self.take(self.buffer.len());
        let is_seen = matches!(self.mode, Mode::Start | Mode::Reading);
        (!bytes.is_empty()).then(|| if is_seen { item(bytes) } else { Item::Bytes(bytes) })
    }

    fn take(&mut self, count: usize) -> Bytes {
        (self.line, self.scanned) = (0, 0);
        let bytes = self.buffer.split_to(count).freeze();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        bytes
    }
}

/// The lines of these bytes, without their ends.
fn lines(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let at = memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
        let is_pair = bytes.get(at..).is_some_and(|end| end.starts_with(b"\r\n"));
        let end = (at + if is_pair { 2 } else { 1 }).min(bytes.len());
        let (whole, rest) = bytes.split_at_checked(end)?;
        bytes = rest;
        Some((whole.get(..at)?, whole))
    })
}

/// An event, if these lines have a field that the standard knows.
fn item(bytes: Bytes) -> Item {
    let (mut event, mut data) = (StreamEvent::default(), None::<String>);
    let mut is_known = false;
    for (line, _) in lines(&bytes) {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => {
                let (name, value) = line.split_at_checked(colon).unwrap_or_default();
                let value = value.get(1..).unwrap_or_default();
                (name, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            b"event" => event.event = Some(text()),
            b"data" => {
                let data = data.get_or_insert_default();
                data.push_str(&text());
                data.push('\n');
            }
            b"id" => {
                if !value.contains(&0) {
                    event.id = Some(text());
                }
            }
            b"retry" => {
                let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                event.retry = if is_number { text().parse().ok() } else { None }.or(event.retry);
            }
            _ => continue,
        }
        is_known = true;
    }
    if !is_known {
        return Item::Bytes(bytes);
    }
    let has_data = data.is_some();
    if let Some(mut data) = data {
        data.pop();
        event.data = data;
    }
    Item::Event(Box::new(Block { event, bytes, has_data }))
}

impl Block {
    /// Its comments, which go on whatever becomes of the event.
    #[must_use]
    pub fn comments(&self) -> Vec<u8> {
        lines(&self.bytes).filter(|(line, _)| line.starts_with(b":")).flat_map(|(_, whole)| whole).copied().collect()
    }

    /// Another event in its place, comments first.
    #[must_use]
    pub fn replaced(&self, event: &StreamEvent) -> Vec<u8> {
        let mut bytes = self.comments();
        let mut field = |name: &str, value: &str| {
            for part in [name, ": ", value, "\n"] {
                bytes.extend_from_slice(part.as_bytes());
            }
        };
        if let Some(kind) = &event.event {
            field("event", kind);
        }
        if let Some(id) = &event.id {
            field("id", id);
        }
        if let Some(retry) = event.retry {
            field("retry", &retry.to_string());
        }
        if self.has_data || !event.data.is_empty() {
            // Each of them ends a line for whoever reads it.
            for line in event.data.replace("\r\n", "\n").split(['\n', '\r']) {
                field("data", line);
            }
        }
        bytes.push(b'\n');
        bytes
    }
}
