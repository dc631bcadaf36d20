//! The texts of a flow that regular expressions are searched for in, made when first looked at.

use std::{
    cell::{Cell, OnceCell},
    io::Write as _,
    net::SocketAddr,
};

use http::Method;

use super::{
    Answer, Seen, View,
    pattern::{Case, Pattern, Reading, contains},
};
use crate::http::{Headers, RequestHead, Scheme};

/// Which text of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// As sent.
    Method,
    /// That the client asked for, without port and brackets.
    Host,
    /// That the request goes to, without port and brackets.
    UpstreamHost,
    /// Scheme, authority and target, as the client asked for it.
    Url,
    /// The same where it goes.
    UpstreamUrl,
    /// Percent-decoded, without query.
    Path,
    /// `host:port` of the client.
    Peer,
    /// `host:port` of the upstream.
    Upstream,
    /// Content types, each one a text.
    RequestType,
    /// Content types, each one a text.
    ResponseType,
    /// `Name: value` lines.
    RequestFields,
    /// `Name: value` lines.
    ResponseFields,
    /// Content codings undone.
    RequestBody,
    /// Content codings undone.
    ResponseBody,
}

/// The texts of one view, for all filters that look at it.
pub struct Texts<'a> {
    view: &'a View<'a>,
    url: OnceCell<Buffer>,
    upstream_url: OnceCell<Buffer>,
    path: OnceCell<Path<'a>>,
    peer: OnceCell<Buffer>,
    upstream: OnceCell<Buffer>,
    request_fields: OnceCell<Buffer>,
    response_fields: OnceCell<Buffer>,
}

/// A path; most have nothing to decode.
enum Path<'a> {
    AsSent(&'a [u8]),
    Decoded(Buffer),
}

/// Bytes whose memory goes back to the thread.
struct Buffer(Vec<u8>);

/// Buffers that a thread keeps: as many as one view can need.
const MAX_SPARE: usize = 7;
/// Bytes of memory with which a buffer is kept.
const MAX_SPARE_BYTES: usize = 64 * 1024;
/// What `~a` looks for in content types; mitmproxy's list.
const ASSETS: [&str; 7] =
    ["text/javascript", "application/x-javascript", "application/javascript", "text/css", "image/", "font/", "application/font"];

thread_local! {
    static SPARE: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

impl Part {
    /// Parts that are short and single: one automaton for many patterns is worth its while there. On long texts each
    /// pattern's own search for its literals is faster.
    pub(super) const SHORT: [Self; 8] =
        [Self::Method, Self::Host, Self::UpstreamHost, Self::Url, Self::UpstreamUrl, Self::Path, Self::Peer, Self::Upstream];

    /// How regular expressions read it.
    pub(super) const fn reading(self) -> Reading {
        Reading {
            case: match self {
                Self::Method | Self::Host | Self::UpstreamHost => Case::Ignored,
                _ => Case::Exact,
            },
            is_by_line: matches!(self, Self::RequestFields | Self::ResponseFields),
            // A path may hold an encoded line break; that must not take it out of a pattern's sight.
            is_dot_all: matches!(self, Self::Path | Self::RequestBody | Self::ResponseBody),
        }
    }

    /// Whether it is unknown before there is a response.
    pub(super) const fn is_open_at_first(self) -> bool {
        matches!(self, Self::RequestBody | Self::ResponseType | Self::ResponseFields | Self::ResponseBody)
    }

    /// Whether every flow has it.
    pub(super) const fn is_always_there(self) -> bool {
        matches!(
            self,
            Self::Method
                | Self::Host
                | Self::UpstreamHost
                | Self::Url
                | Self::UpstreamUrl
                | Self::Path
                | Self::Peer
                | Self::Upstream
                | Self::RequestFields
        )
    }

    /// How dear looking at it is, relative to others.
    pub(super) const fn cost(self) -> usize {
        match self {
            Self::Method => 2,
            Self::Host | Self::UpstreamHost => 4,
            Self::Path => 8,
            Self::Url | Self::UpstreamUrl | Self::RequestType | Self::ResponseType => 10,
            Self::Peer | Self::Upstream => 16,
            Self::RequestFields | Self::ResponseFields => 40,
            Self::RequestBody | Self::ResponseBody => 400,
        }
    }
}

impl<'a> Texts<'a> {
    /// None is made yet.
    pub const fn new(view: &'a View<'a>) -> Self {
        Self {
            view,
            url: OnceCell::new(),
            upstream_url: OnceCell::new(),
            path: OnceCell::new(),
            peer: OnceCell::new(),
            upstream: OnceCell::new(),
            request_fields: OnceCell::new(),
            response_fields: OnceCell::new(),
        }
    }

    pub(super) const fn view(&self) -> &'a View<'a> {
        self.view
    }

    /// Whether the pattern is found in this part.
    pub(super) fn search(&self, part: Part, pattern: &Pattern) -> Answer {
        let types = match part {
            Part::RequestType => Some(&self.view.request.headers),
            Part::ResponseType => match self.view.response {
                Some(response) => Some(&response.headers),
                None => return Answer::No,
            },
            _ => None,
        };
        if let Some(headers) = types {
            return Answer::from_bool(headers.get_all("content-type").any(|value| pattern.is_match(value)));
        }
        match self.text(part) {
            Seen::Unknown => Answer::Unknown,
            Seen::Absent => Answer::No,
            Seen::Bytes(bytes) => Answer::from_bool(pattern.is_match(bytes)),
        }
    }

    /// Whether the response is an asset.
    pub(super) fn is_asset(&self) -> bool {
        let is_asset = |value: &[u8]| {
            ASSETS.iter().any(|asset| {
                contains(value, asset).unwrap_or_else(|| value.windows(asset.len()).any(|window| window == asset.as_bytes()))
            })
        };
        self.view.response.is_some_and(|response| response.headers.get_all("content-type").any(is_asset))
    }

    /// A part's text. Content types are not one text: they are `Absent` here.
    pub(super) fn text(&self, part: Part) -> Seen<'_> {
        let view = self.view;
        Seen::Bytes(match part {
            Part::Method => view.request.method.as_str().as_bytes(),
            Part::Host => view.request.authority.bare_host().as_bytes(),
            Part::UpstreamHost => view.upstream.authority.bare_host().as_bytes(),
            Part::Url => self.url.get_or_init(|| Buffer::filled(|out| write_url(view, out))).bytes(),
            Part::UpstreamUrl => self.upstream_url.get_or_init(|| Buffer::filled(|out| write_upstream_url(view, out))).bytes(),
            Part::Path => self.path.get_or_init(|| Path::of(view.request)).bytes(),
            Part::Peer => self.peer.get_or_init(|| Buffer::filled(|out| write_peer(view.peer, out))).bytes(),
            Part::Upstream => self.upstream.get_or_init(|| Buffer::filled(|out| write_upstream(view, out))).bytes(),
            Part::RequestFields => {
                self.request_fields.get_or_init(|| Buffer::filled(|out| write_fields(&view.request.headers, out))).bytes()
            }
            Part::ResponseFields => {
                let Some(response) = view.response else { return Seen::Absent };
                self.response_fields.get_or_init(|| Buffer::filled(|out| write_fields(&response.headers, out))).bytes()
            }
            Part::RequestBody => return view.request_body,
            Part::ResponseBody if view.response.is_some() => return view.response_body,
            Part::ResponseBody | Part::RequestType | Part::ResponseType => return Seen::Absent,
        })
    }
}

impl<'a> Path<'a> {
    fn of(request: &'a RequestHead) -> Self {
        let path = request.path();
        if path.contains(&b'%') { Self::Decoded(Buffer::filled(|out| decode_path(path, out))) } else { Self::AsSent(path) }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::AsSent(path) => path,
            Self::Decoded(buffer) => buffer.bytes(),
        }
    }
}

impl Buffer {
    fn filled(fill: impl FnOnce(&mut Vec<u8>)) -> Self {
        let spare = SPARE.try_with(|spare| {
            let mut buffers = spare.take();
            let buffer = buffers.pop();
            spare.set(buffers);
            buffer
        });
        let mut buffer = spare.ok().flatten().unwrap_or_default();
        fill(&mut buffer);
        Self(buffer)
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        if buffer.capacity() > MAX_SPARE_BYTES {
            return;
        }
        buffer.clear();
        // A thread that is ending has no place for it any more; then it is freed.
        let _ = SPARE.try_with(|spare| {
            let mut buffers = spare.take();
            if buffers.len() < MAX_SPARE {
                buffers.push(buffer);
            }
            spare.set(buffers);
        });
    }
}

/// The scheme's own port is left out even where the client wrote it, so that it can't hide a URL from a filter.
pub(super) fn write_url(view: &View<'_>, out: &mut Vec<u8>) {
    let request = view.request;
    let has_path = request.target.starts_with(b"/");
    if request.method == Method::CONNECT && !has_path {
        out.extend_from_slice(request.authority.as_str().as_bytes());
        return;
    }
    let authority = if request.authority.is_empty() { &view.upstream.authority } else { &request.authority };
    let port = if request.authority.is_empty() { Some(view.upstream.port()) } else { request.authority.port() };
    write_parts(request.scheme, authority.host(), port, &request.target, out);
}

/// Where it goes: what reverse proxies that know one URL only, as mitmproxy does, take for the URL.
fn write_upstream_url(view: &View<'_>, out: &mut Vec<u8>) {
    if view.request.method == Method::CONNECT {
        return write_url(view, out);
    }
    let origin = view.upstream;
    write_parts(origin.scheme, origin.authority.host(), origin.authority.port(), &view.request.target, out);
}

fn write_parts(scheme: Scheme, host: &str, port: Option<u16>, target: &[u8], out: &mut Vec<u8>) {
    out.reserve(host.len() + target.len() + "https://:65535".len());
    out.extend_from_slice(scheme.as_str().as_bytes());
    out.extend_from_slice(b"://");
    out.extend_from_slice(host.as_bytes());
    if let Some(port) = port.filter(|&port| port != scheme.default_port()) {
        write_port(port, out);
    }
    if target.starts_with(b"/") {
        out.extend_from_slice(target);
    }
}

/// An IPv6 address in brackets; an IPv4 address that came in IPv6's clothes is IPv4.
fn write_peer(peer: SocketAddr, out: &mut Vec<u8>) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    // Writing to memory does not fail.
    let _ = write!(out, "{peer}");
}

fn write_upstream(view: &View<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(view.upstream.authority.host().as_bytes());
    write_port(view.upstream.port(), out);
}

fn write_port(port: u16, out: &mut Vec<u8>) {
    out.push(b':');
    // By hand: formatting costs as much as all the rest of a URL.
    let mut is_leading = true;
    for unit in [10_000, 1_000, 100, 10, 1] {
        let digit = port / unit % 10;
        is_leading &= digit == 0 && unit > 1;
        if !is_leading {
            out.extend(u8::try_from(digit).ok().map(|digit| b'0' + digit));
        }
    }
}

fn write_fields(headers: &Headers, out: &mut Vec<u8>) {
    out.reserve(headers.wire_len());
    for field in headers {
        out.extend_from_slice(field.name());
        out.extend_from_slice(b": ");
        out.extend_from_slice(field.value());
        out.extend_from_slice(b"\r\n");
    }
}

/// Undoes percent-encoding once, but for the slash; what is no encoding stays as it is.
fn decode_path(path: &[u8], out: &mut Vec<u8>) {
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let decoded = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match decoded {
            Some(byte) if byte != b'/' => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
