//! One entry of a list of targets.

use std::{fmt, net::IpAddr, str::FromStr};

use super::Target;
use crate::{
    config::Network,
    http::{Authority, Origin, Scheme},
    outbound::is_public,
};

/// One entry of a list of targets; shown as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    what: What,
    /// None: any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// `example.org`: this name, as it is written in URLs.
    Name(Box<str>),
    /// `*.example.org`: names below this one, with the dot.
    Below(Box<str>),
    /// `10.0.0.7`, `10.0.0.0/8`: these addresses, whatever name led there.
    Network(Network),
    /// `*`: every public address.
    Public,
    /// `private`: every address that is not public.
    Private,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be \"host\", \"host:port\", \"*.domain\", a network like \"10.0.0.0/8\", \"*\" (any public address) or \"private\" (all \
     other addresses)"
)]
pub struct InvalidPattern;

impl Pattern {
    /// `*`.
    pub(super) fn public() -> Self {
        Self { text: "*".into(), what: What::Public, port: None }
    }

    /// `private`.
    pub(super) fn private() -> Self {
        Self { text: "private".into(), what: What::Private, port: None }
    }

    /// Whether the target's port is meant.
    pub(super) fn is_about_port(&self, target: &Target) -> bool {
        self.port.is_none_or(|port| port == target.port())
    }

    /// Whether the target's name and port are meant; none if this is not about names.
    pub(super) fn is_about_name(&self, target: &Target) -> Option<bool> {
        let is_named = match &self.what {
            What::Name(name) => **name == *target.name(),
            What::Below(suffix) => {
                target.address().is_none() && target.name().strip_suffix(&**suffix).is_some_and(|above| !above.is_empty())
            }
            What::Network(_) | What::Public | What::Private => return None,
        };
        Some(is_named && self.is_about_port(target))
    }

    /// Whether the target is meant as the client wrote it: by its name, or by the address that it is. Nothing is looked up.
    #[must_use]
    pub fn is_about(&self, target: &Target) -> bool {
        match target.address() {
            Some(address) => self.denies(target, address),
            None => self.is_about_name(target) == Some(true),
        }
    }

    /// Whether this is about many addresses, of which names say nothing before they are looked up.
    #[must_use]
    pub const fn is_wide(&self) -> bool {
        matches!(self.what, What::Public | What::Private)
    }

    /// Whether the target is denied at this address.
    pub(super) fn denies(&self, target: &Target, address: IpAddr) -> bool {
        self.is_about_name(target).unwrap_or_else(|| self.is_about_port(target) && self.is_about_address(address))
    }

    /// Whether the target is allowed at this address. Names below another are trusted with public addresses alone: whoever may make
    /// such names could lead them anywhere.
    pub(super) fn allows(&self, target: &Target, address: IpAddr) -> bool {
        match self.what {
            What::Below(_) => self.is_about_name(target) == Some(true) && is_public(address),
            _ => self.denies(target, address),
        }
    }

    /// Whether the target is allowed by its name, or by an address or network that lies within this one.
    pub(super) fn names_within(&self, target: &Target, address: IpAddr, within: &Network) -> bool {
        match &self.what {
            What::Name(_) => self.is_about_name(target) == Some(true),
            What::Network(network) => network.is_within(within) && self.is_about_port(target) && network.contains(address),
            What::Below(_) | What::Public | What::Private => false,
        }
    }

    fn is_about_address(&self, address: IpAddr) -> bool {
        match &self.what {
            What::Network(network) => network.contains(address),
            What::Public => is_public(address),
            What::Private => !is_public(address),
            What::Name(_) | What::Below(_) => false,
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let (what, port) = match text {
            "*" => (What::Public, None),
            "private" => (What::Private, None),
            _ if text.contains('/') || text.parse::<IpAddr>().is_ok() => {
                (What::Network(Network::parse(text).map_err(|_| InvalidPattern)?), None)
            }
            _ => match text.strip_prefix("*.") {
                Some(domain) => match host(domain)? {
                    (What::Name(name), port) => (What::Below(format!(".{name}").into()), port),
                    _ => return Err(InvalidPattern),
                },
                None => host(text)?,
            },
        };
        Ok(Self { text: text.into(), what, port })
    }
}

/// A name or an address with its port, read as targets are.
fn host(text: &str) -> Result<(What, Option<u16>), InvalidPattern> {
    // An empty port would be the default one.
    let authority: Authority = if text.ends_with(':') { Err(InvalidPattern) } else { text.parse().map_err(|_| InvalidPattern) }?;
    let port = authority.port();
    let target = Target::of(&Origin { scheme: Scheme::Http, authority }).ok_or(InvalidPattern)?;
    match target.address() {
        Some(address) => Ok((What::Network(Network::of(address)), port)),
        None if target.name().is_empty() || target.name().starts_with('.') => Err(InvalidPattern),
        None => Ok((What::Name(target.name().into()), port)),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_shown_as_written() {
        for text in [
            "*",
            "private",
            "hs_1",
            "A.org:8",
            "*.a.org",
            "*.a.org:8443",
            "10.0.0.7",
            "10.0.0.7:8008",
            "10.0.0.0/8",
            "::1",
            "[::1]",
            "[::1]:8",
            "fc00::/7",
            "private:80",
            "xn--bcher-kva.example",
        ] {
            assert_eq!(text.parse::<Pattern>().map(|pattern| pattern.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
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
            "[::1",
            "*.10.0.0.1",
            "*..a",
            ".a",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/8:80",
            "b\u{fc}cher.example",
        ] {
            assert_eq!(text.parse::<Pattern>(), Err(InvalidPattern), "{text:?}");
        }
    }
}
