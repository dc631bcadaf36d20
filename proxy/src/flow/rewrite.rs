//! Fields that name an origin, where a listener rewrites: upstreams see themselves in place of the origin that clients know, and
//! clients the other way round.

use std::sync::atomic::Ordering::Relaxed;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LOCATION, LINK, LOCATION, ORIGIN, REFERER, SET_COOKIE};

use super::{Site, record::Record};
use crate::{
    hooks::{RequestMessage, Source},
    http::{Field, Headers, Origin, RequestHead, Scheme},
};

/// The origin that the client knows: what the configuration says, else what it asked for. None where nothing is rewritten, or an
/// HTTP/1.0 client named no host.
///
/// `head` has the fields X-Forwarded-Proto and -Host already: the peer's own, or those of one that is trusted.
pub(super) fn public(site: &Site, head: &RequestHead) -> Option<Origin> {
    let configured = site.rewrite.as_ref()?;
    let told = || {
        let first = |name| head.headers.list(name).next().and_then(|value| std::str::from_utf8(value).ok());
        let scheme = match first("x-forwarded-proto")? {
            proto if proto.eq_ignore_ascii_case("https") => Scheme::Https,
            proto if proto.eq_ignore_ascii_case("http") => Scheme::Http,
            _ => return None,
        };
        Some(Origin { scheme, authority: first("x-forwarded-host")?.parse().ok()? })
    };
    configured.public.clone().or_else(told)
}

/// What the upstream is to see of the request. What names other origins stays.
pub(super) fn before_upstream(record: &Record) {
    if let Some(public) = &record.facts.public {
        of_request(&mut record.exchange.lock().request, public);
    }
}

/// What the next upstream is to see of it after a redirect from this one.
pub(super) fn before_next_upstream(record: &Record, last: &Origin) {
    if record.facts.public.is_some() {
        of_request(&mut record.exchange.lock().request, last);
    }
}

fn of_request(request: &mut RequestMessage, from: &Origin) {
    let change = Change { from, to: &request.upstream };
    let headers = &mut request.head.headers;
    change.fields(headers, ORIGIN.as_str(), Change::origin);
    change.fields(headers, REFERER.as_str(), Change::url);
}

/// What the client is to see of a response of the upstream, or of what an addon made of one.
pub(super) fn before_client(record: &Record) {
    let Some(public) = &record.facts.public else { return };
    let messages = &mut *record.exchange.lock();
    let change = Change { from: &messages.request.upstream, to: public };
    let is_concerned = |source: &Source| match source {
        Source::Upstream => true,
        Source::Addon(_) => record.was_answered.load(Relaxed),
        Source::Core => false,
    };
    let Some(response) = messages.response.as_mut().filter(|response| is_concerned(&response.origin)) else { return };
    let headers = &mut response.head.headers;
    for name in [LOCATION, CONTENT_LOCATION] {
        change.fields(headers, name.as_str(), Change::url);
    }
    change.fields(headers, LINK.as_str(), Change::link);
    change.fields(headers, ACCESS_CONTROL_ALLOW_ORIGIN.as_str(), Change::origin);
    change.fields(headers, SET_COOKIE.as_str(), Change::cookie);
    // Where else the upstream's origin is served says nothing of the proxy's (RFC 7838, 2).
    headers.remove("alt-svc");
}

/// One origin for another.
struct Change<'a> {
    from: &'a Origin,
    to: &'a Origin,
}

impl Change<'_> {
    /// Gives the fields of this name the value that `edit` has for them, in their places.
    fn fields(&self, headers: &mut Headers, name: &str, edit: impl Fn(&Self, &[u8]) -> Option<Vec<u8>>) {
        let is_concerned = headers.get_all(name).any(|value| edit(self, value).is_some());
        if !is_concerned {
            return;
        }
        let fields: Vec<Field> = headers.iter().filter(|field| field.is(name)).cloned().collect();
        headers.replace(
            name,
            fields.into_iter().map(|field| {
                let edited = edit(self, field.value()).and_then(|value| Field::new(field.name().to_vec(), value).ok());
                edited.unwrap_or(field)
            }),
        );
    }

    /// An origin as browsers write it (RFC 6454, 6.2).
    fn origin(&self, value: &[u8]) -> Option<Vec<u8>> {
        let origin: Origin = std::str::from_utf8(value).ok()?.parse().ok()?;
        let is_bare = !value.ends_with(b"/");
        (is_bare && is_same(&origin, self.from)).then(|| shown(self.to).into_bytes())
    }

    /// A URL, or one without a scheme. Relative ones need no change.
    fn url(&self, value: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(value).ok()?;
        let is_schemeless = text.starts_with("//");
        let start = if is_schemeless { 2 } else { text.find("://")? + 3 };
        let end = text.get(start..)?.find(['/', '?', '#']).map_or(text.len(), |length| start + length);
        let (head, rest) = text.split_at_checked(end)?;
        let origin: Origin = if is_schemeless {
            format!("{}:{head}", self.from.scheme).parse().ok()?
        } else {
            let (scheme, authority) = head.split_at_checked(start)?;
            format!("{}{authority}", scheme.to_ascii_lowercase()).parse().ok()?
        };
        if !is_same(&origin, self.from) {
            return None;
        }
        let to = shown(self.to);
        let to = if is_schemeless { to.split_once(':').map_or("", |(_, rest)| rest) } else { &to };
        Some(format!("{to}{rest}").into_bytes())
    }

    /// The targets of links (RFC 8288, 3), which are between angle brackets outside of quoted strings.
    fn link(&self, value: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut rest) = (Vec::with_capacity(value.len()), value);
        let (mut is_quoted, mut is_changed) = (false, false);
        while let Some((&byte, after)) = rest.split_first() {
            out.push(byte);
            rest = after;
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'\\' if is_quoted => {
                    if let Some((&escaped, after)) = rest.split_first() {
                        out.push(escaped);
                        rest = after;
                    }
                }
                b'<' if !is_quoted => {
                    let end = rest.iter().position(|&byte| byte == b'>')?;
                    let (target, after) = rest.split_at_checked(end)?;
                    let changed = self.url(target);
                    is_changed |= changed.is_some();
                    out.extend_from_slice(changed.as_deref().unwrap_or(target));
                    rest = after;
                }
                _ => {}
            }
        }
        is_changed.then_some(out)
    }

    /// A cookie that the client would not take from the proxy (RFC 6265bis, 5.7): a Domain that is not the proxy's goes, and in
    /// cleartext Secure goes with what needs it.
    fn cookie(&self, value: &[u8]) -> Option<Vec<u8>> {
        let is_cleartext = self.to.scheme == Scheme::Http;
        let host = self.to.authority.host().to_ascii_lowercase();
        let is_kept = |attribute: &[u8]| {
            let mut parts = attribute.splitn(2, |&byte| byte == b'=').map(<[u8]>::trim_ascii);
            let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            if name.eq_ignore_ascii_case(b"domain") {
                return is_within(host.as_bytes(), value);
            }
            let needs_tls = name.eq_ignore_ascii_case(b"secure")
                || name.eq_ignore_ascii_case(b"partitioned")
                || (name.eq_ignore_ascii_case(b"samesite") && value.eq_ignore_ascii_case(b"none"));
            !(is_cleartext && needs_tls)
        };
        let mut parts = value.split(|&byte| byte == b';');
        let first = parts.next().unwrap_or_default();
        let (kept, gone): (Vec<&[u8]>, Vec<&[u8]>) = parts.partition(|attribute| is_kept(attribute));
        if gone.is_empty() {
            return None;
        }
        Some([first].into_iter().chain(kept).collect::<Vec<_>>().join(&b';'))
    }
}

/// Whether a host is this domain or below it.
fn is_within(host: &[u8], domain: &[u8]) -> bool {
    let domain = domain.strip_prefix(b".").unwrap_or(domain).to_ascii_lowercase();
    host.strip_suffix(domain.as_slice()).is_some_and(|rest| rest.is_empty() || rest.ends_with(b"."))
}

fn is_same(one: &Origin, other: &Origin) -> bool {
    one.scheme == other.scheme && one.port() == other.port() && one.authority.host().eq_ignore_ascii_case(other.authority.host())
}

/// Without a port that the scheme has anyway.
fn shown(origin: &Origin) -> String {
    if origin.authority.port() == Some(origin.scheme.default_port()) {
        format!("{}://{}", origin.scheme, origin.authority.host())
    } else {
        origin.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::redundant_closure_for_method_calls, reason = "a method of one lifetime is no function of all")]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().expect(text)
    }

    fn changed(from: &str, to: &str, kind: fn(&Change<'_>, &[u8]) -> Option<Vec<u8>>, value: &str) -> String {
        let (from, to) = (origin(from), origin(to));
        let edited = kind(&Change { from: &from, to: &to }, value.as_bytes());
        edited.map_or_else(|| value.to_owned(), |bytes| String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn urls_of_one_origin_become_those_of_the_other() {
        for (value, expected) in [
            ("https://social.test/a?b=https://social.test#c", "http://localhost:8080/a?b=https://social.test#c"),
            ("HTTPS://Social.Test:443", "http://localhost:8080"),
            ("//social.test/a", "//localhost:8080/a"),
            ("https://social.test?x", "http://localhost:8080?x"),
            ("http://social.test/a", "http://social.test/a"),
            ("https://social.test:444/a", "https://social.test:444/a"),
            ("https://social.test.evil/a", "https://social.test.evil/a"),
            ("https://social.test@evil/a", "https://social.test@evil/a"),
            ("https://other.test/https://social.test/", "https://other.test/https://social.test/"),
            ("/a", "/a"),
            ("a://", "a://"),
            ("", ""),
            ("urn:ietf:wg:oauth:2.0:oob", "urn:ietf:wg:oauth:2.0:oob"),
        ] {
            assert_eq!(
                changed("https://social.test", "http://localhost:8080", |change, value| change.url(value), value),
                expected
            );
        }
        assert_eq!(
            changed("http://p:8080", "https://u:443", |change, value| change.url(value), "http://p:8080/x"),
            "https://u/x"
        );
    }

    #[test]
    fn origins_are_whole() {
        for (value, expected) in [
            ("http://localhost:8080", "https://social.test"),
            ("http://localhost:8080/", "http://localhost:8080/"),
            ("http://localhost", "http://localhost"),
            ("null", "null"),
            ("*", "*"),
        ] {
            assert_eq!(
                changed("http://localhost:8080", "https://social.test:443", |change, value| change.origin(value), value),
                expected
            );
        }
        assert_eq!(changed("http://a", "http://b:3000", |change, value| change.origin(value), "http://a:80"), "http://b:3000");
    }

    #[test]
    fn links_keep_what_is_around_their_targets() {
        for (value, expected) in [
            (
                "<https://u/a?max_id=1>; rel=\"next\", <https://u/b>; rel=prev",
                "<http://p/a?max_id=1>; rel=\"next\", <http://p/b>; rel=prev",
            ),
            ("<https://x/a>; title=\"<https://u/a>\", <https://u/b>", "<https://x/a>; title=\"<https://u/a>\", <http://p/b>"),
            (r#"<a>; title="\"<https://u/a>""#, r#"<a>; title="\"<https://u/a>""#),
            ("<https://u/a", "<https://u/a"),
        ] {
            assert_eq!(changed("https://u", "http://p", |change, value| change.link(value), value), expected);
        }
    }

    #[test]
    fn cookies_lose_what_keeps_clients_from_taking_them() {
        for (to, value, expected) in [
            ("http://p", "a=1; Path=/; Secure; HttpOnly; SameSite=None; Partitioned", "a=1; Path=/; HttpOnly"),
            ("http://p", "a=1; samesite=Lax; secure", "a=1; samesite=Lax"),
            ("https://p", "a=1; Secure; SameSite=None", "a=1; Secure; SameSite=None"),
            ("https://p", "a=1; Domain=u.test; Secure", "a=1; Secure"),
            ("https://x.u.test", "a=1; domain=.U.test;Secure", "a=1; domain=.U.test;Secure"),
            ("https://xu.test", "a=1; Domain=u.test", "a=1"),
            ("http://p", "secure=domain=x", "secure=domain=x"),
            ("http://p", "a=Secure; Path=/", "a=Secure; Path=/"),
        ] {
            assert_eq!(changed("https://u.test", to, |change, value| change.cookie(value), value), expected);
        }
    }
}
