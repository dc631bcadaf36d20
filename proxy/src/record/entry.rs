//! A flow that is over as one line of JSON.

use std::{num::NonZeroU8, time::Instant};

use http::{Method, StatusCode};
use serde::Serialize as _;
use time::{
    OffsetDateTime,
    format_description::well_known::{
        Iso8601,
        iso8601::{Config, EncodedConfig, TimePrecision},
    },
};

use super::{
    Style, body, cookies,
    har::{Cache, Content, Entry, Own, Pair, PostData, Request, Response, Tunnel, Upstream},
    redact,
    tape::Ended,
    timings::timings,
};
use crate::{
    hooks::{Mutation, Source},
    http::{Headers, RequestHead, Version},
};

/// Milliseconds, as all readers take them.
const ISO8601: EncodedConfig =
    Config::DEFAULT.set_time_precision(TimePrecision::Second { decimal_digits: NonZeroU8::new(3) }).encode();

/// The entry, its line's end included. No line break is within.
pub(super) fn line(ended: &Ended, style: Style) -> serde_json::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(4 << 10);
    entry(ended, style).serialize(&mut serde_json::Serializer::new(&mut line))?;
    line.push(b'\n');
    Ok(line)
}

/// A time in UTC, like `2026-01-02T03:04:05.678Z`.
pub(super) fn iso8601(time: OffsetDateTime) -> String {
    time.format(&Iso8601::<ISO8601>).unwrap_or_default()
}

fn entry(ended: &Ended, style: Style) -> Entry {
    let Ended { facts, outcome, begun, steps, .. } = ended;
    let end: Instant = *begun + outcome.duration;
    let (time, timings) = timings(*begun, steps, ended.departed.as_ref().map(|departed| departed.at), end);
    let is_tunnel = ended.departed.as_ref().is_some_and(|departed| departed.is_tunnel);
    let (source, addon) = match &outcome.source {
        Some(Source::Upstream) => (Some("upstream"), None),
        Some(Source::Addon(name)) => (Some("addon"), Some(name.to_string())),
        Some(Source::Core) => (Some("core"), None),
        None => (None, None),
    };
    let url = url(ended);
    let sent = ended.sent.as_ref().filter(|sent| sent.method != ended.request.method || sent.url != url);
    Entry {
        started_date_time: iso8601(facts.started.into()),
        time,
        request: request(ended, &url, is_tunnel, style),
        response: response(ended, is_tunnel, style),
        cache: Cache {},
        timings,
        server_ip_address: steps.peer.map(|peer| peer.ip().to_canonical().to_string()),
        connection: facts.peer.port().to_string(),
        own: Own {
            id: facts.id,
            listener: facts.listener.to_string(),
            client: facts.peer.to_string(),
            generation: facts.generation,
            error: outcome.error.as_deref().map(|error| shown_text(error, style)),
            source: source.filter(|_| ended.departed.is_some()),
            addon,
            upstream: sent.map(|sent| Upstream { method: sent.method.to_string(), url: shown_text(&sent.url, style) }),
            tunnel: is_tunnel.then_some(Tunnel { sent: outcome.request_bytes, received: outcome.response_bytes }),
            mutations: outcome.mutations.mutations().iter().map(Mutation::to_json).collect(),
        },
    }
}

/// The whole URL that the client asked for. A client of HTTP/1.0 may name no host: then it is that of the upstream.
fn url(ended: &Ended) -> String {
    let RequestHead { method, scheme, authority, target, .. } = &ended.request;
    let authority = if authority.is_empty() { ended.facts.upstream.authority.as_str() } else { authority.as_str() };
    let target = String::from_utf8_lossy(target);
    // Neither CONNECT nor `OPTIONS *` has a path.
    let target = if target.starts_with('/') && *method != Method::CONNECT { &*target } else { "/" };
    format!("{scheme}://{authority}{target}")
}

fn request(ended: &Ended, url: &str, is_tunnel: bool, style: Style) -> Request {
    let head = &ended.request;
    let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let taken = &ended.request_body;
    let post_data = (taken.total > 0 && !is_tunnel).then(|| {
        let mime_type = mime(&head.headers);
        let shown = body::show(taken, &head.headers, style);
        let text = shown.text.unwrap_or_default();
        let params = body::params(&text, &mime_type, style.has_secrets);
        let encoding = shown.is_base64.then_some("base64");
        PostData { mime_type, params, text, encoding, comment: shown.comment }
    });
    let line = head.method.as_str().len() + head.target.len() + "  HTTP/1.1\r\n\r\n".len();
    // Clients of forward listeners send whole URLs, in whatever form.
    let is_told = head.version != Version::Http2 && ended.facts.guard.is_none();
    Request {
        method: head.method.to_string(),
        url: shown_text(url, style),
        http_version: version(head.version),
        cookies: cookies::sent(&head.headers, style.has_secrets),
        headers: pairs(&head.headers, style),
        query_string: body::pairs(query, style.has_secrets),
        post_data,
        headers_size: if is_told { i64::try_from(line + head.headers.wire_len()).unwrap_or(-1) } else { -1 },
        body_size: taken.total,
    }
}

fn response(ended: &Ended, is_tunnel: bool, style: Style) -> Response {
    let Some(departed) = &ended.departed else {
        return Response {
            status: 0,
            status_text: String::new(),
            http_version: version(ended.request.version),
            cookies: Vec::new(),
            headers: Vec::new(),
            content: Content {
                size: 0,
                compression: None,
                mime_type: mime(&Headers::new()),
                text: None,
                encoding: None,
                comment: None,
            },
            redirect_url: String::new(),
            headers_size: -1,
            body_size: -1,
        };
    };
    let (head, taken) = (&departed.head, &ended.response_body);
    let shown =
        if is_tunnel { body::Shown { size: Some(0), ..Default::default() } } else { body::show(taken, &head.headers, style) };
    let size = shown.size.unwrap_or(taken.total);
    let saved = i64::try_from(size).unwrap_or(i64::MAX) - i64::try_from(taken.total).unwrap_or(i64::MAX);
    let reason = head.reason.as_deref().map(String::from_utf8_lossy).map(std::borrow::Cow::into_owned);
    let location = head.headers.get("location").map(String::from_utf8_lossy).unwrap_or_default();
    Response {
        status: head.status.as_u16(),
        status_text: reason.or_else(|| head.status.canonical_reason().map(str::to_owned)).unwrap_or_default(),
        // What a client of HTTP/1.0 is answered in, too.
        http_version: version(ended.request.version.max(Version::Http11)),
        cookies: cookies::set(&head.headers, style.has_secrets),
        headers: pairs(&head.headers, style),
        content: Content {
            size,
            compression: shown.size.is_some().then_some(saved).filter(|saved| *saved != 0),
            mime_type: mime(&head.headers),
            text: shown.text,
            encoding: shown.is_base64.then_some("base64"),
            comment: shown.comment,
        },
        redirect_url: if is_redirect(head.status) { shown_text(&location, style) } else { String::new() },
        // Framing fields are added when it is written.
        headers_size: -1,
        body_size: if is_tunnel { 0 } else { i64::try_from(taken.total).unwrap_or(i64::MAX) },
    }
}

fn is_redirect(status: StatusCode) -> bool {
    status.is_redirection() && status != StatusCode::NOT_MODIFIED
}

fn pairs(headers: &Headers, style: Style) -> Vec<Pair> {
    let value = |name: &str, value: &[u8]| {
        if style.has_secrets { String::from_utf8_lossy(value).into_owned() } else { redact::field(name, value) }
    };
    headers
        .iter()
        .map(|field| Pair { name: field.name_str().to_owned(), value: value(field.name_str(), field.value()) })
        .collect()
}

fn shown_text(text: &str, style: Style) -> String {
    if style.has_secrets { text.to_owned() } else { redact::text(text).into_owned() }
}

/// As browsers call what has no type.
fn mime(headers: &Headers) -> String {
    let mime = headers.get("content-type").map(|value| String::from_utf8_lossy(value).into_owned());
    mime.unwrap_or_else(|| "x-unknown".to_owned())
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2.0",
    }
}
