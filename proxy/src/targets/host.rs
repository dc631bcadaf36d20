//! A host that requests may be for.

use std::{fmt, str::FromStr};

use super::Target;
use crate::http::{Authority, Origin, Scheme};

/// A host with or without a port, in one way of writing: lower case, no dot at its end, an address in its shortest form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: Box<str>,
    /// None: any.
    port: Option<u16>,
}

/// Why a text is no host: nobody could ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a host that can be asked for, like \"a.example\" or \"a.example:8443\"")]
pub struct InvalidHost;

impl Host {
    /// Whether this is what was asked for.
    #[must_use]
    pub fn is_about(&self, asked: &Target) -> bool {
        *self.name == *bare(asked) && self.port.is_none_or(|port| port == asked.port())
    }
}

fn bare(target: &Target) -> &str {
    target.name().trim_end_matches('.')
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let authority: Authority = if text.ends_with(':') { Err(InvalidHost) } else { text.parse().map_err(|_| InvalidHost) }?;
        let port = authority.port();
        let target = Target::of(&Origin { scheme: Scheme::Http, authority }).ok_or(InvalidHost)?;
        let name = bare(&target);
        if name.is_empty() { Err(InvalidHost) } else { Ok(Self { name: name.into(), port }) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_ipv6 = self.name.contains(':');
        match (is_ipv6, self.port) {
            (false, None) => write!(out, "{}", self.name),
            (false, Some(port)) => write!(out, "{}:{port}", self.name),
            (true, None) => write!(out, "[{}]", self.name),
            (true, Some(port)) => write!(out, "[{}]:{port}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_known_however_they_are_written() {
        for (host, asked, is_about) in [
            ("a.test", "http://A.test.:99", true),
            ("A.test.", "http://a.test", true),
            ("a.test", "http://b.a.test", false),
            ("a.test:443", "https://a.test", true),
            ("a.test:443", "https://a.test:443", true),
            ("a.test:443", "http://a.test", false),
            ("a.test:443", "https://a.test:444", false),
            ("a.test:80", "http://a.test", true),
            ("9.9.9.9", "http://0x9.9.9.9", true),
            ("10.1", "http://10.0.0.1.", true),
            ("012.0.0.1:80", "http://10.1", true),
            ("[::FFFF:10.0.0.1]", "http://10.0.0.1", true),
            ("[::0001]:8", "http://[::1]:8", true),
        ] {
            let target = Target::of(&asked.parse().expect(asked)).expect(asked);
            assert_eq!(host.parse::<Host>().expect(host).is_about(&target), is_about, "{host} {asked}");
        }
    }

    #[test]
    fn what_nobody_can_ask_for_is_no_host() {
        for text in
            ["", ".", "a b", "a:", "a:0", "256.0.0.1", "1.2.3.4.5", "0x100000000", "xn--a", "[::1", "*", "*.a", "10.0.0.0/8"]
        {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }
}
