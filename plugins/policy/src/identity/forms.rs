//! Tokens where nobody should have them: in the body.
//!
//! Twisted reads a POST of type `application/x-www-form-urlencoded` or `multipart/form-data` as parameters, and what it finds there
//! replaces that of the query. So Synapse takes an `access_token` from what is JSON for everybody else, if somebody writes
//! `&access_token=…&` into a string of it, and acts as another user than the one that hooks and checks were told.
//!
//! Clients of Matrix's API send no forms. So none is let through to it, whatever is in it: bodies are not looked at.

use percent_encoding::percent_decode;
use tollgate_sdk::Request;

use crate::path;

/// Flows that are to be looked at. Types are searched for, not compared: comments, white space and parameters change nothing for
/// Twisted.
pub(super) const FILTER: &str = r#"~m "^POST$" & ~tq "(?i)x-www-form-urlencoded|form-data" & ~p "(?i)_matrix|_synapse|%""#;

const TYPES: [&str; 2] = ["x-www-form-urlencoded", "form-data"];
/// Where homeservers take access tokens.
const APIS: [&str; 2] = ["_matrix", "_synapse"];
/// How often a path may be percent-encoded.
const MAX_DECODINGS: usize = 4;

/// Whether a homeserver may find an identity in the body.
pub(super) fn may_hide_identity(request: &Request<'_>) -> bool {
    let lengths = request.header_values("content-length");
    // Of an unknown length counts as one with a body.
    let is_empty = !lengths.is_empty() && lengths.iter().all(|value| value == b"0");
    let is_form = request.header_values("content-type").iter().any(|value| is_form(value));
    request.method().eq_ignore_ascii_case("POST")
        && is_form
        && !is_empty
        && takes_tokens(&path::decoded(&request.path_and_query()))
}

fn is_form(value: &[u8]) -> bool {
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    TYPES.iter().any(|kind| value.contains(kind))
}

/// Whether a request to this path may be taken as one with an access token, by whoever reads the path how often.
fn takes_tokens(path: &[u8]) -> bool {
    if is_page(path) {
        return false;
    }
    let mut path = path.to_ascii_lowercase();
    for _ in 0..MAX_DECODINGS {
        let text = String::from_utf8_lossy(&path);
        if APIS.iter().any(|api| text.contains(api)) {
            return true;
        }
        let decoded = percent_decode(&path).collect::<Vec<u8>>().to_ascii_lowercase();
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    true
}

/// Pages for browsers: those of interactive authentication, the consent to terms, and Synapse's own. They know no access tokens.
fn is_page(path: &[u8]) -> bool {
    let Ok(path) = str::from_utf8(path) else { return false };
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        ["", "_matrix", "consent"] => true,
        ["", "_synapse", "client", rest @ ..] => rest.iter().all(|segment| is_word(segment)),
        ["", "_matrix", "client", "r0" | "v1" | "v3" | "unstable", "auth", stage, "fallback", "web"] => is_word(stage),
        _ => false,
    }
}

/// Something that nobody takes for anything but a segment.
fn is_word(segment: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apis_take_tokens_and_pages_do_not() {
        for path in [
            "/_matrix/client/v3/rooms/!a:b/leave",
            "/_matrix/media/v3/upload",
            "/_MATRIX/client/v3/x",
            "/x/../_matrix/client/v3/x",
            "/%5fmatrix/client/v3/x",
            "/%255fmatrix/client/v3/x",
            "/_synapse/admin/v1/x",
            "/_synapse//admin/v1/x",
            "/_synapse/client/../admin/v1/x",
            "/_synapse/client/%2e%2e/admin/v1/x",
            "/_synapse%2Fadmin/v1/x",
            "/_synapse\\admin/v1/x",
            "/%25252525252541",
            "/_matrix/client/v3/auth/a/../fallback/web",
            "/_matrix/client/v3/auth/../fallback/web",
            "/_matrix/client/v3/auth//fallback/web",
            "/_matrix/client/v3/auth/a%2Fb/fallback/web",
            "/_matrix/client/v3/auth/a/fallback/web/x",
            "/_matrix/client/v4/auth/a/fallback/web",
        ] {
            assert!(takes_tokens(path.as_bytes()), "{path}");
        }
        for path in [
            "/_matrix/client/v3/auth/m.login.recaptcha/fallback/web",
            "/_matrix/client/r0/auth/m.login.registration_token/fallback/web",
            "/_matrix/consent",
            "/_synapse/client/oidc/callback",
            "/_synapse/client/password_reset/email/submit_token",
            "/oauth2/token",
            "/login",
            "/a%2Fb",
            "/%",
        ] {
            assert!(!takes_tokens(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn types_are_found_however_they_are_written() {
        for value in [
            "application/x-www-form-urlencoded",
            " Application / X-WWW-Form-URLencoded ; charset=utf-8",
            "(a) application/x-www-form-urlencoded(b)",
            "multipart/form-data; boundary=a",
            "Multipart/Form-Data",
        ] {
            assert!(is_form(value.as_bytes()), "{value}");
        }
        for value in ["", "application/json", "image/png", "multipart/mixed"] {
            assert!(!is_form(value.as_bytes()), "{value}");
        }
    }
}
