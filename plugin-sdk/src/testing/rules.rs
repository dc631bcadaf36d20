//! What the host takes of an addon, and what not.

use std::collections::BTreeMap;

use crate::{ChunkAction, EditError, Header, MadeResponse, Refusal, http};

/// Default of the budget `max_body`, in bytes.
pub(crate) const MAX_BODY: usize = 10 * 1024 * 1024;

const MAX_FIELDS: usize = 256;
const MAX_FIELD_BYTES: usize = 64 * 1024;
const MAX_METHOD: usize = 64;
const MAX_PATH_AND_QUERY: usize = 64 * 1024;
const MAX_ERRCODE: usize = 128;
const MAX_ERROR: usize = 4 * 1024;
const MAX_NOTES: usize = 64;
const MAX_NOTE_KEY: usize = 256;
const MAX_NOTE_VALUE: usize = 16 * 1024;

/// Which message a field is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

/// Fields that belong to the core (RFC 9110, 7.6.1; RFC 9113, 8.2.2).
const FRAMING: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
];

/// What frames, routes or authorises a message comes before its body (RFC 9110, 6.5.1); framing fields are never an addon's.
const NEVER_TRAILERS: [&str; 16] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "max-forwards",
    "set-cookie",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

pub(crate) fn check_method(method: &str) -> Result<(), EditError> {
    at_most("bytes in a method", method.len(), MAX_METHOD)?;
    if is_token(method) && method != "CONNECT" { Ok(()) } else { Err(EditError::Invalid(format!("method {method:?}"))) }
}

pub(crate) fn check_path_and_query(text: &str) -> Result<(), EditError> {
    at_most("bytes in path and query", text.len(), MAX_PATH_AND_QUERY)?;
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        Ok(())
    } else {
        Err(EditError::Invalid(format!("path and query {text:?}")))
    }
}

pub(crate) fn check_hosts(hosts: &[String]) -> Result<(), EditError> {
    const MOST: usize = 32;
    if hosts.len() > MOST {
        return Err(EditError::Invalid(format!("{} hosts are more than {MOST}", hosts.len())));
    }
    for host in hosts {
        let name = host.strip_prefix("*.").unwrap_or(host);
        let is_address = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .is_some_and(|name| name.parse::<std::net::Ipv6Addr>().is_ok() && !host.starts_with('*'));
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if !is_address && !is_name {
            return Err(EditError::Invalid(format!("{host:?} is no host")));
        }
    }
    Ok(())
}

pub(crate) fn check_upstream(url: &str) -> Result<(), EditError> {
    // Of an upstream of the listener; which there are is the configuration's affair.
    let is_name = !url.is_empty() && url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if is_name {
        return Ok(());
    }
    let authority = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let is_legal = authority.is_some_and(|authority| {
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, ""),
        };
        let is_host_legal = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
        };
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
        is_host_legal && (port.is_empty() || is_number)
    });
    if is_legal { Ok(()) } else { Err(EditError::Invalid(format!("upstream {url:?}"))) }
}

pub(crate) fn check_status(status: u16, least: u16) -> Result<(), EditError> {
    if (least..=599).contains(&status) { Ok(()) } else { Err(EditError::Invalid(format!("status {status}"))) }
}

/// RFC 9110, 6.4.1.
pub(crate) fn check_may_have_body(is_to_head: bool, status: u16) -> Result<(), EditError> {
    if is_to_head || matches!(status, 204 | 304) {
        return Err(EditError::Invalid("a body where none may be: to HEAD, or with status 204 or 304".to_owned()));
    }
    Ok(())
}

/// Whether a request is about a part of a whole (RFC 9110, 14.5).
pub(crate) fn is_part(headers: &[Header]) -> bool {
    headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-range"))
}

/// The same for a response (15.3.7). The host lets a range that is the whole be replaced, too.
pub(crate) fn is_part_of_response(status: u16, headers: &[Header]) -> bool {
    let is_in_parts = |(name, value): &Header| {
        name.eq_ignore_ascii_case("content-type") && value.to_ascii_lowercase().starts_with(b"multipart/byteranges")
    };
    status == 206 && (is_part(headers) || headers.iter().any(is_in_parts))
}

/// What replaces a part is no longer that part (RFC 9110, 14.4).
pub(crate) fn check_whole(is_part: bool) -> Result<(), EditError> {
    if is_part { Err(EditError::Invalid("body: a part of a whole cannot be replaced".to_owned())) } else { Ok(()) }
}

/// The same for a piece of it.
pub(crate) fn check_piece(is_part: bool, action: &ChunkAction) -> Result<(), EditError> {
    check_whole(is_part && *action != ChunkAction::Pass)
}

pub(crate) fn check_body(body: &[u8]) -> Result<(), EditError> {
    at_most("bytes in a body", body.len(), MAX_BODY)
}

pub(crate) fn check_note(notes: &BTreeMap<String, String>, key: &str, value: &str) -> Result<(), EditError> {
    at_most("bytes in the key of a note", key.len(), MAX_NOTE_KEY)?;
    at_most("bytes in a note", value.len(), MAX_NOTE_VALUE)?;
    at_most("notes", notes.len() + usize::from(!notes.contains_key(key)), MAX_NOTES)
}

/// A body where none may be, as in an answer to HEAD, is left out by the core.
pub(crate) fn check_made_response(response: &MadeResponse) -> Result<(), EditError> {
    check_status(response.status, 200)?;
    for (name, value) in &response.headers {
        check_name(Kind::Response, name)?;
        check_value(name, value)?;
    }
    check_fields(&response.headers)?;
    check_body(&response.body)
}

/// A request of the addon's own. URLs are the proxy's to read.
pub(crate) fn check_request(request: &http::Request) -> Result<(), EditError> {
    check_method(&request.method)?;
    if !request.url.starts_with("http://") && !request.url.starts_with("https://") {
        return Err(EditError::Invalid("the URL does not start with http:// or https://".to_owned()));
    }
    for (name, value) in &request.headers {
        if name.eq_ignore_ascii_case("expect") {
            return Err(EditError::Forbidden("expect".to_owned()));
        }
        check_name(Kind::Request, name)?;
        check_value(name, value)?;
    }
    check_fields(&request.headers)?;
    check_body(&request.body)?;
    at_most("bytes of max-response", request.max_response.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0), MAX_BODY)
}

pub(crate) fn check_refusal(refusal: &Refusal) -> Result<(), EditError> {
    at_most("bytes in an errcode", refusal.errcode.len(), MAX_ERRCODE)?;
    at_most("bytes in an error", refusal.error.len(), MAX_ERROR)?;
    check_status(refusal.status, 400)
}

fn at_most(what: &str, count: usize, limit: usize) -> Result<(), EditError> {
    if count > limit { Err(EditError::TooLarge(format!("{count} {what}, limit {limit}"))) } else { Ok(()) }
}

fn check_fields(headers: &[Header]) -> Result<(), EditError> {
    at_most("header fields", headers.len(), MAX_FIELDS)?;
    at_most("bytes of header fields", field_bytes(headers), MAX_FIELD_BYTES)
}

/// With `: ` and CRLF.
fn field_bytes(headers: &[Header]) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
}

fn check_value(name: &str, value: &[u8]) -> Result<(), EditError> {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let has_control = value.iter().any(|&byte| byte != b'\t' && (byte < 0x20 || byte == 0x7f));
    if has_control || is_blank(value.first()) || is_blank(value.last()) {
        return Err(EditError::Invalid(format!("value of {name}")));
    }
    Ok(())
}

fn check_name(kind: Kind, name: &str) -> Result<(), EditError> {
    if !is_token(name) {
        return Err(EditError::Invalid(format!("field name {name:?}")));
    }
    // Host is the upstream's, or the client's as `preserve_host` says.
    let is_host = kind == Kind::Request && name.eq_ignore_ascii_case("host");
    if is_host || FRAMING.iter().any(|field| name.eq_ignore_ascii_case(field)) {
        return Err(EditError::Forbidden(name.to_ascii_lowercase()));
    }
    Ok(())
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

pub(crate) fn values_of(headers: &[Header], name: &str) -> Vec<Vec<u8>> {
    headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).collect()
}

pub(crate) fn set_field(kind: Kind, headers: &mut Vec<Header>, name: &str, values: &[Vec<u8>]) -> Result<(), EditError> {
    check_name(kind, name)?;
    for value in values {
        check_value(name, value)?;
    }
    let mut edited = headers.clone();
    let place = edited.iter().position(|(field, _)| field.eq_ignore_ascii_case(name)).unwrap_or(edited.len());
    edited.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
    edited.splice(place..place, values.iter().map(|value| (name.to_owned(), value.clone())));
    // Who was over before can at least take fields away.
    if edited.len() > headers.len() || field_bytes(&edited) > field_bytes(headers) {
        check_fields(&edited)?;
    }
    *headers = edited;
    Ok(())
}

pub(crate) fn set_trailer(kind: Kind, trailers: &mut Vec<Header>, name: &str, values: &[Vec<u8>]) -> Result<(), EditError> {
    if NEVER_TRAILERS.iter().any(|never| name.eq_ignore_ascii_case(never)) {
        return Err(EditError::Forbidden(name.to_ascii_lowercase()));
    }
    set_field(kind, trailers, name, values)
}

pub(crate) fn append_field(kind: Kind, headers: &mut Vec<Header>, name: &str, value: &[u8]) -> Result<(), EditError> {
    check_name(kind, name)?;
    check_value(name, value)?;
    headers.push((name.to_owned(), value.to_vec()));
    let checked = check_fields(headers);
    if checked.is_err() {
        headers.pop();
    }
    checked
}

/// Puts the body in place and, as the core does, makes the fields about it true.
pub(crate) fn replace_body(headers: &mut Vec<Header>, body: &mut Vec<u8>, new: &[u8]) {
    new.clone_into(body);
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-encoding"));
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("content-length") {
            *value = new.len().to_string().into_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_fields_belong_to_the_core() {
        let mut headers = Vec::new();
        for name in FRAMING {
            assert_eq!(append_field(Kind::Response, &mut headers, name, b"1"), Err(EditError::Forbidden(name.to_owned())));
            assert!(matches!(set_field(Kind::Request, &mut headers, &name.to_uppercase(), &[]), Err(EditError::Forbidden(_))));
        }
        assert!(append_field(Kind::Request, &mut headers, "Host", b"a").is_err());
        assert!(append_field(Kind::Response, &mut headers, "Host", b"a").is_ok());
    }

    #[test]
    fn illegal_fields_are_refused_whole() {
        let mut headers = vec![("A".to_owned(), b"1".to_vec())];
        for value in [&b"a\r\nb"[..], b"a\n", b"\0", b" a", b"a\t", b"\x7f"] {
            let values = [b"2".to_vec(), value.to_vec()];
            assert!(matches!(set_field(Kind::Request, &mut headers, "a", &values), Err(EditError::Invalid(_))));
        }
        for name in ["", "a b", "a:", "ä"] {
            assert!(matches!(append_field(Kind::Request, &mut headers, name, b"1"), Err(EditError::Invalid(_))));
        }
        let large = vec![b'a'; MAX_FIELD_BYTES];
        assert!(matches!(append_field(Kind::Request, &mut headers, "b", &large), Err(EditError::TooLarge(_))));
        assert!(matches!(set_field(Kind::Request, &mut headers, "b", &vec![Vec::new(); 256]), Err(EditError::TooLarge(_))));
        assert_eq!(headers, [("A".to_owned(), b"1".to_vec())]);
    }

    #[test]
    fn replaced_field_keeps_its_place() {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let mut headers = vec![field("a", "1"), field("b", "2"), field("c", "3"), field("B", "4")];
        set_field(Kind::Request, &mut headers, "b", &[b"x".to_vec(), b"y".to_vec()]).expect("legal");
        assert_eq!(headers, [field("a", "1"), field("b", "x"), field("b", "y"), field("c", "3")]);
    }

    #[test]
    fn methods_are_tokens_but_connect() {
        for method in ["", "CONNECT", "G T", "GET\r\n", &"A".repeat(65)] {
            assert!(check_method(method).is_err(), "{method:?}");
        }
        assert!(check_method("M-SEARCH").is_ok());
    }

    #[test]
    fn paths_hold_no_blank_or_fragment() {
        for text in ["", "a", "*", "/a b", "/a#b", "/\u{e4}", "/a\r\n", "http://a/"] {
            assert!(check_path_and_query(text).is_err(), "{text:?}");
        }
        assert!(check_path_and_query("/a?b=%20").is_ok());
    }

    #[test]
    fn upstreams_are_origins() {
        // The last one is the name of one that the listener has.
        for url in ["http://a", "https://a.b:1", "http://[::1]:8008", "http://[::1]", "http://a/", "http://a:", "a"] {
            assert!(check_upstream(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "a b",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://a:0",
            "http://a:x",
            "http://a:+1",
            "http://u@a",
            "http://[zz]",
        ] {
            assert!(check_upstream(url).is_err(), "{url}");
        }
    }
}
