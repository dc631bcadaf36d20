//! Names of servers, as Matrix has them, so that they can be compared.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// A server's name (Matrix specification, Appendices, Server Name): a host, with a port or without.
///
/// Names are equal where they lead to the same server by name: letters without case, addresses by what they stand for. A name
/// with a port is another one than that without.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServerName {
    host: Host,
    port: Option<u16>,
}

/// A host by name, in lower case, or by address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// Where servers are that say nothing else.
pub(crate) const DEFAULT_PORT: u16 = 8448;
/// Of host and port, in bytes.
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;

impl ServerName {
    /// None where the text is none. A dot at the end, an empty label or a port of 0 is none either.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_NAME {
            return None;
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']')?;
                (Host::V6(address.parse().ok()?), if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (Host::parse(host)?, Some(port)),
                None => (Host::parse(text)?, None),
            },
        };
        let port = match port {
            None => None,
            Some(port) if !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok().filter(|port| *port != 0)?)
            }
            Some(_) => return None,
        };
        Some(Self { host, port })
    }

    /// That of a user's ID like `@user:server`.
    pub(crate) fn of_user(id: &str) -> Option<Self> {
        Self::parse(id.strip_prefix('@')?.split_once(':')?.1)
    }

    pub(crate) const fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether nobody is asked where it is: an address, or a name with a port.
    pub(crate) const fn is_definite(&self) -> bool {
        self.port.is_some() || !matches!(self.host, Host::Name(_))
    }
}

impl Host {
    /// A name or an address of version 4.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::V4(address));
        }
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_label = |label: &str| !label.is_empty() && label.len() <= MAX_LABEL && label.bytes().all(is_legal);
        text.split('.').all(is_label).then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(out)?;
        self.port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::V4(address) => address.fmt(out),
            Self::V6(address) => write!(out, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_where_they_name_the_same() {
        for (one, other) in [
            ("matrix.org", "MATRIX.Org"),
            ("matrix.org:8448", "matrix.org:08448"),
            ("[1234:5678::abcd]", "[1234:5678:0:0:0:0:0:ABCD]"),
            ("[::1]:443", "[0::1]:443"),
            ("1.2.3.4:1234", "1.2.3.4:1234"),
        ] {
            let parse = |text| ServerName::parse(text).expect(text);
            assert_eq!(parse(one), parse(other), "{one} {other}");
            assert_eq!(parse(one).to_string(), parse(&parse(other).to_string()).to_string());
        }
        for (one, other) in
            [("a.org", "a.org:8448"), ("a.org:8448", "a.org:8449"), ("a.org", "b.org"), ("1.2.3.4", "[::ffff:1.2.3.4]")]
        {
            assert_ne!(ServerName::parse(one), ServerName::parse(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let label = "a".repeat(64);
        let long = format!("{}.de", ["a"; 127].join("."));
        for text in [
            "",
            ".",
            "a.",
            "a..b",
            ".a",
            "a.:8448",
            "a:",
            "a:0",
            "a:65536",
            "a:000001",
            "a:+1",
            "a:1:2",
            "a b",
            "a/b",
            "a_b",
            "\u{e4}.de",
            "[::1",
            "[::1]x",
            "[]",
            "[::1]:",
            "::1",
            "[1.2.3.4]",
            "a@b",
            "a%2eb",
            " a",
            "a\0",
            &label,
            &long,
        ] {
            assert_eq!(ServerName::parse(text), None, "{text:?}");
        }
        assert!(ServerName::parse(&label[..63]).is_some() && ServerName::parse(&long[..255]).is_some());
    }

    #[test]
    fn users_are_of_what_follows_the_first_colon() {
        let of = |id| ServerName::of_user(id).map(|name| name.to_string());
        assert_eq!(of("@a:b.de:8448").as_deref(), Some("b.de:8448"));
        assert_eq!(of("@a:[::1]:1").as_deref(), Some("[::1]:1"));
        assert_eq!(of("@:b.de").as_deref(), Some("b.de"));
        for id in ["a:b.de", "@a", "@a:", "@a:b.de.", "@a:b.de@c.de", ""] {
            assert_eq!(of(id), None, "{id}");
        }
    }
}
