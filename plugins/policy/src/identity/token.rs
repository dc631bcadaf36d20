//! The access token of a request, as homeservers find it.

use percent_encoding::percent_decode_str;
use tollgate_sdk::Request;

use crate::{checks::Denied, managed::check_user};

/// What a request proves itself with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Nothing.
    None,
    /// A token.
    Token(Token),
    /// Something that homeservers refuse, or read in more than one way.
    Illegal(Denied),
    /// The configuration keeps the field from this addon.
    Withheld,
}

/// An access token, and as whom an application service acts.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// Visible ASCII.
    pub(super) secret: String,
    /// `user_id` of the query, a Matrix ID. Homeservers look at it only for tokens of application services.
    pub(super) acts_as: Option<String>,
}

/// What a field shows whose value is withheld.
const WITHHELD: &[u8] = b"[withheld]";

const ACCESS_TOKEN: &str = "access_token";
const USER_ID: &str = "user_id";

/// Synapse's status and code for credentials in a wrong place.
const fn misplaced(message: &'static str) -> Denied {
    Denied { status: 401, errcode: "M_MISSING_TOKEN", message }
}

const fn invalid(message: &'static str) -> Denied {
    Denied { status: 400, errcode: "M_INVALID_PARAM", message }
}

const SEVERAL_FIELDS: Denied = misplaced("Too many Authorization headers.");
const MIXED: Denied = misplaced("Mixing Authorization headers and access_token query parameters.");
const SEVERAL_TOKENS: Denied = misplaced("There is more than one access_token in the query.");
const NO_TOKEN: Denied = misplaced("The access token is not written in visible ASCII.");
const SEMICOLON: Denied =
    invalid("There is a ; in the query beside access_token or user_id: homeservers differ in how to read that.");
const SEVERAL_USERS: Denied = invalid("There is more than one user_id in the query.");
const NO_USER: Denied = invalid("user_id in the query is no Matrix user ID of at most 255 bytes.");

impl Credentials {
    /// Of a request.
    ///
    /// Synapse and Dendrite refuse a request with a field and a parameter, or with several of one; Conduit and its kin choose one
    /// of them. What is not the same to all of them is illegal here: whichever homeserver is behind, it sees no other user.
    pub(super) fn of(request: &Request<'_>) -> Self {
        let fields = request.header_values("authorization");
        let target = request.path_and_query();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        Self::find(&fields, path, query).unwrap_or_else(Self::Illegal)
    }

    fn find(fields: &[Vec<u8>], path: &str, query: &str) -> Result<Self, Denied> {
        if fields.iter().any(|value| value == WITHHELD) {
            return Ok(Self::Withheld);
        }
        if fields.len() > 1 {
            return Err(SEVERAL_FIELDS);
        }
        let parameters = Parameters::of(query)?;
        let field = fields.first().and_then(|value| bearer(value));
        if field.is_some() && parameters.token.is_some() {
            return Err(MIXED);
        }
        let secret = field.map(<[u8]>::to_vec).or_else(|| parameters.token.map(String::into_bytes));
        let Some(secret) = secret.filter(|secret| !secret.is_empty()) else { return Ok(Self::None) };
        match String::from_utf8(secret) {
            Ok(secret) if secret.bytes().all(|byte| byte.is_ascii_graphic()) => {
                let acts_as = parameters.user.filter(|user| !user.is_empty());
                Ok(Self::Token(Token { secret, acts_as: checked(acts_as, path)? }))
            }
            _ => Err(NO_TOKEN),
        }
    }
}

/// The user, if it can be one. Synapse's admin API has a parameter of the same name that searches for parts of an ID; no
/// application service can act as what is no ID.
fn checked(user: Option<String>, path: &str) -> Result<Option<String>, Denied> {
    match user {
        Some(user) if check_user(&user).is_err() => {
            if path.starts_with("/_synapse/admin/") {
                Ok(None)
            } else {
                Err(NO_USER)
            }
        }
        user => Ok(user),
    }
}

/// What of a query is about who asks.
struct Parameters {
    token: Option<String>,
    user: Option<String>,
}

impl Parameters {
    fn of(query: &str) -> Result<Self, Denied> {
        let tokens = values(query.split('&'), ACCESS_TOKEN);
        let users = values(query.split('&'), USER_ID);
        // Twisted, and so Synapse up to some version, ends pairs there, too.
        let pieces = || query.split(['&', ';']);
        if query.contains(';') && (tokens != values(pieces(), ACCESS_TOKEN) || users != values(pieces(), USER_ID)) {
            return Err(SEMICOLON);
        }
        Ok(Self { token: single(tokens, SEVERAL_TOKENS)?, user: single(users, SEVERAL_USERS)? })
    }
}

fn single(mut values: Vec<String>, several: Denied) -> Result<Option<String>, Denied> {
    if values.len() > 1 { Err(several) } else { Ok(values.pop()) }
}

/// All parameters of this name; without a `=` it is empty.
fn values<'q>(pairs: impl Iterator<Item = &'q str>, name: &str) -> Vec<String> {
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(key, _)| decoded(key) == name).map(|(_, value)| decoded(value)).collect()
}

/// The token of a field; its scheme compares without case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Bearer".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer") && rest.first().is_none_or(u8::is_ascii_whitespace);
    is_bearer.then(|| rest.trim_ascii())
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Token and user, or what there is instead.
    type Found = Result<Option<(String, Option<String>)>, Denied>;

    fn find(fields: &[&str], query: &str) -> Found {
        find_at("/_matrix/client/v3/sync", fields, query)
    }

    fn find_at(path: &str, fields: &[&str], query: &str) -> Found {
        let fields: Vec<Vec<u8>> = fields.iter().map(|value| value.as_bytes().to_vec()).collect();
        match Credentials::find(&fields, path, query)? {
            Credentials::None => Ok(None),
            Credentials::Token(Token { secret, acts_as }) => Ok(Some((secret, acts_as))),
            Credentials::Illegal(denied) => Err(denied),
            Credentials::Withheld => Ok(Some((String::new(), Some("withheld".to_owned())))),
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "it is held against what was found")]
    fn token(secret: &str) -> Found {
        Ok(Some((secret.to_owned(), None)))
    }

    #[allow(clippy::unnecessary_wraps, reason = "it is held against what was found")]
    fn acting(secret: &str, user: &str) -> Found {
        Ok(Some((secret.to_owned(), Some(user.to_owned()))))
    }

    #[test]
    fn fields_hold_tokens() {
        for value in ["Bearer t", "bearer t", "BEARER t", "Bearer   t", "Bearer\tt"] {
            assert_eq!(find(&[value], ""), token("t"), "{value}");
        }
        for value in ["", "Bearer", "Bearer ", "Bearert", "Basic t", "t"] {
            assert_eq!(find(&[value], ""), Ok(None), "{value}");
        }
        for value in ["Bearer a b", "Bearer a, Bearer b", "Bearer \u{e9}"] {
            assert_eq!(find(&[value], ""), Err(NO_TOKEN), "{value}");
        }
        assert_eq!(find(&["[withheld]"], "access_token=t"), acting("", "withheld"));
    }

    #[test]
    fn parameters_hold_tokens() {
        for query in ["access_token=t", "a=b&access_token=t", "acc%65ss_token=%74", "a;b=c;d&access_token=t", "access_token=t&;"]
        {
            assert_eq!(find(&[], query), token("t"), "{query}");
        }
        for query in ["", "access_token", "access_token=", "Access_Token=t", "token=t", "from=a;b"] {
            assert_eq!(find(&[], query), Ok(None), "{query}");
        }
        for query in ["access_token=a+b", "access_token=a%00", "access_token=%E9"] {
            assert_eq!(find(&[], query), Err(NO_TOKEN), "{query}");
        }
    }

    #[test]
    fn what_homeservers_read_differently_is_illegal() {
        for (fields, query, denied) in [
            (&["Bearer a"][..], "access_token=b", MIXED),
            (&["Bearer a"], "access_token=", MIXED),
            (&["Bearer"], "access_token=b", MIXED),
            (&["Bearer a", "Bearer b"], "", SEVERAL_FIELDS),
            (&["Basic a", "Bearer b"], "", SEVERAL_FIELDS),
            (&[], "access_token=t&access_token=t", SEVERAL_TOKENS),
            (&[], "access_token&access_token=t", SEVERAL_TOKENS),
            (&[], "a=b;access_token=t", SEMICOLON),
            (&[], "access_token=t;a=b", SEMICOLON),
            (&["Bearer t"], "a;user_id=@a:b", SEMICOLON),
            (&["Bearer t"], "user_id=@a:b&user_id=@c:d", SEVERAL_USERS),
        ] {
            assert_eq!(find(fields, query), Err(denied), "{fields:?} {query}");
        }
        assert_eq!(find(&["Basic a"], "access_token=b"), token("b"));
    }

    #[test]
    fn services_act_as_users() {
        assert_eq!(find(&["Bearer t"], "user_id=%40a:b"), acting("t", "@a:b"));
        assert_eq!(find(&[], "access_token=t&user_id=@a:b"), acting("t", "@a:b"));
        assert_eq!(find(&["Bearer t"], "user_id="), token("t"));
    }

    #[test]
    fn users_have_at_most_255_bytes() {
        let user = |bytes: usize| format!("@{}:b", "-".repeat(bytes - 3));
        for bytes in [254, 255] {
            assert_eq!(find(&["Bearer t"], &format!("user_id={}", user(bytes))), acting("t", &user(bytes)));
        }
        for illegal in [user(256), user(5_500), "a".to_owned(), "@a".to_owned(), "@a+b:c".to_owned(), "@a%00:b".to_owned()] {
            let query = format!("user_id={illegal}");
            assert_eq!(find(&["Bearer t"], &query), Err(NO_USER), "{illegal}");
            assert_eq!(find_at("/_synapse/admin/v2/users", &["Bearer t"], &query), token("t"), "{illegal}");
            assert_eq!(find(&[], &query), Ok(None), "without a token nobody reads it");
        }
    }
}
