//! What the host takes of an addon, and what not.

use std::collections::BTreeMap;

use crate::{EditError, Header, MadeResponse, Refusal};

/// Default of the budget `max_body`, in bytes.
pub(crate) const MAX_BODY: usize = 10 * 1024 * 1024;

const MAX_NOTES: usize = 64;
const MAX_NOTE_KEY: usize = 256;
const MAX_NOTE_VALUE: usize = 16 * 1024;

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

pub(crate) fn check_method(method: &str) -> Result<(), EditError> {
    if is_token(method) { Ok(()) } else { Err(EditError::Invalid(format!("method {method:?}"))) }
}

pub(crate) fn check_path_and_query(text: &str) -> Result<(), EditError> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        Ok(())
    } else {
        Err(EditError::Invalid(format!("path and query {text:?}")))
    }
}

pub(crate) fn check_upstream(url: &str) -> Result<(), EditError> {
    let authority = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let is_legal = authority.is_some_and(|authority| {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let is_host_legal = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
        };
        is_host_legal && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
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

pub(crate) fn check_body(body: &[u8]) -> Result<(), EditError> {
    if body.len() > MAX_BODY {
        return Err(EditError::TooLarge(format!("max_body is {MAX_BODY}, the body has {} bytes", body.len())));
    }
    Ok(())
}

pub(crate) fn check_note(notes: &BTreeMap<String, String>, key: &str, value: &str) -> Result<(), EditError> {
    let too_large = |what: &str, limit: usize, found: usize| Err(EditError::TooLarge(format!("{what} {limit}, found {found}")));
    if key.len() > MAX_NOTE_KEY {
        return too_large("bytes of a note's key", MAX_NOTE_KEY, key.len());
    }
    if value.len() > MAX_NOTE_VALUE {
        return too_large("bytes of a note's value", MAX_NOTE_VALUE, value.len());
    }
    if !notes.contains_key(key) && notes.len() >= MAX_NOTES {
        return too_large("notes", MAX_NOTES, notes.len() + 1);
    }
    Ok(())
}

pub(crate) fn check_made_response(response: &MadeResponse, is_to_head: bool) -> Result<(), EditError> {
    check_status(response.status, 200)?;
    for (name, value) in &response.headers {
        check_field(name, value)?;
    }
    if !response.body.is_empty() && !is_to_head {
        check_may_have_body(false, response.status)?;
    }
    check_body(&response.body)
}

pub(crate) fn check_refusal(refusal: &Refusal) -> Result<(), EditError> {
    check_status(refusal.status, 400)
}

fn check_field(name: &str, value: &[u8]) -> Result<(), EditError> {
    check_name(name)?;
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let has_control = value.iter().any(|&byte| byte != b'\t' && (byte < 0x20 || byte == 0x7f));
    if has_control || is_blank(value.first()) || is_blank(value.last()) {
        return Err(EditError::Invalid(format!("value of the field {name}")));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), EditError> {
    if !is_token(name) {
        return Err(EditError::Invalid(format!("field name {name:?}")));
    }
    if FRAMING.iter().any(|field| name.eq_ignore_ascii_case(field)) {
        return Err(EditError::Forbidden(name.to_owned()));
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

pub(crate) fn set_field(headers: &mut Vec<Header>, name: &str, values: &[Vec<u8>]) -> Result<(), EditError> {
    check_name(name)?;
    for value in values {
        check_field(name, value)?;
    }
    let place = headers.iter().position(|(field, _)| field.eq_ignore_ascii_case(name)).unwrap_or(headers.len());
    headers.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
    headers.splice(place..place, values.iter().map(|value| (name.to_owned(), value.clone())));
    Ok(())
}

pub(crate) fn append_field(headers: &mut Vec<Header>, name: &str, value: &[u8]) -> Result<(), EditError> {
    check_field(name, value)?;
    headers.push((name.to_owned(), value.to_vec()));
    Ok(())
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
        for name in FRAMING {
            let mut headers = Vec::new();
            assert_eq!(append_field(&mut headers, name, b"1"), Err(EditError::Forbidden(name.to_owned())));
            assert!(matches!(set_field(&mut headers, &name.to_uppercase(), &[]), Err(EditError::Forbidden(_))));
        }
    }

    #[test]
    fn illegal_fields_are_refused_whole() {
        let mut headers = vec![("A".to_owned(), b"1".to_vec())];
        for value in [&b"a\r\nb"[..], b"a\n", b"\0", b" a", b"a\t", b"\x7f"] {
            assert!(matches!(set_field(&mut headers, "a", &[b"2".to_vec(), value.to_vec()]), Err(EditError::Invalid(_))));
        }
        for name in ["", "a b", "a:", "ä"] {
            assert!(matches!(append_field(&mut headers, name, b"1"), Err(EditError::Invalid(_))));
        }
        assert_eq!(headers, [("A".to_owned(), b"1".to_vec())]);
    }

    #[test]
    fn replaced_field_keeps_its_place() {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let mut headers = vec![field("a", "1"), field("b", "2"), field("c", "3"), field("B", "4")];
        set_field(&mut headers, "b", &[b"x".to_vec(), b"y".to_vec()]).expect("legal");
        assert_eq!(headers, [field("a", "1"), field("b", "x"), field("b", "y"), field("c", "3")]);
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
        for url in ["http://a", "https://a.b:1", "http://[::1]:8008", "http://[::1]"] {
            assert!(check_upstream(url).is_ok(), "{url}");
        }
        for url in ["a", "ftp://a", "http://", "http://a/b", "http://a:0", "http://a:x", "http://u@a", "http://[zz]"] {
            assert!(check_upstream(url).is_err(), "{url}");
        }
    }
}
