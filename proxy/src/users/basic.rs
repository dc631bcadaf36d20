//! Proxy-Authorization with Basic (RFC 7617).

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::http::Headers;

/// What a client says to be.
pub(super) struct Claim {
    /// In UTF-8, as the challenge asks for.
    pub(super) name: String,
    pub(super) password: Vec<u8>,
    /// Both, as they were sent.
    pub(super) bytes: Vec<u8>,
}

/// The credentials of a head. None: there are none, or not one alone that can be read.
pub(super) fn claim(headers: &Headers) -> Option<Claim> {
    let mut values = headers.get_all("proxy-authorization");
    let value = values.next().filter(|_| values.next().is_none())?;
    let value = std::str::from_utf8(value).ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(token.trim_matches(' ')).ok()?;
    let colon = bytes.iter().position(|&byte| byte == b':')?;
    let name = std::str::from_utf8(bytes.get(..colon)?).ok()?.to_owned();
    let password = bytes.get(colon + 1..)?.to_vec();
    Some(Claim { name, password, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Field;

    fn read(values: &[&str]) -> Option<(String, Vec<u8>)> {
        let field = |value: &&str| Field::new("Proxy-Authorization", (*value).to_owned()).expect("a field");
        claim(&values.iter().map(field).collect()).map(|claim| (claim.name, claim.password))
    }

    #[test]
    fn names_end_with_the_first_colon() {
        let ann = Some(("ann".to_owned(), b"se:cret".to_vec()));
        for value in ["Basic YW5uOnNlOmNyZXQ=", "basic YW5uOnNlOmNyZXQ=", "BASIC   YW5uOnNlOmNyZXQ="] {
            assert_eq!(read(&[value]), ann, "{value}");
        }
        assert_eq!(read(&["Basic Og=="]), Some((String::new(), Vec::new())));
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for values in [
            &[][..],
            &[""],
            &["Basic"],
            &["Basic YW5u"],
            &["Basic YW5uOnNlOmNyZXQ"],
            &["Basic !"],
            &["Bearer YW5uOnNlOmNyZXQ="],
            &["Basic /zph"],
            &["Basic YW5uOnNlOmNyZXQ=", "Basic YW5uOnNlOmNyZXQ="],
        ] {
            assert_eq!(read(values), None, "{values:?}");
        }
    }
}
