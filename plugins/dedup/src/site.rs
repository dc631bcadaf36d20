//! Hosts of streams: how instance documents name them, and which of them belong to a server.

use std::net::Ipv6Addr;

/// Where streams are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Scheme and authority, like `https://streaming.example`; never `ws` or `wss`.
    pub(crate) origin: String,
    /// In lower case, without a dot at its end; an IPv6 address in brackets.
    pub(crate) host: String,
}

/// Longest URL of streams that is looked at, in bytes.
pub(crate) const MAX_URL: usize = 512;

impl Server {
    /// Of a URL that names nothing but a server. None where anything else is there, like a path or a password, or the host is not
    /// ASCII.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        if url.len() > MAX_URL {
            return None;
        }
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => "http",
            "wss" | "https" => "https",
            _ => return None,
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority.as_str(), None),
        };
        if let Some(port) = port {
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            port.parse::<u16>().ok().filter(|port| is_number && *port != 0)?;
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        if !is_name(host) && !is_ipv6(host) {
            return None;
        }
        let colon = if port.is_some() { ":" } else { "" };
        Some(Self { origin: format!("{scheme}://{host}{colon}{}", port.unwrap_or_default()), host: host.to_owned() })
    }

    /// Whether going from this one to that one leaves TLS.
    pub(crate) fn is_more_secret_than(&self, other: &Self) -> bool {
        self.origin.starts_with("https:") && other.origin.starts_with("http:")
    }
}

/// Whether a host that was asked for belongs to the same server as another one: both are one, or below one registrable domain of the
/// public suffix list.
pub(crate) fn is_one_site(host: &str, other: &str) -> bool {
    host == other || registrable(host).is_some_and(|domain| registrable(other) == Some(domain))
}

/// The domain that somebody registered, with all names below it. None for addresses, names of one label and public suffixes.
pub(crate) fn registrable(host: &str) -> Option<&str> {
    // What ends in a number is an address to those who read URLs (WHATWG URL, 3.5).
    let last = host.rsplit('.').next()?;
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number || host.starts_with('[') {
        return None;
    }
    psl::domain_str(host)
}

/// Whether the option may name this host: a name or an address, or `*.` and a name for all below it.
pub(crate) fn is_pattern(text: &str) -> bool {
    match text.strip_prefix("*.") {
        Some(name) => is_name(name),
        None => is_name(text) || is_ipv6(text),
    }
}

/// Whether one of these patterns names the host.
pub(crate) fn is_listed(patterns: &[String], host: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_prefix('*') {
        Some(suffix) => host.strip_suffix(suffix).is_some_and(|above| !above.is_empty()),
        None => host == pattern,
    })
}

fn is_name(host: &str) -> bool {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    host.len() <= 253 && host.split('.').all(is_label)
}

fn is_ipv6(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_servers_and_nothing_else() {
        for (url, expected) in [
            ("wss://Streaming.Posts.test", Some(("https://streaming.posts.test", "streaming.posts.test"))),
            ("ws://posts.test:4000/", Some(("http://posts.test:4000", "posts.test"))),
            ("HTTPS://posts.test.", Some(("https://posts.test", "posts.test"))),
            ("wss://[::1]:80", Some(("https://[::1]:80", "[::1]"))),
            ("wss://127.0.0.1", Some(("https://127.0.0.1", "127.0.0.1"))),
            ("wss://posts.test/path", None),
            ("wss://posts.test?q", None),
            ("wss://posts.test#f", None),
            ("wss://user@posts.test", None),
            ("wss://posts.test\\@evil.test", None),
            ("wss://posts.test:", None),
            ("wss://posts.test:0", None),
            ("wss://posts.test:65536", None),
            ("wss://posts.test:+1", None),
            ("wss://posts..test", None),
            ("wss://", None),
            ("wss:posts.test", None),
            ("gopher://posts.test", None),
            ("wss://b\u{fc}cher.test", None),
            ("wss://posts.test evil", None),
            ("wss://[::1", None),
            ("wss://[zz]", None),
            ("", None),
        ] {
            let parsed = Server::parse(url);
            let parsed = parsed.as_ref().map(|server| (server.origin.as_str(), server.host.as_str()));
            assert_eq!(parsed, expected, "{url}");
        }
        let long = |size: usize| Server::parse(&format!("wss://{}test{}", "a.".repeat(60), "/".repeat(size))).is_some();
        assert!(long(1) && !long(400));
        let sized = |size: usize| Server::parse(&format!("wss://a:{}1", "0".repeat(size - 9))).is_some();
        assert!(sized(MAX_URL - 1) && sized(MAX_URL) && !sized(MAX_URL + 1));
    }

    #[test]
    fn a_site_is_what_somebody_registered() {
        for (one, other, expected) in [
            ("mastodon.social", "mastodon.social", true),
            ("mastodon.social", "streaming.mastodon.social", true),
            ("files.mastodon.social", "streaming.mastodon.social", true),
            ("mastodon.social", "mastodon.social.evil.example", false),
            ("mastodon.social", "evilmastodon.social", false),
            ("mastodon.social", "social", false),
            // Anybody can have a name there.
            ("a.co.uk", "b.co.uk", false),
            ("a.github.io", "b.github.io", false),
            ("x.a.github.io", "a.github.io", true),
            ("a.xn--55qx5d.cn", "b.xn--55qx5d.cn", false),
            ("social.test", "streaming.social.test", true),
            ("localhost", "localhost", true),
            ("a.localhost", "b.localhost", false),
            ("web", "other", false),
            // Addresses have no domains.
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "10.0.0.1", false),
            ("10.1.0.1", "10.2.0.1", false),
            ("a.0x1", "b.0x1", false),
            ("[::1]", "[::2]", false),
        ] {
            assert_eq!(is_one_site(one, other), expected, "{one} {other}");
            assert_eq!(is_one_site(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn patterns_name_hosts() {
        let patterns = ["a.test".to_owned(), "*.b.test".to_owned(), "[::1]".to_owned()];
        assert!(patterns.iter().all(|pattern| is_pattern(pattern)));
        for (host, expected) in [
            ("a.test", true),
            ("x.a.test", false),
            ("x.b.test", true),
            ("y.x.b.test", true),
            ("b.test", false),
            ("xb.test", false),
            ("[::1]", true),
        ] {
            assert_eq!(is_listed(&patterns, host), expected, "{host}");
        }
        for text in ["", "*", "*.", "a:80", "wss://a", "a/b", "*.[::1]", "a.*.b", "a..b"] {
            assert!(!is_pattern(text), "{text:?}");
        }
    }
}
