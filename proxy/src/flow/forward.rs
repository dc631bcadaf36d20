//! What happens to header fields on the way through (RFC 9110, 7.6): removed before the first hook, never looked at again.

use std::net::IpAddr;

use bytes::Bytes;

use super::Site;
use crate::http::{Field, Headers, RequestHead, Version};

/// Whether the client takes trailers.
pub(super) fn takes_trailers(headers: &Headers) -> bool {
    headers.list("te").any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// Sets X-Forwarded-For, -Proto and -Host. Reverse listeners only: where clients choose the target, it is not told about them.
///
/// What came with the request is extended if the peer is trusted, else replaced; `Forwarded` (RFC 7239) of others is removed
/// with it, so that an upstream never believes what a client made up.
pub(super) fn set_forwarded(head: &mut RequestHead, site: &Site, peer: IpAddr) {
    let is_trusted = site.trust.contains(peer);
    let headers = &mut head.headers;
    if !is_trusted {
        headers.remove("forwarded");
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"] {
            headers.remove(name);
        }
    }
    let chain = join(headers, "x-forwarded-for", peer.to_canonical().to_string());
    set(headers, "X-Forwarded-For", chain);
    if !headers.contains("x-forwarded-proto") {
        headers.push(Field::from_static("X-Forwarded-Proto", head.scheme.as_str()));
    }
    if !headers.contains("x-forwarded-host") && !head.authority.is_empty() {
        headers.extend(Field::new(Bytes::from_static(b"X-Forwarded-Host"), head.authority.as_str().to_owned()).ok());
    }
}

/// Adds Via to a message that came in this version, if the listener has a name for it.
pub(super) fn add_via(headers: &mut Headers, version: Version, site: &Site) {
    if let Some(name) = &site.via {
        let via = join(headers, "via", format!("{} {name}", version.as_str()));
        set(headers, "Via", via);
    }
}

/// A body that was edited is no longer byte for byte what a strong validator names (RFC 9110, 8.8.1).
pub(super) fn weaken_etag(headers: &mut Headers) {
    if let Some(tag) = headers.get("etag")
        && tag.starts_with(b"\"")
    {
        let weak = [b"W/", tag].concat();
        if let Ok(field) = Field::new(Bytes::from_static(b"ETag"), weak) {
            headers.set(field);
        }
    }
}

/// Says that a response was chosen by this field of the request (RFC 9110, 12.5.5).
pub(super) fn add_vary(headers: &mut Headers, name: &str) {
    let is_said = headers.list("vary").any(|known| known == b"*" || known.eq_ignore_ascii_case(name.as_bytes()));
    if !is_said {
        let vary = join(headers, "vary", name.to_owned());
        set(headers, "Vary", vary);
    }
}

fn join(headers: &Headers, name: &str, last: String) -> String {
    let mut all: Vec<String> = headers.get_all(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    if all.is_empty() {
        return last;
    }
    all.push(last);
    all.join(", ")
}

fn set(headers: &mut Headers, name: &'static str, value: String) {
    // A joined value that is no longer legal can only come of an illegal one: then ours alone goes on.
    if let Ok(field) = Field::new(Bytes::from_static(name.as_bytes()), Bytes::from(value)) {
        headers.set(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nominated_fields_go_with_their_connection() {
        let mut headers: Headers = [
            ("Connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("Keep-Alive", "5"),
            ("TE", "trailers"),
            ("Upgrade", "x"),
            ("Transfer-Encoding", "chunked"),
            ("X-Kept", "1"),
        ]
        .iter()
        .map(|(name, value)| Field::from_static(name, value))
        .collect();
        assert!(takes_trailers(&headers));
        headers.strip_hop_by_hop();
        assert_eq!(headers.iter().map(Field::name_str).collect::<Vec<_>>(), ["X-Kept"]);
    }

    #[test]
    fn vary_is_said_once() {
        for (before, after) in [
            (&[][..], &["Accept-Encoding"][..]),
            (&["Origin"], &["Origin, Accept-Encoding"]),
            (&["Origin", "Cookie"], &["Origin, Cookie, Accept-Encoding"]),
            (&["accept-encoding, Origin"], &["accept-encoding, Origin"]),
            (&["*"], &["*"]),
        ] {
            let mut headers: Headers = before.iter().map(|value| Field::from_static("Vary", value)).collect();
            add_vary(&mut headers, "Accept-Encoding");
            let said: Vec<_> = headers.get_all("vary").map(|value| String::from_utf8_lossy(value)).collect();
            assert_eq!(said, after);
        }
    }
}
