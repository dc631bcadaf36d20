//! Tokens where nobody should have them: in the body.
//!
//! Twisted reads a POST of type `application/x-www-form-urlencoded` as parameters, and what it finds there replaces that of the
//! query. So Synapse takes an `access_token` from what is JSON for everybody else, if somebody writes `&access_token=…&` into a
//! string of it, and acts as another user than the one that hooks and checks were told.

use tollgate_sdk::Request;

use super::token;

/// Flows that are to be looked at, bodies included.
pub(super) const FILTER: &str = r#"~m "^POST$" & ~tq "(?i)x-www-form-urlencoded""#;

const PARAMETERS: [&str; 2] = ["access_token", "user_id"];

/// Whether a homeserver may find an identity in the body.
pub(super) fn hides_identity(request: &Request<'_>) -> bool {
    if !request.method().eq_ignore_ascii_case("POST") {
        return false;
    }
    let is_form = |value: &Vec<u8>| value.to_ascii_lowercase().windows(21).any(|text| text == b"x-www-form-urlencoded");
    if !request.header_values("content-type").iter().any(is_form) {
        return false;
    }
    match request.body() {
        Some(body) if !request.is_body_truncated() => {
            let body = String::from_utf8_lossy(&body);
            PARAMETERS.iter().any(|name| token::value_of(&body, name).is_some())
        }
        // Unseen is not harmless.
        _ => true,
    }
}
