//! The access token of a request, as homeservers find it.

use percent_encoding::percent_decode_str;
use tollgate_sdk::Request;

/// What a request proves itself with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Nothing.
    None,
    /// A token.
    Token(Token),
    /// Something that no homeserver takes, like a token with a space in it.
    Illegal,
    /// The configuration keeps the field from this addon.
    Withheld,
}

/// An access token, and as whom an application service acts.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// Visible ASCII.
    pub(super) secret: String,
    /// `user_id` of the query. Homeservers look at it only for tokens of application services.
    pub(super) acts_as: Option<String>,
}

/// What a field shows whose value is withheld.
const WITHHELD: &[u8] = b"[withheld]";

impl Credentials {
    /// Of a request.
    ///
    /// Synapse and Dendrite refuse a request with a field and a parameter, or with several fields; Conduit and its kin take the
    /// first field where it is `Bearer`, else the parameter. So that is done here: no homeserver sees another user than this.
    pub(super) fn of(request: &Request<'_>) -> Self {
        let fields = request.header_values("authorization");
        let target = request.path_and_query();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        Self::find(&fields, query)
    }

    fn find(fields: &[Vec<u8>], query: &str) -> Self {
        if fields.iter().any(|value| value == WITHHELD) {
            return Self::Withheld;
        }
        let first = fields.first().and_then(|value| bearer(value));
        let parameter = || value_of(query, "access_token").map(String::into_bytes);
        // A second field is nobody's token, but if it is the only one it must not make the request a stranger's.
        let later = || fields.iter().skip(1).find_map(|value| bearer(value));
        let Some(secret) = first.map(<[u8]>::to_vec).or_else(parameter).or_else(|| later().map(<[u8]>::to_vec)) else {
            return Self::None;
        };
        if secret.is_empty() {
            return Self::None;
        }
        match String::from_utf8(secret) {
            Ok(secret) if secret.bytes().all(|byte| byte.is_ascii_graphic()) => {
                let acts_as = value_of(query, "user_id").filter(|user| !user.is_empty());
                Self::Token(Token { secret, acts_as })
            }
            _ => Self::Illegal,
        }
    }
}

/// The token of a field; its scheme compares without case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Bearer".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer") && rest.first().is_none_or(u8::is_ascii_whitespace);
    is_bearer.then(|| rest.trim_ascii())
}

/// The first parameter of this name. Pairs end at `;`, too: Twisted, and so Synapse, takes them so.
pub(super) fn value_of(query: &str, name: &str) -> Option<String> {
    query
        .split(['&', ';'])
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| decoded(key) == name)
        .map(|(_, value)| decoded(value))
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Token and user, or what there is instead.
    type Found = Option<Result<(String, Option<String>), &'static str>>;

    fn find(fields: &[&str], query: &str) -> Found {
        let fields: Vec<Vec<u8>> = fields.iter().map(|value| value.as_bytes().to_vec()).collect();
        match Credentials::find(&fields, query) {
            Credentials::None => None,
            Credentials::Token(Token { secret, acts_as }) => Some(Ok((secret, acts_as))),
            Credentials::Illegal => Some(Err("illegal")),
            Credentials::Withheld => Some(Err("withheld")),
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "it is held against what was found")]
    fn token(secret: &str) -> Found {
        Some(Ok((secret.to_owned(), None)))
    }

    #[test]
    fn fields_hold_tokens() {
        for value in ["Bearer t", "bearer t", "BEARER t", "Bearer   t", "Bearer\tt"] {
            assert_eq!(find(&[value], ""), token("t"), "{value}");
        }
        for value in ["", "Bearer", "Bearer ", "Bearert", "Basic t", "t"] {
            assert_eq!(find(&[value], ""), None, "{value}");
        }
        for value in ["Bearer a b", "Bearer a, Bearer b", "Bearer \u{e9}"] {
            assert_eq!(find(&[value], ""), Some(Err("illegal")), "{value}");
        }
        assert_eq!(find(&["[withheld]"], "access_token=t"), Some(Err("withheld")));
    }

    #[test]
    fn parameters_hold_tokens() {
        for query in [
            "access_token=t",
            "a=b&access_token=t",
            "a=b;access_token=t",
            "acc%65ss_token=%74",
            "access_token=t&access_token=u",
            "access_token&access_token=t",
        ] {
            assert_eq!(find(&[], query), token("t"), "{query}");
        }
        for query in ["", "access_token", "access_token=", "access_token=&access_token=t", "Access_Token=t", "token=t"] {
            assert_eq!(find(&[], query), None, "{query}");
        }
        for query in ["access_token=a+b", "access_token=a%00", "access_token=%E9"] {
            assert_eq!(find(&[], query), Some(Err("illegal")), "{query}");
        }
    }

    #[test]
    fn the_first_field_is_before_the_parameter() {
        assert_eq!(find(&["Bearer a"], "access_token=b"), token("a"));
        assert_eq!(find(&["Bearer a", "Bearer b"], ""), token("a"));
        assert_eq!(find(&["Basic a"], "access_token=b"), token("b"));
        assert_eq!(find(&["Basic a", "Bearer c"], "access_token=b"), token("b"));
        assert_eq!(find(&["Basic a", "Bearer c"], ""), token("c"));
    }

    #[test]
    fn services_act_as_users() {
        let expected = Some(Ok(("t".to_owned(), Some("@a:b".to_owned()))));
        assert_eq!(find(&["Bearer t"], "user_id=%40a:b&user_id=c"), expected);
        assert_eq!(find(&[], "access_token=t;user_id=@a:b"), expected);
        assert_eq!(find(&["Bearer t"], "user_id="), token("t"));
    }
}
