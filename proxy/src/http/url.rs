//! Authorities and origins, as much of URLs as a proxy needs.

use std::{fmt, str::FromStr};

use super::Scheme;

/// Host and optional port as written: `example.org`, `example.org:8008`, `[2001:db8::1]:80`. Never holds user information.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Authority {
    text: Box<str>,
    host_len: usize,
    port: Option<u16>,
}

/// Scheme, host and port: where to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// How to connect.
    pub scheme: Scheme,
    /// Where to.
    pub authority: Authority,
}

/// Why a text is no authority or origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// The scheme is not `http` or `https`.
    #[error("{0:?} does not start with http:// or https://")]
    Scheme(String),
    /// The host is empty or holds a character that no host has.
    #[error("{0:?} has no legal host")]
    Host(String),
    /// The port is no number from 1 to 65535.
    #[error("{0:?} has no legal port")]
    Port(String),
    /// Something follows host and port.
    #[error("{0:?} has a path, query or fragment where none may be")]
    Path(String),
}

impl Authority {
    /// Host without port, an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text.get(..self.host_len).unwrap_or_default()
    }

    /// Host without port and without brackets, as resolvers and certificates want it.
    #[must_use]
    pub fn bare_host(&self) -> &str {
        self.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, if one is written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl Origin {
    /// The port written, or the scheme's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.authority.port().unwrap_or_else(|| self.scheme.default_port())
    }
}

impl FromStr for Authority {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let host_len =
            if text.starts_with('[') { text.find(']').map_or(0, |end| end + 1) } else { text.find(':').unwrap_or(text.len()) };
        let (host, rest) = text.split_at(host_len);
        if !is_host(host) {
            return Err(InvalidUrl::Host(text.to_owned()));
        }
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            // An empty port is legal and means the default (RFC 3986, 3.2.3).
            Some("") => None,
            Some(digits) if digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                match digits.parse::<u16>() {
                    Ok(port) if port != 0 => Some(port),
                    _ => return Err(InvalidUrl::Port(text.to_owned())),
                }
            }
            _ => return Err(InvalidUrl::Port(text.to_owned())),
        };
        Ok(Self { text: text.into(), host_len, port })
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.len() <= 255
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    }
}

impl FromStr for Origin {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = if let Some(rest) = text.strip_prefix("http://") {
            (Scheme::Http, rest)
        } else if let Some(rest) = text.strip_prefix("https://") {
            (Scheme::Https, rest)
        } else {
            return Err(InvalidUrl::Scheme(text.to_owned()));
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(InvalidUrl::Path(text.to_owned()));
        }
        Ok(Self { scheme, authority: authority.parse()? })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_split_into_host_and_port() {
        for (text, host, port) in [
            ("a.b", "a.b", None),
            ("a:80", "a", Some(80)),
            ("[::1]:8", "[::1]", Some(8)),
            ("[::1]", "[::1]", None),
            ("a:", "a", None),
        ] {
            let authority: Authority = text.parse().expect(text);
            assert_eq!((authority.host(), authority.port()), (host, port), "{text}");
        }
    }

    #[test]
    fn odd_authorities_are_refused() {
        for text in
            ["", ":80", "a:0", "a:65536", "a:+1", "a:1x", "u@h", "a b", "a/b", "[::1", "[zz]", "a:1:2", "\u{e4}", "a\r\nb", "a,b"]
        {
            assert!(text.parse::<Authority>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn origins_have_no_path() {
        assert_eq!("http://a:1/".parse::<Origin>().map(|origin| origin.to_string()), Ok("http://a:1".to_owned()));
        assert!(matches!("http://a/b".parse::<Origin>(), Err(InvalidUrl::Path(_))));
        assert!(matches!("ftp://a".parse::<Origin>(), Err(InvalidUrl::Scheme(_))));
        assert_eq!("https://a".parse::<Origin>().map(|origin| origin.port()), Ok(443));
    }
}
