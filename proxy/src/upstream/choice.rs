//! Which of the upstreams of a reverse listener a request goes to.

use std::{cell::LazyCell, collections::HashSet, fmt, ops::Deref, sync::Arc};

use sha2::{Digest as _, Sha256};

use crate::{
    http::{Origin, RequestHead, Scheme},
    targets::{Host, Target},
};

/// Where the requests of a reverse listener may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstreams {
    /// Where they go that no entry of the list takes; none: nowhere.
    pub otherwise: Option<Arc<Origin>>,
    /// In the order in which they are looked at. Names are unique.
    pub named: Vec<Named>,
}

/// An upstream with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// For clients, addons and people.
    pub name: Arc<str>,
    /// Where it is.
    pub origin: Arc<Origin>,
    /// Whether clients may name it in the field [`FIELD`].
    pub by_header: bool,
    /// Which requests are its own; by default none.
    pub takes: Condition,
}

/// What a request has to have, as far as it is said: all of it. A condition that says nothing takes no request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// SHA-256 of a bearer token: in Authorization, in the query as `access_token`, or, where browsers open WebSockets, in
    /// Sec-WebSocket-Protocol.
    pub token_sha256: HashSet<[u8; 32]>,
    /// Hosts that were asked for, however they are written; without a port any will do.
    pub hosts: Vec<Host>,
    /// The path or what it begins with, at a `/`: `/a` takes `/a` and `/a/b`, not `/ab`.
    pub path: Option<Box<str>>,
}

/// Names an upstream, where there are names. It goes no further.
pub const FIELD: &str = "x-upstream-server";

/// No upstream is for this request (RFC 9110, 15.5.20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misdirected {
    /// The field names none.
    #[error("X-Upstream-Server names no upstream of this listener")]
    Unknown,
    /// The field is there more than once.
    #[error("X-Upstream-Server names more than one upstream")]
    Ambiguous,
    /// Nothing else says where it goes.
    #[error("no upstream of this listener is for this request")]
    Nowhere,
}

impl Upstreams {
    /// Only this one.
    #[must_use]
    pub const fn only(origin: Arc<Origin>) -> Self {
        Self { otherwise: Some(origin), named: Vec::new() }
    }

    /// Whether all have this scheme.
    #[must_use]
    pub fn are_all(&self, scheme: Scheme) -> bool {
        let named = self.named.iter().map(|named| &named.origin);
        self.otherwise.iter().chain(named).all(|origin| origin.scheme == scheme)
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn have(&self, origin: &Origin) -> bool {
        let named = self.named.iter().map(|named| &named.origin);
        self.otherwise.iter().chain(named).any(|own| **own == *origin)
    }

    /// The upstream of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Origin>> {
        self.named.iter().find(|named| *named.name == *name).map(|named| &named.origin)
    }

    /// Where a request goes: where its field says, else to the first that takes it, else where all others go. The field is
    /// removed.
    pub fn choose(&self, head: &mut RequestHead) -> Result<Arc<Origin>, Misdirected> {
        if !self.named.is_empty() && head.headers.contains(FIELD) {
            return self.by_header(head);
        }
        let tokens = if self.named.iter().any(|named| !named.takes.token_sha256.is_empty()) { tokens(head) } else { Vec::new() };
        let asked = LazyCell::new(|| Target::asked(head));
        let taken = self.named.iter().find(|named| named.takes.matches(head, &asked, &tokens)).map(|named| &named.origin);
        taken.or(self.otherwise.as_ref()).cloned().ok_or(Misdirected::Nowhere)
    }

    fn by_header(&self, head: &mut RequestHead) -> Result<Arc<Origin>, Misdirected> {
        let name = {
            let mut values = head.headers.get_all(FIELD);
            let name = values.next().unwrap_or_default().to_vec();
            if values.next().is_some() {
                return Err(Misdirected::Ambiguous);
            }
            name
        };
        head.headers.remove(FIELD);
        let named = self.named.iter().find(|named| named.by_header && named.name.as_bytes() == name);
        named.map(|named| Arc::clone(&named.origin)).ok_or(Misdirected::Unknown)
    }
}

impl Condition {
    fn matches(&self, head: &RequestHead, asked: &impl Deref<Target = Option<Target>>, tokens: &[[u8; 32]]) -> bool {
        let says_nothing = self.token_sha256.is_empty() && self.hosts.is_empty() && self.path.is_none();
        !says_nothing
            && (self.token_sha256.is_empty() || tokens.iter().any(|token| self.token_sha256.contains(token)))
            && (self.hosts.is_empty() || asked.as_ref().is_some_and(|asked| self.hosts.iter().any(|host| host.is_about(asked))))
            && self.path.as_deref().is_none_or(|path| begins(head.path(), path.as_bytes()))
    }
}

fn begins(path: &[u8], with: &[u8]) -> bool {
    let with = with.strip_suffix(b"/").unwrap_or(with);
    path.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Hashes of all that may be the request's token.
fn tokens(head: &RequestHead) -> Vec<[u8; 32]> {
    const SCHEME: &[u8] = b"bearer ";
    let bearer = head.headers.get_all("authorization").filter_map(|value| {
        let (scheme, token) = value.split_at_checked(SCHEME.len())?;
        scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii().to_vec())
    });
    let query = head.target.splitn(2, |&byte| byte == b'?').nth(1).unwrap_or_default();
    let query = url::form_urlencoded::parse(query).filter(|(key, _)| key == "access_token");
    let query = query.map(|(_, token)| token.into_owned().into_bytes());
    let protocols = head.headers.list("sec-websocket-protocol").map(<[u8]>::to_vec);
    bearer.chain(query).chain(protocols).map(|token| Sha256::digest(token).into()).collect()
}

impl fmt::Display for Upstreams {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named.iter().map(|named| &named.origin);
        for (place, origin) in self.otherwise.iter().chain(named).enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(out, "{comma}{origin}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http::{Field, Version};

    fn head(authority: &str, target: &'static str, fields: &[(&'static str, &'static str)]) -> RequestHead {
        RequestHead {
            method: Method::GET,
            scheme: Scheme::Http,
            authority: authority.parse().expect("an authority"),
            target: target.into(),
            version: Version::Http11,
            headers: fields.iter().map(|(name, value)| Field::from_static(name, value)).collect(),
        }
    }

    fn named(name: &str, by_header: bool, takes: Condition) -> Named {
        let origin = Arc::new(format!("http://{name}").parse().expect("an origin"));
        Named { name: name.into(), origin, by_header, takes }
    }

    fn upstreams() -> Upstreams {
        let token = |token: &str| HashSet::from([Sha256::digest(token).into()]);
        let hosts = |hosts: &[&str]| hosts.iter().map(|host| host.parse().expect("a host")).collect();
        Upstreams {
            otherwise: Some(Arc::new("http://otherwise".parse().expect("an origin"))),
            named: vec![
                named("header", true, Condition::default()),
                named(
                    "both",
                    false,
                    Condition { hosts: hosts(&["both.test"]), path: Some("/both/".into()), ..Condition::default() },
                ),
                named("token", true, Condition { token_sha256: token("secret"), ..Condition::default() }),
                named(
                    "host",
                    false,
                    Condition { hosts: hosts(&["a.test", "b.test:81", "9.9.9.9", "d.test:80"]), ..Condition::default() },
                ),
                named("path", false, Condition { path: Some("/path".into()), ..Condition::default() }),
                named("silent", false, Condition::default()),
            ],
        }
    }

    #[test]
    fn the_first_that_takes_it_gets_it() {
        for (authority, target, fields, expected) in [
            ("x", "/", &[][..], "otherwise"),
            ("A.test:99", "/", &[], "host"),
            ("a.test.", "/", &[], "host"),
            ("b.test", "/", &[], "otherwise"),
            ("b.test:81", "/", &[], "host"),
            ("0x9.9.9.9", "/", &[], "host"),
            ("d.test", "/", &[], "host"),
            ("both.test", "/both", &[], "both"),
            ("both.test", "/both/a?b", &[], "both"),
            ("both.test", "/bothering", &[], "otherwise"),
            ("x", "/both", &[], "otherwise"),
            ("x", "/path", &[], "path"),
            ("x", "/path/", &[], "path"),
            ("x", "/path?a", &[], "path"),
            ("x", "/pathology", &[], "otherwise"),
            ("x", "/a/path", &[], "otherwise"),
            ("a.test", "/path", &[], "host"),
            ("x", "/", &[("Authorization", "Bearer secret")], "token"),
            ("x", "/", &[("Authorization", "bearer  secret")], "token"),
            ("x", "/", &[("Authorization", "Bearer Secret")], "otherwise"),
            ("x", "/", &[("Authorization", "Basic secret")], "otherwise"),
            ("a.test", "/?x&access_token=s%65cret", &[], "token"),
            ("x", "/?Access_token=secret", &[], "otherwise"),
            ("x", "/", &[("Sec-WebSocket-Protocol", "chat, secret")], "token"),
            ("a.test", "/", &[("X-Upstream-Server", "header")], "header"),
            ("a.test", "/", &[("X-Upstream-Server", "token")], "token"),
        ] {
            let mut head = head(authority, target, fields);
            let chosen = upstreams().choose(&mut head).map(|origin| origin.to_string());
            assert_eq!(chosen, Ok(format!("http://{expected}")), "{authority} {target} {fields:?}");
            assert!(!head.headers.contains(FIELD));
        }
    }

    #[test]
    fn what_is_named_and_not_there_goes_nowhere() {
        for (fields, expected) in [
            (&[("X-Upstream-Server", "host")][..], Misdirected::Unknown),
            (&[("X-Upstream-Server", "")], Misdirected::Unknown),
            (&[("X-Upstream-Server", "http://header")], Misdirected::Unknown),
            (&[("X-Upstream-Server", "header"), ("x-upstream-server", "header")], Misdirected::Ambiguous),
        ] {
            assert_eq!(upstreams().choose(&mut head("a.test", "/", fields)), Err(expected), "{fields:?}");
        }
        let mut nowhere = upstreams();
        nowhere.otherwise = None;
        assert_eq!(nowhere.choose(&mut head("x", "/", &[])), Err(Misdirected::Nowhere));
        // Nobody can be named here.
        let mut unnamable = upstreams();
        unnamable.named.retain(|named| !named.by_header);
        assert_eq!(unnamable.choose(&mut head("a.test", "/", &[("X-Upstream-Server", "host")])), Err(Misdirected::Unknown));
        // Where nobody has a name, the field is one like any other.
        let mut plain = head("x", "/", &[("X-Upstream-Server", "a")]);
        let only = Upstreams::only(Arc::new("http://only".parse().expect("an origin")));
        assert!(only.choose(&mut plain).is_ok() && plain.headers.contains(FIELD));
    }
}
