//! Hosts that redirects of a flow may lead to, and where such a redirect leads.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::{Error, url::Target};
use crate::http::{Origin, ResponseHead, Scheme};

/// Hosts by name, at any port.
#[derive(Debug, Clone)]
pub(crate) struct Hosts(Vec<Host>);

#[derive(Debug, Clone)]
enum Host {
    /// This one.
    Is(Box<str>),
    /// All names that end so; with the dot.
    Below(Box<str>),
}

/// Hosts that a flow may name.
const MOST: usize = 32;

impl Hosts {
    /// As an addon writes them: `example.org`, `*.example.org`, `10.0.0.7`, `[::1]`.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, Error> {
        if texts.len() > MOST {
            return Err(Error::Invalid(format!("{} hosts are more than {MOST}", texts.len())));
        }
        texts.iter().map(|text| Host::parse(text)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn cover(&self, target: &Target) -> bool {
        self.0.iter().any(|host| match host {
            Host::Is(name) => target.name() == &**name,
            Host::Below(suffix) => {
                target.address().is_none() && target.name().strip_suffix(&**suffix).is_some_and(|above| !above.is_empty())
            }
        })
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, Error> {
        let shown: String = text.chars().take(100).collect();
        let invalid = || Error::Invalid(format!("{shown:?} is no host"));
        let (name, is_below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let is_bare = !name.is_empty() && !name.contains(['/', '?', '#', '@', '\\', '*']);
        let target = Target::parse(&format!("http://{name}/")).ok().filter(|_| is_bare).ok_or_else(invalid)?;
        let has_port = name.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        if has_port || (is_below && target.address().is_some()) {
            return Err(invalid());
        }
        Ok(if is_below { Self::Below(format!(".{}", target.name()).into()) } else { Self::Is(target.name().into()) })
    }
}

/// Where the response to a request for this target at this origin leads, if it is a redirect to one of the hosts that keeps the
/// method, and does not leave TLS.
pub(crate) fn next(hosts: &Hosts, head: &ResponseHead, origin: &Origin, target: &[u8]) -> Option<(Arc<Origin>, Bytes)> {
    let is_redirect = matches!(
        head.status,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    let mut locations = head.headers.get_all("location").filter(|_| is_redirect);
    let location = locations.next().filter(|_| locations.next().is_none())?;
    let target = std::str::from_utf8(target).ok()?;
    let from = Target::parse(&format!("{origin}{target}")).ok()?;
    let to = from.join(&of_http(location)).ok()?;
    let leaves_tls = origin.scheme == Scheme::Https && to.origin.scheme == Scheme::Http;
    if leaves_tls || !hosts.cover(&to) {
        return None;
    }
    let path = to.path_and_query();
    let query = target.find('?').and_then(|start| target.get(start..));
    // The server names the place alone: what was asked for stays.
    let path = match query {
        Some(query) if from.path_and_query().strip_suffix(query.as_bytes()) == Some(&*path) => from.path_and_query(),
        _ => path,
    };
    Some((to.origin, path))
}

/// URLs of WebSockets are those of their handshakes (RFC 6455, 3).
fn of_http(location: &[u8]) -> Vec<u8> {
    let scheme = location.get(..2).filter(|scheme| scheme.eq_ignore_ascii_case(b"ws"));
    match scheme.and(location.get(2..)) {
        Some(rest) if rest.starts_with(b":") || rest.get(..2).is_some_and(|rest| rest.eq_ignore_ascii_case(b"s:")) => {
            [b"http", rest].concat()
        }
        _ => location.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Field, Version};

    fn hosts(texts: &[&str]) -> Result<Hosts, Error> {
        Hosts::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    fn led(status: u16, origin: &str, target: &str, locations: &[&'static str]) -> Option<String> {
        let head = ResponseHead {
            status: StatusCode::from_u16(status).expect("a status"),
            reason: None,
            version: Version::Http11,
            headers: locations.iter().map(|location| Field::from_static("Location", location)).collect(),
        };
        let hosts = hosts(&["a.test", "*.a.test", "127.0.0.1", "[::1]"]).expect("hosts");
        let (origin, target) = next(&hosts, &head, &origin.parse().expect("an origin"), target.as_bytes())?;
        Some(format!("{origin}{}", String::from_utf8_lossy(&target)))
    }

    #[test]
    fn redirects_lead_to_named_hosts_alone() {
        for (location, expected) in [
            ("http://b.a.test/x?y", Some("http://b.a.test/x?y")),
            ("HTTPS://A.test./x", Some("https://a.test./x")),
            ("wss://b.a.test:4000/x#f", Some("https://b.a.test:4000/x")),
            ("ws://b.a.test/x", Some("http://b.a.test/x")),
            ("WS:b.a.test/x", Some("http://a.test/b.a.test/x")),
            ("//b.a.test/x", Some("http://b.a.test/x")),
            ("/x", Some("http://a.test/x")),
            ("http://127.0.0.1:81/x", Some("http://127.0.0.1:81/x")),
            ("http://2130706433/x", Some("http://127.0.0.1/x")),
            ("http://[::1]:81/x", Some("http://[::1]:81/x")),
            ("http://127.0.0.2/x", None),
            ("http://a.test.evil.test/x", None),
            ("http://ba.test/x", None),
            ("http://a.test@evil.test/x", None),
            ("http://u@a.test/x", None),
            ("http:\\\\evil.test/x", None),
            ("ftp://a.test/x", None),
            ("http://", None),
            ("", Some("http://a.test/s?q")),
        ] {
            let led = led(301, "http://a.test", "/s?q", &[location]);
            assert_eq!(led.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn only_what_keeps_the_method_and_tls_is_followed() {
        for (status, is_followed) in
            [(301, true), (302, true), (307, true), (308, true), (303, false), (300, false), (200, false)]
        {
            assert_eq!(led(status, "http://a.test", "/", &["/x"]).is_some(), is_followed, "{status}");
        }
        assert_eq!(led(301, "https://a.test", "/", &["http://b.a.test/x"]), None);
        assert_eq!(led(301, "https://a.test", "/", &["ws://b.a.test/x"]), None);
        assert!(led(301, "https://a.test", "/", &["//b.a.test/x"]).is_some());
        assert_eq!(led(301, "http://a.test", "/", &[]), None);
        assert_eq!(led(301, "http://a.test", "/", &["/x", "/y"]), None);
    }

    #[test]
    fn a_place_without_a_query_keeps_that_of_the_request() {
        for (location, expected) in [
            ("http://b.a.test/s", "http://b.a.test/s?q=1"),
            ("http://b.a.test/s?", "http://b.a.test/s?"),
            ("http://b.a.test/s?r", "http://b.a.test/s?r"),
            ("http://b.a.test/t", "http://b.a.test/t"),
            ("http://b.a.test", "http://b.a.test/"),
        ] {
            assert_eq!(led(301, "http://a.test", "/s?q=1", &[location]).as_deref(), Some(expected), "{location}");
        }
    }

    #[test]
    fn hosts_are_hosts() {
        for text in
            ["", "*.", "*", "a.test:80", "[::1]:80", "a/b", "u@a", "http://a", "*.127.0.0.1", "a b", "**.a", "*.*.a", "a?b"]
        {
            assert!(matches!(hosts(&[text]), Err(Error::Invalid(_))), "{text:?}");
        }
        let many = |count: usize| hosts(&vec!["a.test"; count]);
        assert!(many(31).is_ok() && many(32).is_ok() && many(33).is_err());
    }
}
