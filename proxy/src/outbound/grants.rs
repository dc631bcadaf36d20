//! What an addon may reach.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use super::{address::is_public, url::Target};
use crate::http::{Authority, Scheme};

/// What an addon may reach; by default nothing. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpGrants(Arc<[HttpGrant]>);

/// One thing that an addon may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpGrant {
    /// `example.org`, `10.0.0.7:8080`: what is written there in a URL, whatever its address.
    Host {
        /// In lower case, an IPv6 address without brackets in its shortest form.
        name: Box<str>,
        /// None: the port of the URL's scheme.
        port: Option<u16>,
    },
    /// `*.example.org`: names below this one, if their address is public.
    Below {
        /// With the dot: `.example.org`.
        suffix: Box<str>,
        /// None: the port of the URL's scheme.
        port: Option<u16>,
    },
    /// `*`: every public address, at every port.
    Public,
    /// `private`: every address that is not public, at every port.
    Private,
}

/// Why a text is no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be \"host\", \"host:port\", \"*.domain\", \"*\" (any public address) or \"private\" (all other addresses)")]
pub struct InvalidGrant;

impl HttpGrants {
    /// Whether there is an address at which the target may be: if not, nobody is asked for its addresses.
    pub(super) fn may_cover(&self, target: &Target) -> bool {
        match target.address() {
            Some(address) => self.cover(target, SocketAddr::new(address, target.origin.port())),
            None => self.0.iter().any(|grant| grant.names(target).unwrap_or(true)),
        }
    }

    /// Whether the target may be reached at this address.
    pub(super) fn cover(&self, target: &Target, address: SocketAddr) -> bool {
        let address = address.ip().to_canonical();
        self.0.iter().any(|grant| match grant {
            HttpGrant::Host { .. } => grant.names(target) == Some(true),
            HttpGrant::Below { .. } => grant.names(target) == Some(true) && is_public(address),
            HttpGrant::Public => is_public(address),
            HttpGrant::Private => !is_public(address),
        })
    }

    /// In the order of the configuration.
    pub fn iter(&self) -> std::slice::Iter<'_, HttpGrant> {
        self.0.iter()
    }
}

impl HttpGrant {
    /// Whether the target's name and port are meant; none if this is not about names.
    fn names(&self, target: &Target) -> Option<bool> {
        let (is_named, port) = match self {
            Self::Host { name, port } => (**name == *target.name(), *port),
            Self::Below { suffix, port } => (is_below(target, suffix), *port),
            Self::Public | Self::Private => return None,
        };
        Some(is_named && port.unwrap_or_else(|| target.origin.scheme.default_port()) == target.origin.port())
    }
}

fn is_below(target: &Target, suffix: &str) -> bool {
    target.address().is_none() && target.name().strip_suffix(suffix).is_some_and(|above| !above.is_empty())
}

impl<'a> IntoIterator for &'a HttpGrants {
    type Item = &'a HttpGrant;
    type IntoIter = std::slice::Iter<'a, HttpGrant>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<HttpGrant> for HttpGrants {
    fn from_iter<I: IntoIterator<Item = HttpGrant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

impl FromStr for HttpGrant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        match text {
            "*" => return Ok(Self::Public),
            "private" => return Ok(Self::Private),
            _ => {}
        }
        if let Some(domain) = text.strip_prefix("*.") {
            let authority = authority(domain)?;
            let name = name(&authority)?;
            if name.parse::<IpAddr>().is_ok() {
                return Err(InvalidGrant);
            }
            return Ok(Self::Below { suffix: format!(".{name}").into(), port: authority.port() });
        }
        let authority = authority(text)?;
        Ok(Self::Host { name: name(&authority)?.into(), port: authority.port() })
    }
}

fn authority(text: &str) -> Result<Authority, InvalidGrant> {
    // An empty port would be the default one.
    if text.ends_with(':') { Err(InvalidGrant) } else { text.parse().map_err(|_| InvalidGrant) }
}

/// The name as URLs are read, so that it matches whatever way both are written.
fn name(authority: &Authority) -> Result<String, InvalidGrant> {
    let target = Target::parse(&format!("{}://{}/", Scheme::Http, authority.host())).map_err(|_| InvalidGrant)?;
    let name = target.name();
    if name.is_empty() || name.starts_with('.') { Err(InvalidGrant) } else { Ok(name.to_owned()) }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match self {
            Self::Host { name, port } if name.contains(':') => {
                write!(out, "[{name}]")?;
                port
            }
            Self::Host { name, port } => {
                out.write_str(name)?;
                port
            }
            Self::Below { suffix, port } => {
                write!(out, "*{suffix}")?;
                port
            }
            Self::Public => return out.write_str("*"),
            Self::Private => return out.write_str("private"),
        };
        port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(texts: &[&str]) -> HttpGrants {
        texts.iter().map(|text| text.parse::<HttpGrant>().expect(text)).collect()
    }

    fn covers(grant: &str, url: &str, address: &str) -> bool {
        let target = Target::parse(url).expect(url);
        let address = SocketAddr::new(address.parse().expect(address), target.origin.port());
        let grants = grants(&[grant]);
        let covers = grants.cover(&target, address);
        assert!(!covers || grants.may_cover(&target), "{grant} {url}");
        covers
    }

    #[test]
    fn grants_are_read_and_shown() {
        for text in ["*", "private", "a", "a.b:8", "10.0.0.7:8080", "[::1]:1", "[::1]", "*.a.b", "*.a:8443", "private:80"] {
            assert_eq!(text.parse::<HttpGrant>().map(|grant| grant.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("EXAMPLE.org.".parse::<HttpGrant>().map(|grant| grant.to_string()).as_deref(), Ok("example.org"));
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        for text in [
            "",
            " ",
            "a b",
            "http://a",
            "a/b",
            "a:0",
            "a:65536",
            "a:",
            "a:*",
            "*:80",
            "*.",
            "**.a",
            "*a",
            "a.*",
            "u@a",
            "::1",
            "[::1",
            "*.10.0.0.1",
            "*.7",
            "*..a",
            ".a",
            "10.0.0.0/8",
            "\u{e4}",
        ] {
            assert_eq!(text.parse::<HttpGrant>(), Err(InvalidGrant), "{text:?}");
        }
    }

    #[test]
    fn a_host_without_port_has_the_port_of_its_scheme() {
        for (url, is_covered) in [
            ("http://a.org/", true),
            ("http://a.org:80/", true),
            ("https://a.org/", true),
            ("https://A.ORG./", true),
            ("http://a.org:443/", false),
            ("https://a.org:80/", false),
            ("http://a.org:8080/", false),
            ("http://b.a.org/", false),
            ("http://a.org.b/", false),
        ] {
            assert_eq!(covers("a.org", url, "8.8.8.8"), is_covered, "{url}");
        }
        assert!(covers("a.org:8080", "http://a.org:8080/", "8.8.8.8"));
        assert!(covers("a.org:443", "http://a.org:443/", "8.8.8.8"));
        assert!(!covers("a.org:8080", "http://a.org/", "8.8.8.8"));
    }

    #[test]
    fn a_name_covers_what_is_below_only_with_a_star() {
        for (url, is_covered) in [
            ("http://b.a.org/", true),
            ("http://c.b.a.org/", true),
            ("http://a.org/", false),
            ("http://.a.org/", false),
            ("http://ba.org/", false),
            ("http://b.a.org:81/", false),
        ] {
            assert_eq!(covers("*.a.org", url, "8.8.8.8"), is_covered, "{url}");
        }
    }

    #[test]
    fn only_literal_hosts_and_private_reach_what_is_not_public() {
        for (grant, url, public, loopback) in [
            ("a.org", "http://a.org/", true, true),
            ("*.org", "http://a.org/", true, false),
            ("*", "http://a.org/", true, false),
            ("private", "http://a.org/", false, true),
        ] {
            assert_eq!(covers(grant, url, "8.8.8.8"), public, "{grant}");
            for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "64:ff9b::a00:1"] {
                assert_eq!(covers(grant, url, address), loopback, "{grant} {address}");
            }
        }
    }

    #[test]
    fn addresses_match_however_they_are_written() {
        for url in ["http://10.0.0.7/", "http://0xa.7/", "http://167772167/", "http://10.0.0.7./", "http://[::ffff:10.0.0.7]/"] {
            assert!(covers("10.0.0.7", url, "10.0.0.7"), "{url}");
            assert!(!grants(&["*"]).may_cover(&Target::parse(url).expect(url)), "{url}");
        }
        assert!(covers("[::1]", "http://[0:0::1]/", "::1"));
        // A name with this address is another thing.
        assert!(!covers("10.0.0.7", "http://a.org/", "10.0.0.7"));
    }

    #[test]
    fn without_a_grant_nothing_is_reached() {
        let target = Target::parse("http://a.org/").expect("a target");
        assert!(!HttpGrants::default().may_cover(&target));
        assert!(!grants(&["b.org", "*.c.org"]).may_cover(&target));
    }
}
