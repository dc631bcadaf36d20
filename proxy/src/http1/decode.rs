//! Bodies: from framed bytes to data and trailers (RFC 9112, 7.1).

use bytes::{Buf as _, Bytes, BytesMut};

use super::{Framing, HeadLimits, parse};
use crate::http::Headers;

/// Longest line with the size of a chunk, extensions included.
const MAX_CHUNK_LINE: usize = 256;
/// Bytes of extensions that one body may carry in all: they mean nothing to us and cost to read.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// Pieces up to this size are copied, and those up to a share of the buffer: a small piece that is held must not hold the whole
/// buffer that it was read into.
pub(super) const COPY_UP_TO: usize = 16 * 1024;
const COPY_SHARE: usize = 8;

/// Takes the framing off one body. Does no I/O: it is fed a buffer and takes from its front.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    limits: HeadLimits,
    extensions: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers { scanned: usize },
    End,
}

/// What a buffer held.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A piece of the body.
    Data(Bytes),
    /// The last piece: the fields of the trailer section.
    Trailers(Headers),
    /// The body is over.
    End,
    /// More bytes are needed.
    More,
}

/// Why bytes are no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not what the framing promised.
    #[error("{0}")]
    Malformed(&'static str),
    /// The peer closed before the end.
    #[error("closed before the end of the body")]
    Truncated,
}

use DecodeError::Malformed;

impl Decoder {
    /// For a body with this framing; `limits` are those of trailers.
    #[must_use]
    pub const fn new(framing: Framing, limits: HeadLimits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::End,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, limits, extensions: 0 }
    }

    /// Whether the body is over.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Bytes of data to come, if the framing tells.
    #[must_use]
    pub const fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(length) => Some(length),
            State::End => Some(0),
            _ => None,
        }
    }

    /// Takes what it can from the front of `buffer`. `is_closed`: no more bytes will come.
    pub fn decode(&mut self, buffer: &mut BytesMut, is_closed: bool) -> Result<Decoded, DecodeError> {
        loop {
            match self.state {
                State::End => return Ok(Decoded::End),
                State::UntilClose if buffer.is_empty() && is_closed => self.state = State::End,
                State::Length(_) | State::UntilClose | State::ChunkData(_) if !buffer.is_empty() => {
                    return Ok(Decoded::Data(self.take_data(buffer)));
                }
                State::ChunkSize => match find_line(buffer, MAX_CHUNK_LINE)? {
                    Some(end) => {
                        let line = buffer.split_to(end + 2);
                        self.start_chunk(line.get(..end).unwrap_or_default())?;
                    }
                    None => return more(is_closed),
                },
                State::ChunkEnd => match buffer.get(..2) {
                    Some(b"\r\n") => {
                        let _ = buffer.split_to(2);
                        self.state = State::ChunkSize;
                    }
                    Some(_) => return Err(Malformed("a chunk is longer than its size")),
                    None if buffer.first().is_some_and(|&byte| byte != b'\r') => {
                        return Err(Malformed("a chunk is longer than its size"));
                    }
                    None => return more(is_closed),
                },
                State::Trailers { mut scanned } => match self.find_trailers(buffer, &mut scanned)? {
                    Some(0) => self.state = State::End,
                    Some(end) => {
                        self.state = State::End;
                        return self.trailers(&buffer.split_to(end).freeze());
                    }
                    None => {
                        self.state = State::Trailers { scanned };
                        return more(is_closed);
                    }
                },
                _ => return more(is_closed),
            }
        }
    }

    /// All of the body in one piece that is copied, if its length is known and all of it is in the buffer.
    pub fn take_whole(&mut self, buffer: &mut BytesMut) -> Option<Bytes> {
        let State::Length(left) = self.state else { return None };
        let is_there = usize::try_from(left).is_ok_and(|left| left <= buffer.len() && left <= COPY_UP_TO);
        is_there.then(|| self.take_data(buffer))
    }

    fn take_data(&mut self, buffer: &mut BytesMut) -> Bytes {
        let left = match self.state {
            State::Length(left) | State::ChunkData(left) => usize::try_from(left).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let len = left.min(buffer.len());
        let data = if len <= COPY_UP_TO.max(buffer.capacity() / COPY_SHARE) {
            let copy = Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default());
            buffer.advance(len);
            copy
        } else {
            buffer.split_to(len).freeze()
        };
        let taken = data.len() as u64;
        self.state = match self.state {
            State::Length(left) if left == taken => State::End,
            State::Length(left) => State::Length(left - taken),
            State::ChunkData(left) if left == taken => State::ChunkEnd,
            State::ChunkData(left) => State::ChunkData(left - taken),
            other => other,
        };
        data
    }

    /// Reads `1*HEXDIG [ chunk-ext ]`, the digits at the very start of the line.
    fn start_chunk(&mut self, line: &[u8]) -> Result<(), DecodeError> {
        let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        let (digits, extension) = line.split_at(digits);
        if digits.is_empty() || digits.len() > 16 {
            return Err(Malformed("not the size of a chunk"));
        }
        if !extension.is_empty() && !extension.trim_ascii_start().starts_with(b";") {
            return Err(Malformed("not the size of a chunk"));
        }
        if extension.iter().any(|&byte| byte != b'\t' && (byte < 0x20 || byte == 0x7f)) {
            return Err(Malformed("a control character in a chunk extension"));
        }
        self.extensions += extension.len();
        if self.extensions > MAX_EXTENSIONS {
            return Err(Malformed("too many chunk extensions"));
        }
        let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        self.state = match size {
            None => return Err(Malformed("not the size of a chunk")),
            Some(0) => State::Trailers { scanned: 0 },
            Some(size) => State::ChunkData(size),
        };
        Ok(())
    }

    /// End of the trailer section; 0 if it is empty and taken off.
    fn find_trailers(&self, buffer: &mut BytesMut, scanned: &mut usize) -> Result<Option<usize>, DecodeError> {
        match buffer.get(..2) {
            Some(b"\r\n") if *scanned == 0 => {
                let _ = buffer.split_to(2);
                return Ok(Some(0));
            }
            Some(_) => {}
            None if buffer.first().is_some_and(|&byte| byte == b'\n') => return Err(Malformed("a line does not end in CRLF")),
            None => return Ok(None),
        }
        parse::find_end(buffer, scanned, self.limits).map_err(|_| Malformed("not a trailer section"))
    }

    fn trailers(&self, bytes: &Bytes) -> Result<Decoded, DecodeError> {
        let mut trailers = parse::trailers(bytes, self.limits).map_err(|_| Malformed("not a trailer section"))?;
        trailers.retain(|field| may_be_trailer(field.name_str()));
        Ok(if trailers.is_empty() { Decoded::End } else { Decoded::Trailers(trailers) })
    }
}

/// Whether a field may come after the body: not what frames, routes or authorises a message (RFC 9110, 6.5.1).
#[must_use]
pub fn may_be_trailer(name: &str) -> bool {
    const NEVER: [&str; 21] = [
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "max-forwards",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    ];
    !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
}

const fn more(is_closed: bool) -> Result<Decoded, DecodeError> {
    if is_closed { Err(DecodeError::Truncated) } else { Ok(Decoded::More) }
}

/// Length of the first line, which must end in CRLF.
fn find_line(buffer: &[u8], limit: usize) -> Result<Option<usize>, DecodeError> {
    let window = buffer.get(..limit.min(buffer.len())).unwrap_or_default();
    match memchr::memchr2(b'\n', b'\r', window) {
        Some(at) if buffer.get(at..at + 2) == Some(b"\r\n") => Ok(Some(at)),
        Some(at) if buffer.get(at) == Some(&b'\r') && buffer.len() == at + 1 => Ok(None),
        Some(_) => Err(Malformed("a line does not end in CRLF")),
        None if buffer.len() >= limit => Err(Malformed("the line with the size of a chunk is too long")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `text` given in pieces of `step` bytes; data joined, trailers as `name=value`.
    fn decode(framing: Framing, text: &[u8], step: usize) -> Result<(String, Vec<String>, usize), DecodeError> {
        let mut decoder = Decoder::new(framing, HeadLimits { count: 4, bytes: 256 });
        let (mut data, mut fields, mut buffer) = (Vec::new(), Vec::new(), BytesMut::new());
        let mut pieces = text.chunks(step);
        let mut is_closed = false;
        loop {
            match decoder.decode(&mut buffer, is_closed)? {
                Decoded::Data(piece) => data.extend_from_slice(&piece),
                Decoded::Trailers(trailers) => {
                    fields.extend(trailers.iter().map(|field| format!("{}={}", field.name_str(), field.value().escape_ascii())));
                }
                Decoded::End => {
                    let left = buffer.len() + pieces.map(<[u8]>::len).sum::<usize>();
                    return Ok((String::from_utf8(data).expect("text"), fields, left));
                }
                Decoded::More => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => is_closed = true,
                },
            }
        }
    }

    fn chunked(text: &str) -> Result<(String, Vec<String>, usize), DecodeError> {
        let whole = decode(Framing::Chunked, text.as_bytes(), usize::MAX);
        for step in 1..8 {
            assert_eq!(decode(Framing::Chunked, text.as_bytes(), step), whole, "in pieces of {step}: {text:?}");
        }
        whole
    }

    #[test]
    fn chunks_join_and_leave_the_rest() {
        assert_eq!(chunked("3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\nGET"), Ok(("abc0123456789".into(), vec![], 3)));
        assert_eq!(chunked("000\r\n\r\n"), Ok((String::new(), vec![], 0)));
    }

    #[test]
    fn trailers_follow_the_last_chunk() {
        assert_eq!(
            chunked("1\r\na\r\n0\r\nX-Sum: 1\r\ny: 2\r\n\r\nz"),
            Ok(("a".into(), vec!["X-Sum=1".into(), "y=2".into()], 1))
        );
    }

    #[test]
    fn framing_fields_are_no_trailers() {
        assert_eq!(chunked("0\r\nContent-Length: 5\r\nHost: a\r\nx: 1\r\n\r\n"), Ok((String::new(), vec!["x=1".into()], 0)));
    }

    #[test]
    fn odd_chunks_are_refused() {
        for text in [
            "0x3\r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "-3\r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "3\t\r\nabc\r\n0\r\n\r\n",
            "3_0\r\nabc\r\n0\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "3\rabc\r\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3;a\nb\r\nabc\r\n0\r\n\r\n",
            "3;a\rb\r\nabc\r\n0\r\n\r\n",
            "3;\x01\r\nabc\r\n0\r\n\r\n",
            "11111111111111111\r\na",
            "fffffffffffffffff\r\n",
            "3\r\nabc\r\n0\r\n\n",
            "0\r\nbad trailer\r\n\r\n",
            "0\r\n x: 1\r\n\r\n",
            "0\r\na: 1\r\na: 1\r\na: 1\r\na: 1\r\na: 1\r\n\r\n",
        ] {
            assert!(matches!(chunked(text), Err(DecodeError::Malformed(_))), "{text:?}: {:?}", chunked(text));
        }
        assert!(matches!(chunked(&format!("1;{}\r\n", "x".repeat(300))), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn early_ends_are_truncations() {
        for text in ["", "3", "3\r\n", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "3\r\nabc\r\n0\r\n", "0\r\n\r"] {
            assert_eq!(chunked(text), Err(DecodeError::Truncated), "{text:?}");
        }
        assert_eq!(decode(Framing::Length(4), b"abc", 2), Err(DecodeError::Truncated));
    }

    #[test]
    fn lengths_leave_the_rest() {
        assert_eq!(decode(Framing::Length(3), b"abcdef", 2), Ok(("abc".into(), vec![], 3)));
        assert_eq!(decode(Framing::None, b"abc", 2), Ok((String::new(), vec![], 3)));
    }

    #[test]
    fn a_small_body_is_taken_whole() {
        for (framing, there, whole) in [
            (Framing::Length(4), 3, None),
            (Framing::Length(4), 4, Some(4)),
            (Framing::Length(4), 5, Some(4)),
            (Framing::Length(COPY_UP_TO as u64), COPY_UP_TO, Some(COPY_UP_TO)),
            (Framing::Length(COPY_UP_TO as u64 + 1), COPY_UP_TO + 1, None),
            (Framing::Chunked, 5, None),
            (Framing::UntilClose, 5, None),
            (Framing::None, 5, None),
        ] {
            let (mut decoder, mut buffer) = (Decoder::new(framing, HeadLimits::default()), BytesMut::zeroed(there));
            let taken = decoder.take_whole(&mut buffer).map(|whole| whole.len());
            assert_eq!(taken, whole, "{framing:?}, {there} bytes there");
            assert_eq!((buffer.len(), taken.is_none() || decoder.is_ended()), (there - whole.unwrap_or(0), true));
        }
    }

    #[test]
    fn closing_can_be_the_end() {
        assert_eq!(decode(Framing::UntilClose, b"abcdef", 4), Ok(("abcdef".into(), vec![], 0)));
    }

    #[test]
    fn extensions_are_bounded_in_all() {
        let chunk = |len: usize| format!("1;{}\r\na\r\n", "x".repeat(len - 1));
        let end = "0\r\n\r\n";
        let fits = chunk(128).repeat(128) + end;
        assert!(decode(Framing::Chunked, fits.as_bytes(), 4096).is_ok());
        let over = chunk(128).repeat(128) + &chunk(2) + end;
        assert!(decode(Framing::Chunked, over.as_bytes(), 4096).is_err());
    }
}
