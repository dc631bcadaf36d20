//! What of a handshake is the core's where hooks see messages (RFC 6455, 4; RFC 7692, 5 and 7.1).
//!
//! Two connections, two agreements: towards the upstream the core offers the one form of compression that it can take off and
//! put on again message by message, without context takeover; no other extension. If the upstream takes it, so does the core
//! towards the client, if the client offered any form of it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use sha1::{Digest as _, Sha1};

use crate::http::{Field, Headers, headers::is_token};

/// What of compression a client takes: from a client that offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// Bits of the client's window, 8 to 15, and whether it asked for less than the most.
    window_bits: Option<u8>,
}

const EXTENSIONS: &str = "sec-websocket-extensions";
const DEFLATE: &str = "permessage-deflate";
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request asks for a WebSocket, in the form that the RFC gives it.
#[must_use]
pub fn is_request(method: &Method, protocols: &[u8], headers: &Headers) -> bool {
    method == Method::GET
        && protocols.split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
        && headers.contains("sec-websocket-key")
}

/// The protocols that a client offers without every WebSocket, of whatever version; none: nothing is left.
#[must_use]
pub fn without_websocket(protocols: &[u8]) -> Option<Vec<u8>> {
    let is_other = |name: &&[u8]| {
        let name = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        !name.is_empty() && !name.trim_ascii().eq_ignore_ascii_case(b"websocket")
    };
    let others: Vec<_> = protocols.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(is_other).collect();
    (!others.is_empty()).then(|| others.join(&b", "[..]))
}

/// Whether an upstream switches to nothing but what was offered (RFC 9110, 7.8).
#[must_use]
pub fn is_offered(protocols: &[u8], answer: &Headers) -> bool {
    let is_among = |name: &[u8]| protocols.split(|byte| *byte == b',').any(|offer| offer.trim_ascii().eq_ignore_ascii_case(name));
    let mut names = answer.list("upgrade").peekable();
    names.peek().is_some() && names.all(is_among)
}

/// Puts the core's offer in the place of the client's; answers with what the client takes of it.
pub fn offer(headers: &mut Headers) -> Option<Deflate> {
    let offered = extensions(headers).iter().find_map(|extension| Deflate::of_offer(extension));
    headers.remove(EXTENSIONS);
    if offered.is_some() {
        headers.push(Field::from_static("Sec-WebSocket-Extensions", AGREED));
    }
    offered
}

/// Checks what the upstream answered to the offer, and puts what the client is told in its place; answers with what holds from
/// now on.
///
/// # Errors
/// When the answer is none to what was asked: what the upstream would send would be no WebSocket.
pub fn agree(key: Option<&[u8]>, offered: Option<Deflate>, answer: &mut Headers) -> Result<Option<Deflate>, &'static str> {
    let is_accepted = {
        let mut accepts = answer.get_all("sec-websocket-accept");
        let (accept, more) = (accepts.next(), accepts.next());
        key.is_some_and(|key| accept == Some(accept_of(key).as_bytes())) && more.is_none()
    };
    if !is_accepted {
        return Err("Sec-WebSocket-Accept does not answer the key");
    }
    let protocols: Vec<&[u8]> = answer.list("upgrade").collect();
    if !matches!(protocols[..], [name] if name.eq_ignore_ascii_case(b"websocket")) {
        return Err("another protocol than websocket");
    }
    let agreed = match (&extensions(answer)[..], offered) {
        ([], _) if answer.contains(EXTENSIONS) => return Err("Sec-WebSocket-Extensions cannot be read"),
        ([], _) => None,
        ([one], Some(offered)) if is_agreed(one) => Some(offered),
        _ => return Err("an extension that was not offered"),
    };
    answer.remove(EXTENSIONS);
    if let Some(deflate) = agreed {
        let window = deflate.window_bits.map_or_else(String::new, |bits| format!("; server_max_window_bits={bits}"));
        answer.extend(Field::new("Sec-WebSocket-Extensions", format!("{AGREED}{window}")).ok());
    }
    Ok(agreed)
}

/// The answer to a key (RFC 6455, 4.2.2).
fn accept_of(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// An extension with its parameters.
type Extension<'a> = (&'a str, Vec<(&'a str, Option<&'a str>)>);

/// All extensions; none where one of them cannot be read.
fn extensions(headers: &Headers) -> Vec<Extension<'_>> {
    headers.list(EXTENSIONS).map(extension).collect::<Option<_>>().unwrap_or_default()
}

fn extension(text: &[u8]) -> Option<Extension<'_>> {
    let mut parts = std::str::from_utf8(text).ok()?.split(';').map(str::trim);
    let name = parts.next().filter(|name| is_token(name.as_bytes()))?;
    let parameter = |part| {
        let (name, value) = match str::split_once(part, '=') {
            None => (part, None),
            Some((name, value)) => {
                let value = value.trim();
                let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
                (name.trim(), Some(bare).filter(|value| is_token(value.as_bytes())).map(Some)?)
            }
        };
        is_token(name.as_bytes()).then_some((name, value))
    };
    Some((name, parts.map(parameter).collect::<Option<_>>()?))
}

/// The value of a parameter that gives the bits of a window.
fn bits(value: &str) -> Option<u8> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    value.parse().ok().filter(|bits| is_plain && (8..=15).contains(bits))
}

/// Whether each parameter comes once.
fn are_distinct(parameters: &[(&str, Option<&str>)]) -> bool {
    parameters.iter().enumerate().all(|(place, (name, _))| parameters.iter().skip(place + 1).all(|(other, _)| other != name))
}

/// Whether an upstream's answer is one to [`AGREED`].
fn is_agreed((name, parameters): &Extension<'_>) -> bool {
    let is_known = |(name, value): &(&str, Option<&str>)| match *name {
        "server_no_context_takeover" | "client_no_context_takeover" => value.is_none(),
        "server_max_window_bits" => value.and_then(bits).is_some(),
        _ => false,
    };
    let forgets = parameters.iter().any(|(name, _)| *name == "server_no_context_takeover");
    *name == DEFLATE && forgets && are_distinct(parameters) && parameters.iter().all(is_known)
}

impl Deflate {
    fn of_offer((name, parameters): &Extension<'_>) -> Option<Self> {
        let mut offered = Self { window_bits: None };
        for (name, value) in parameters {
            match (*name, value) {
                ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
                ("client_max_window_bits", Some(value)) => drop(bits(value)?),
                ("server_max_window_bits", Some(value)) => offered.window_bits = Some(bits(value)?),
                _ => return None,
            }
        }
        (*name == DEFLATE && are_distinct(parameters)).then_some(offered)
    }

    /// Longest message that the client can read whatever window it was compressed with.
    #[must_use]
    pub fn window(self) -> usize {
        match self.window_bits {
            None | Some(15) => usize::MAX,
            Some(bits) => 1 << bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

    fn headers(fields: &[(&str, &str)]) -> Headers {
        fields.iter().map(|(name, value)| Field::new((*name).to_owned(), (*value).to_owned()).expect("a field")).collect()
    }

    fn offered(extensions: &[&str]) -> (Option<Deflate>, Option<String>) {
        let fields: Vec<_> = extensions.iter().map(|value| ("Sec-WebSocket-Extensions", *value)).collect();
        let mut headers = headers(&fields);
        let deflate = offer(&mut headers);
        (deflate, headers.get_str(EXTENSIONS).map(str::to_owned))
    }

    fn answered(extensions: &[&str], offered: Option<Deflate>) -> Result<Option<String>, &'static str> {
        let mut fields = vec![("Upgrade", "WebSocket"), ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")];
        fields.extend(extensions.iter().map(|value| ("Sec-WebSocket-Extensions", *value)));
        let mut headers = headers(&fields);
        agree(Some(KEY), offered, &mut headers).map(|_| headers.get_str(EXTENSIONS).map(str::to_owned))
    }

    const FULL: Deflate = Deflate { window_bits: None };

    #[test]
    fn only_compression_that_can_be_undone_is_offered() {
        for (offers, window) in [
            (&["permessage-deflate"][..], None),
            (&["permessage-deflate; client_max_window_bits"], None),
            (&["permessage-deflate;server_max_window_bits=9 ; client_max_window_bits = 10"], Some(9)),
            (&["permessage-deflate; server_max_window_bits=\"15\""], Some(15)),
            (&["x-webkit-deflate-frame, permessage-deflate; server_no_context_takeover"], None),
            (&["permessage-bzip2", "permessage-deflate; unknown, permessage-deflate; server_max_window_bits=8"], Some(8)),
        ] {
            assert_eq!(offered(offers), (Some(Deflate { window_bits: window }), Some(AGREED.to_owned())), "{offers:?}");
        }
        for offers in [
            &[][..],
            &["x-webkit-deflate-frame"],
            &["permessage-deflate; server_max_window_bits"],
            &["permessage-deflate; server_max_window_bits=7"],
            &["permessage-deflate; server_max_window_bits=16"],
            &["permessage-deflate; server_max_window_bits=09"],
            &["permessage-deflate; client_max_window_bits=7"],
            &["permessage-deflate; server_no_context_takeover=1"],
            &["permessage-deflate; client_max_window_bits; client_max_window_bits"],
            &["permessage-deflate; ="],
        ] {
            assert_eq!(offered(offers), (None, None), "{offers:?}");
        }
    }

    #[test]
    fn answers_fit_what_was_offered() {
        for answer in [AGREED, "permessage-deflate; server_no_context_takeover; server_max_window_bits=10"] {
            assert_eq!(answered(&[answer], Some(FULL)), Ok(Some(AGREED.to_owned())));
        }
        let small = Deflate { window_bits: Some(9) };
        assert_eq!(answered(&[AGREED], Some(small)), Ok(Some(format!("{AGREED}; server_max_window_bits=9"))));
        assert_eq!(answered(&[], Some(FULL)), Ok(None));
        for (answer, offered) in [
            (&[AGREED][..], None),
            (&["permessage-deflate"], Some(FULL)),
            (&["permessage-deflate; server_no_context_takeover; client_max_window_bits=9"], Some(FULL)),
            (&["permessage-deflate; server_no_context_takeover; server_max_window_bits=99"], Some(FULL)),
            (&["x-webkit-deflate-frame"], Some(FULL)),
            (&[AGREED, AGREED], Some(FULL)),
            (&["a b"], Some(FULL)),
            (&[""], Some(FULL)),
        ] {
            let refused = answered(answer, offered);
            assert!(refused.is_err() || (answer == [""] && refused == Ok(None)), "{answer:?} {refused:?}");
        }
    }

    #[test]
    fn the_key_has_to_be_answered() {
        let good = headers(&[("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")]);
        assert_eq!(agree(Some(KEY), None, &mut good.clone()), Ok(None));
        assert!(agree(Some(b"x"), None, &mut good.clone()).is_err() && agree(None, None, &mut good.clone()).is_err());
        let mut twice = good.clone();
        twice.push(Field::from_static("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(agree(Some(KEY), None, &mut twice).is_err());
        let mut other = good;
        other.set(Field::from_static("Upgrade", "other"));
        assert!(agree(Some(KEY), None, &mut other).is_err());
    }

    #[test]
    fn no_version_of_a_websocket_stays_on_offer() {
        for (offered, left) in [
            ("websocket", None),
            ("WebSocket/13, websocket ,", None),
            ("a, websocket,b/1", Some("a, b/1")),
            ("websockets", Some("websockets")),
        ] {
            assert_eq!(without_websocket(offered.as_bytes()).as_deref(), left.map(str::as_bytes), "{offered}");
        }
    }

    #[test]
    fn upstreams_switch_to_what_was_offered() {
        for (offered, answer, is_good) in [
            ("a, websocket", Some("WebSocket"), true),
            ("a,b", Some("b, a"), true),
            ("a", Some("a, b"), false),
            ("websocket/13", Some("websocket"), false),
            ("a", Some(""), false),
            ("a", None, false),
        ] {
            let fields: Vec<_> = answer.iter().map(|answer| ("Upgrade", *answer)).collect();
            assert_eq!(is_offered(offered.as_bytes(), &headers(&fields)), is_good, "{offered} {answer:?}");
        }
    }

    #[test]
    fn requests_are_known_by_their_fields() {
        let with_key = headers(&[("Sec-WebSocket-Key", "x")]);
        assert!(is_request(&Method::GET, b"other, WebSocket", &with_key));
        assert!(!is_request(&Method::POST, b"websocket", &with_key));
        assert!(!is_request(&Method::GET, b"websockets", &with_key));
        assert!(!is_request(&Method::GET, b"websocket", &Headers::new()));
    }
}
