//! Heads: from bytes to fields, refusing whatever could be read in two ways (RFC 9112, 2.2, 5 and 11).

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::http::{Authority, Field, Headers, RequestHead, ResponseHead, Scheme, Version, headers::is_token};

/// Limits of a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Fields; default 100.
    pub count: usize,
    /// Bytes of the whole head, first line and line ends included; default 64 KiB.
    pub bytes: usize,
}

/// Why bytes are no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not HTTP, or ambiguous: 400 for a request, 502 for a response. Says what.
    #[error("{0}")]
    Malformed(&'static str),
    /// More fields or bytes than the limits allow: 431 for a request, 502 for a response.
    #[error("the head is over the limit of {0}")]
    TooLarge(&'static str),
    /// `Expect` asks for what nobody knows: 417 (RFC 9110, 10.1.1).
    #[error("the expectation is unknown")]
    Expectation,
    /// A method that this kind of listener has no answer to: 405.
    #[error("the method is not served here")]
    Method,
}

use ParseError::{Malformed, TooLarge};

impl Default for HeadLimits {
    fn default() -> Self {
        Self { count: 100, bytes: 64 * 1024 }
    }
}

impl ParseError {
    /// Status for the client whose request is so.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

/// Looks for the end of a head, the empty line, from `scanned` on; all before it was scanned in earlier calls.
///
/// Lines must end in CRLF: a lone CR or LF is refused, since recipients differ in what they make of it. `None` means that
/// more bytes are needed, and `scanned` tells where to go on.
pub fn find_end(buffer: &[u8], scanned: &mut usize, limits: HeadLimits) -> Result<Option<usize>, ParseError> {
    while let Some(offset) = buffer.get(*scanned..).and_then(|rest| memchr::memchr2(b'\n', b'\0', rest)) {
        let at = *scanned + offset;
        if buffer.get(at) == Some(&0) {
            return Err(Malformed("NUL in the head"));
        }
        if at >= limits.bytes {
            return Err(TooLarge("bytes"));
        }
        let line = buffer.get(..at).unwrap_or_default();
        if !line.ends_with(b"\r") {
            return Err(Malformed("a line does not end in CRLF"));
        }
        *scanned = at + 1;
        if line.ends_with(b"\r\n\r") {
            return Ok(Some(at + 1));
        }
    }
    if buffer.len() >= limits.bytes {
        return Err(TooLarge("bytes"));
    }
    *scanned = buffer.len();
    Ok(None)
}

/// How a request names what it is about (RFC 9112, 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetForm {
    /// A path, or `*`; Host tells whose.
    Origin,
    /// A URL with this scheme.
    Absolute(Scheme),
    /// Host and port alone: CONNECT.
    Authority,
}

/// Reads a request's head, which ends with its empty line. `scheme` is what the connection speaks, and that of the head, whatever
/// the target says.
pub fn request(bytes: &Bytes, scheme: Scheme, limits: HeadLimits) -> Result<(RequestHead, TargetForm), ParseError> {
    let mut slots = Slots::new(limits.count);
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, slots.get()) {
        Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
        Ok(_) => return Err(Malformed("the head ends early")),
        Err(error) => return Err(explain(error)),
    }
    let version = version(parsed.version)?;
    let method = parsed.method.unwrap_or_default();
    if method.len() > 64 {
        return Err(Malformed("the method is too long"));
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Malformed("not a method"))?;
    let mut headers = fields(bytes, parsed.headers)?;
    let host = host(&headers, version)?;
    let target = parsed.path.unwrap_or_default();
    let (form, authority, target) = split_target(bytes, target, &method, host)?;
    if matches!(form, TargetForm::Absolute(_))
        && let Ok(field) = Field::new("Host", authority.as_str().to_owned())
    {
        // What the target names replaces what Host names, for hooks as for upstreams (RFC 9112, 3.2.2).
        headers.set(field);
    }
    Ok((RequestHead { method, scheme, authority, target, version, headers }, form))
}

/// Reads a response's head, which ends with its empty line.
pub fn response(bytes: &Bytes, limits: HeadLimits) -> Result<ResponseHead, ParseError> {
    let mut slots = Slots::new(limits.count);
    let mut parsed = httparse::Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, slots.get()) {
        Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
        Ok(_) => return Err(Malformed("the head ends early")),
        Err(error) => return Err(explain(error)),
    }
    let version = version(parsed.version)?;
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed("not a status"))?;
    if status.as_u16() > 599 {
        return Err(Malformed("not a status"));
    }
    let reason = parsed.reason.filter(|reason| Some(*reason) != status.canonical_reason());
    let reason = reason.filter(|reason| !reason.is_empty()).map(|reason| bytes.slice_ref(reason.as_bytes()));
    let headers = fields(bytes, parsed.headers)?;
    Ok(ResponseHead { status, reason, version, headers })
}

/// Reads the fields of a trailer section, which ends with its empty line.
pub fn trailers(bytes: &Bytes, limits: HeadLimits) -> Result<Headers, ParseError> {
    let mut slots = vec![httparse::EMPTY_HEADER; limits.count];
    match httparse::parse_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete((len, parsed))) if len == bytes.len() => fields(bytes, parsed),
        Ok(_) => Err(Malformed("the trailers end early")),
        Err(error) => Err(explain(error)),
    }
}

/// Room for parsed fields: on the stack for the usual limit.
struct Slots<'a> {
    inline: [MaybeUninit<httparse::Header<'a>>; 100],
    heap: Vec<MaybeUninit<httparse::Header<'a>>>,
    count: usize,
}

impl<'a> Slots<'a> {
    fn new(count: usize) -> Self {
        let heap = if count > 100 { vec![MaybeUninit::uninit(); count] } else { Vec::new() };
        Self { inline: [const { MaybeUninit::uninit() }; 100], heap, count }
    }

    fn get(&mut self) -> &mut [MaybeUninit<httparse::Header<'a>>] {
        let slots = if self.count > 100 { &mut self.heap[..] } else { &mut self.inline[..] };
        slots.get_mut(..self.count).unwrap_or_default()
    }
}

const fn explain(error: httparse::Error) -> ParseError {
    match error {
        httparse::Error::TooManyHeaders => TooLarge("fields"),
        httparse::Error::HeaderName => Malformed("not a field name"),
        httparse::Error::HeaderValue => Malformed("not a field value"),
        httparse::Error::NewLine => Malformed("a line does not end in CRLF"),
        httparse::Error::Status => Malformed("not a status"),
        httparse::Error::Token => Malformed("not a first line"),
        httparse::Error::Version => Malformed("not HTTP/1.0 or HTTP/1.1"),
    }
}

const fn version(minor: Option<u8>) -> Result<Version, ParseError> {
    match minor {
        Some(0) => Ok(Version::Http10),
        Some(1) => Ok(Version::Http11),
        _ => Err(Malformed("not HTTP/1.0 or HTTP/1.1")),
    }
}

fn fields(bytes: &Bytes, parsed: &[httparse::Header<'_>]) -> Result<Headers, ParseError> {
    let mut headers = Headers::with_capacity(parsed.len() + 4);
    for header in parsed {
        headers.push(field(bytes, header.name.as_bytes(), header.value.trim_ascii())?);
    }
    Ok(headers)
}

/// Of a name and a value that are pieces of the head.
fn field(bytes: &Bytes, name: &[u8], value: &[u8]) -> Result<Field, ParseError> {
    let made = if value.is_empty() {
        Field::new(bytes.slice_ref(name), Bytes::new())
    } else {
        let place = |piece: &[u8]| piece.as_ptr().addr().checked_sub(bytes.as_ptr().addr());
        let (start, value_start) = place(name).zip(place(value)).ok_or(Malformed("not a field"))?;
        let line = bytes.get(start..value_start + value.len()).ok_or(Malformed("not a field"))?;
        Field::of_line(bytes.slice_ref(line), name.len(), value_start.saturating_sub(start))
    };
    made.map_err(|_| Malformed("not a field"))
}

/// The one Host field (RFC 9112, 3.2): required by HTTP/1.1, never repeated.
fn host(headers: &Headers, version: Version) -> Result<Authority, ParseError> {
    let mut all = headers.get_all("host");
    let first = all.next();
    if all.next().is_some() {
        return Err(Malformed("more than one Host"));
    }
    match first {
        None if version == Version::Http10 => Ok(Authority::default()),
        None => Err(Malformed("no Host")),
        Some(b"") => Ok(Authority::default()),
        Some(host) => authority(host),
    }
}

fn authority(text: &[u8]) -> Result<Authority, ParseError> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Malformed("not a host"))
}

/// Takes the four forms of request targets apart (RFC 9112, 3.2.1 to 3.2.4).
fn split_target(
    bytes: &Bytes,
    target: &str,
    method: &Method,
    host: Authority,
) -> Result<(TargetForm, Authority, Bytes), ParseError> {
    if !target.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'#') {
        return Err(Malformed("not a request target"));
    }
    if *method == Method::CONNECT {
        let authority = authority(target.as_bytes())?;
        return Ok((TargetForm::Authority, authority, bytes.slice_ref(target.as_bytes())));
    }
    if target.starts_with('/') {
        return Ok((TargetForm::Origin, host, bytes.slice_ref(target.as_bytes())));
    }
    if target == "*" && *method == Method::OPTIONS {
        return Ok((TargetForm::Origin, host, Bytes::from_static(b"*")));
    }
    let (scheme, rest) = match target.split_once("://") {
        Some((text, rest)) if text.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
        Some((text, rest)) if text.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
        _ => return Err(Malformed("not a request target")),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (text, path) = rest.split_at(end);
    // The target's authority counts, whatever Host says (RFC 9112, 3.2.2).
    let authority = authority(text.as_bytes())?;
    let path = match path {
        "" if *method == Method::OPTIONS => Bytes::from_static(b"*"),
        "" => Bytes::from_static(b"/"),
        path if path.starts_with('/') => bytes.slice_ref(path.as_bytes()),
        query => Bytes::from(format!("/{query}")),
    };
    Ok((TargetForm::Absolute(scheme), authority, path))
}

/// Whether a client wants to be told before it sends its body (RFC 9110, 10.1.1).
pub fn expects_continue(headers: &Headers, version: Version) -> Result<bool, ParseError> {
    let mut expects = false;
    for value in headers.list("expect") {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(ParseError::Expectation);
        }
        expects = true;
    }
    // A 1.0 client cannot mean it (RFC 9110, 10.1.1).
    Ok(expects && version == Version::Http11)
}

/// Protocols that an HTTP/1.1 client offers to switch to, if it does so properly (RFC 9110, 7.8).
#[must_use]
pub fn upgrade(headers: &Headers, version: Version) -> Option<Bytes> {
    if version != Version::Http11 || !headers.list("connection").any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
        return None;
    }
    let mut fields = headers.iter().filter(|field| field.is("upgrade"));
    let first = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    let is_legal = first.value().split(|&byte| matches!(byte, b',' | b'/')).all(|part| is_token(part.trim_ascii()));
    // Switching to HTTP/2 in this way is obsolete (RFC 9113, 3.1) and would let frames past the hooks.
    let is_http =
        headers.list("upgrade").any(|name| name.len() >= 2 && name.get(..2).is_some_and(|h| h.eq_ignore_ascii_case(b"h2")));
    (is_legal && !is_http).then(|| first.value_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RequestHead, ParseError> {
        request(&Bytes::copy_from_slice(text.as_bytes()), Scheme::Http, HeadLimits::default()).map(|(head, _)| head)
    }

    fn end(text: &str, limits: HeadLimits) -> Result<Option<usize>, ParseError> {
        find_end(text.as_bytes(), &mut 0, limits)
    }

    #[test]
    fn fields_keep_order_and_case() {
        let head = parse("GET /a?b HTTP/1.1\r\nHOST: x:1\r\nb:  2 \r\nA:\r\nB: 3\r\n\r\n").expect("a head");
        let names: Vec<_> = head.headers.iter().map(|field| (field.name_str(), field.value())).collect();
        assert_eq!(names, [("HOST", &b"x:1"[..]), ("b", b"2"), ("A", b""), ("B", b"3")]);
        assert_eq!((head.authority.as_str(), &head.target[..], head.path()), ("x:1", &b"/a?b"[..], &b"/a"[..]));
    }

    #[test]
    fn absolute_targets_override_host() {
        let head = parse("GET HTTP://other:8/p?q HTTP/1.1\r\nHost: x\r\n\r\n").expect("a head");
        assert_eq!((head.authority.as_str(), &head.target[..]), ("other:8", &b"/p?q"[..]));
        let head = parse("GET http://other HTTP/1.1\r\nHost: x\r\n\r\n").expect("a head");
        assert_eq!(&head.target[..], b"/");
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        for (text, why) in [
            ("GET / HTTP/1.1\r\n\r\n", "no Host"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "twice"),
            ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "list"),
            ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "user"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", "blank before colon"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", "folding"),
            ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "leading blank"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "lone CR"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x07b\r\n\r\n", "control"),
            ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "fragment"),
            ("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n", "not ASCII"),
            ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", "no form"),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "asterisk"),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version 2"),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "two blanks"),
            ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
            ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", "no name"),
            ("GET / HTTP/1.1\r\nHost: a\r\nx\r\n\r\n", "no colon"),
        ] {
            assert!(matches!(parse(text), Err(ParseError::Malformed(_))), "{why}: {:?}", parse(text));
        }
    }

    #[test]
    fn lines_must_end_in_crlf() {
        for text in ["GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\n", "GET / HTTP/1.1\r\nA: \0\r\n\r\n"] {
            assert!(matches!(end(text, HeadLimits::default()), Err(ParseError::Malformed(_))), "{text:?}");
        }
    }

    #[test]
    fn end_is_found_piece_by_piece() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let mut scanned = 0;
        for len in 0..27 {
            assert_eq!(find_end(&text[..len], &mut scanned, HeadLimits::default()), Ok(None), "{len}");
        }
        assert_eq!(find_end(text, &mut scanned, HeadLimits::default()), Ok(Some(27)));
    }

    #[test]
    fn head_bytes_end_at_their_limit() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let limits = |bytes| HeadLimits { count: 100, bytes };
        assert_eq!(end(text, limits(text.len() + 1)), Ok(Some(text.len())));
        assert_eq!(end(text, limits(text.len())), Ok(Some(text.len())));
        assert_eq!(end(text, limits(text.len() - 1)), Err(ParseError::TooLarge("bytes")));
        assert_eq!(end("GET / HTTP/1.1", limits(14)), Err(ParseError::TooLarge("bytes")));
    }

    #[test]
    fn field_count_ends_at_its_limit() {
        for limit in [3, 100, 101, 150] {
            let make = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
            let parse = |text: String| request(&text.into(), Scheme::Http, HeadLimits { count: limit, bytes: 65536 });
            assert!(parse(make(limit - 1)).is_ok());
            assert!(parse(make(limit)).is_ok());
            assert_eq!(parse(make(limit + 1)).err(), Some(ParseError::TooLarge("fields")));
        }
    }

    #[test]
    fn only_proper_upgrades_count() {
        let offer = |fields: &str| {
            let head = parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).expect("a head");
            upgrade(&head.headers, head.version)
        };
        assert_eq!(offer("Connection: x, Upgrade\r\nUpgrade: websocket\r\n").as_deref(), Some(&b"websocket"[..]));
        assert_eq!(offer("Upgrade: websocket\r\n"), None);
        assert_eq!(offer("Connection: upgrade\r\nUpgrade: h2c\r\n"), None);
        assert_eq!(offer("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n"), None);
    }
}
