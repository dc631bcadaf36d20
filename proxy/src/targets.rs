//! Where clients of forward listeners may go.
//!
//! Nothing trusts a name: [`Targets`] are asked about it before it is looked up, and about every address that it has before that is
//! dialled. So a name that changes its address in between, or has several, leads nowhere else.

mod host;
mod pattern;

use std::{fmt, net::IpAddr, sync::LazyLock};

use crate::{
    config::Network,
    http::{Authority, Origin, RequestHead},
    outbound::{self, reached},
};

pub use host::{Host, InvalidHost};
pub use pattern::{InvalidPattern, Pattern};

/// The lists of a forward listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// `targets.allow`: what may be reached. Default `["*", "private"]`: every address. Those of links and of clouds' metadata have
    /// to be named, by a host or by a network within theirs; so have those of the proxy's own loopback, for clients of other
    /// machines.
    pub allow: Vec<Pattern>,
    /// `targets.deny`: what may not, whatever is allowed. Default nothing.
    pub deny: Vec<Pattern>,
    /// `targets.connect_ports`: ports that CONNECT may name. None: any. Default 443.
    pub connect_ports: Option<Vec<u16>>,
}

/// Host and port that a client wants to reach.
#[derive(Debug, Clone)]
pub struct Target(outbound::Target);

/// Why a target may not be reached. Texts name the rule and no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Something in `deny` is about it.
    Denied(String),
    /// Nothing in `allow` is about it.
    NotAllowed,
    /// An address of a link or of clouds' metadata, and `allow` does not name it.
    Link,
    /// The proxy's own loopback, the client is of another machine, and `allow` does not name it.
    Loopback,
    /// It leads back into the proxy.
    Own,
    /// A rule leads there by what the client wrote, and no address there is public.
    NotNamed,
    /// CONNECT to a port that is not in `connect_ports`.
    Port(u16),
}

/// Addresses that only machines of the same link answer at, and those at which clouds tell their machines secrets: AWS over IPv6,
/// Alibaba, Oracle; all others use link-local ones.
static LINK: LazyLock<Vec<Network>> = LazyLock::new(|| {
    let texts = ["169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200", "192.0.0.192"];
    texts.iter().filter_map(|text| Network::parse(text).ok()).collect()
});

/// Addresses of this machine alone; dialled, the unspecified ones are it, too.
static LOOPBACK: LazyLock<Vec<Network>> = LazyLock::new(|| {
    let texts = ["127.0.0.0/8", "0.0.0.0/8", "::1", "::"];
    texts.iter().filter_map(|text| Network::parse(text).ok()).collect()
});

impl Target {
    /// What a request is about; none if no URL could name it.
    #[must_use]
    pub fn of(origin: &Origin) -> Option<Self> {
        outbound::Target::parse(&format!("{origin}/")).ok().map(Self)
    }

    /// What a request asks for; none also if it names no host.
    #[must_use]
    pub fn asked(head: &RequestHead) -> Option<Self> {
        Self::of(&Origin { scheme: head.scheme, authority: head.authority.clone() })
    }

    /// An origin as a proxy is asked for it: where the host is an address, in the one way of writing it that everybody reads alike.
    pub(crate) fn spelled(origin: &Origin) -> Origin {
        let spell = |address: IpAddr| -> Option<Authority> {
            let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            let port = origin.authority.port();
            port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")).parse().ok()
        };
        let authority = Self::of(origin).and_then(|target| target.address()).and_then(spell);
        Origin { scheme: origin.scheme, authority: authority.unwrap_or_else(|| origin.authority.clone()) }
    }

    /// The host in lower case, without a dot at its end.
    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }

    /// The address, if that is what the host is.
    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.0.address()
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.origin.port()
    }
}

impl Targets {
    /// Every public address, and nothing else.
    #[must_use]
    pub fn public() -> Self {
        Self { allow: vec![Pattern::public()], ..Self::default() }
    }

    /// Whether CONNECT may name this port.
    pub fn may_tunnel(&self, port: u16) -> Result<(), Refused> {
        match &self.connect_ports {
            Some(ports) if !ports.contains(&port) => Err(Refused::Port(port)),
            _ => Ok(()),
        }
    }

    /// Whether there is an address at which this client may reach the target: if not, nobody is asked for its addresses.
    pub fn may_look_up(&self, target: &Target, client: IpAddr) -> Result<(), Refused> {
        if let Some(address) = target.address() {
            return self.may_dial(target, address, client);
        }
        if let Some(denied) = self.deny.iter().find(|pattern| pattern.is_about_name(target) == Some(true)) {
            return Err(Refused::Denied(denied.to_string()));
        }
        let may_be_allowed = |pattern: &Pattern| pattern.is_about_port(target) && pattern.is_about_name(target).unwrap_or(true);
        if self.allow.iter().any(may_be_allowed) { Ok(()) } else { Err(Refused::NotAllowed) }
    }

    /// Whether this client may reach the target at this address.
    pub fn may_dial(&self, target: &Target, address: IpAddr, client: IpAddr) -> Result<(), Refused> {
        let address = reached(address);
        if let Some(denied) = self.deny.iter().find(|pattern| pattern.denies(target, address)) {
            return Err(Refused::Denied(denied.to_string()));
        }
        let is_in = |networks: &[Network]| networks.iter().copied().find(|network| network.contains(address));
        let is_remote = !client.to_canonical().is_loopback();
        for (special, refused) in [(is_in(&LINK), Refused::Link), (is_in(&LOOPBACK).filter(|_| is_remote), Refused::Loopback)] {
            if let Some(network) = special {
                let is_named = self.allow.iter().any(|pattern| pattern.names_within(target, address, &network));
                return if is_named { Ok(()) } else { Err(refused) };
            }
        }
        if self.allow.iter().any(|pattern| pattern.allows(target, address)) { Ok(()) } else { Err(Refused::NotAllowed) }
    }
}

impl Default for Targets {
    fn default() -> Self {
        Self { allow: vec![Pattern::public(), Pattern::private()], deny: Vec::new(), connect_ports: Some(vec![443]) }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(pattern) => write!(out, "the target is denied: targets.deny has {pattern:?}"),
            Self::NotAllowed => out.write_str("the target is not allowed: nothing in targets.allow is about it"),
            Self::Link => out.write_str(
                "the target is not allowed: link-local addresses and those of clouds' metadata must be named in targets.allow",
            ),
            Self::Loopback => out.write_str(
                "the target is not allowed: the proxy's loopback must be named in targets.allow for clients of other machines",
            ),
            Self::NotNamed => out.write_str("the target is refused: map_remote does not spell it out, and it is not public"),
            Self::Own => out.write_str("the target is refused: it leads back into this proxy"),
            Self::Port(port) => {
                write!(out, "CONNECT to port {port} is not allowed: it is not in targets.connect_ports")
            }
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9));

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    fn targets(allow: &[&str], deny: &[&str]) -> Targets {
        Targets { allow: patterns(allow), deny: patterns(deny), ..Targets::default() }
    }

    fn target(url: &str) -> Target {
        Target::of(&url.parse().expect(url)).expect(url)
    }

    fn dial(targets: &Targets, url: &str, address: &str, client: IpAddr) -> Result<(), Refused> {
        let target = target(url);
        let dialled = targets.may_dial(&target, address.parse().expect(address), client);
        assert!(dialled.is_err() || targets.may_look_up(&target, client).is_ok(), "{url} {address}");
        dialled
    }

    #[test]
    fn by_default_everything_may_be_reached_but_secrets() {
        let targets = Targets::default();
        for address in ["8.8.8.8", "10.0.0.7", "172.18.0.2", "192.168.0.1", "fd12::1", "2606:4700::1111"] {
            assert_eq!(dial(&targets, "http://a.test", address, ELSEWHERE), Ok(()), "{address}");
        }
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "192.0.0.192",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert_eq!(dial(&targets, "http://a.test", address, HERE), Err(Refused::Link), "{address}");
        }
    }

    #[test]
    fn loopback_is_for_clients_of_this_machine() {
        let (targets, v6) = (Targets::default(), IpAddr::V6(Ipv6Addr::LOCALHOST));
        for address in ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"] {
            assert_eq!(dial(&targets, "http://localhost", address, ELSEWHERE), Err(Refused::Loopback), "{address}");
            for client in [HERE, v6, "::ffff:127.0.0.1".parse().expect("an address")] {
                assert_eq!(dial(&targets, "http://localhost", address, client), Ok(()), "{address}");
            }
        }
    }

    #[test]
    fn special_addresses_can_be_named() {
        for (allow, url, address, is_named) in [
            ("169.254.169.254", "http://169.254.169.254", "169.254.169.254", true),
            ("169.254.0.0/16", "http://169.254.169.254", "169.254.169.254", true),
            ("169.254.169.254", "http://169.254.169.253", "169.254.169.253", false),
            ("metadata.test", "http://metadata.test", "169.254.169.254", true),
            ("metadata.test:81", "http://metadata.test", "169.254.169.254", false),
            // Too wide to mean it.
            ("0.0.0.0/0", "http://169.254.169.254", "169.254.169.254", false),
            ("private", "http://169.254.169.254", "169.254.169.254", false),
            ("*.test", "http://metadata.test", "169.254.169.254", false),
            ("127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1", true),
            ("127.0.0.1:8080", "http://127.0.0.1:8081", "127.0.0.1", false),
        ] {
            assert_eq!(dial(&targets(&[allow], &[]), url, address, ELSEWHERE).is_ok(), is_named, "{allow} {url}");
        }
    }

    #[test]
    fn what_is_denied_is_denied_whatever_is_allowed() {
        for (deny, url, address) in [
            ("a.test", "http://a.test", "8.8.8.8"),
            ("a.test", "http://A.TEST.:8080", "8.8.8.8"),
            ("*.test", "https://b.a.test", "8.8.8.8"),
            ("10.0.0.0/8", "http://a.test", "10.0.0.7"),
            ("10.0.0.7", "http://0xa.7", "10.0.0.7"),
            ("10.0.0.0/8", "http://a.test", "64:ff9b::a00:7"),
            ("private", "http://a.test", "127.0.0.1"),
            ("*", "http://a.test", "8.8.8.8"),
            ("a.test:8008", "http://a.test:8008", "8.8.8.8"),
        ] {
            let targets = targets(&["*", "private", "a.test", "10.0.0.7"], &[deny]);
            assert_eq!(dial(&targets, url, address, HERE), Err(Refused::Denied(deny.to_owned())), "{url}");
        }
        let targets = targets(&["*", "private"], &["a.test:8008", "10.0.0.0/8"]);
        for (url, address) in
            [("http://a.test:8009", "8.8.8.8"), ("http://b.test:8008", "8.8.8.8"), ("http://a.test", "11.0.0.1")]
        {
            assert_eq!(dial(&targets, url, address, HERE), Ok(()), "{url}");
        }
    }

    #[test]
    fn only_what_is_allowed_is_allowed() {
        for (allow, url, address, is_allowed) in [
            ("*", "http://a.test", "8.8.8.8", true),
            ("*", "http://a.test", "10.0.0.7", false),
            ("private", "http://a.test", "10.0.0.7", true),
            ("private", "http://a.test", "8.8.8.8", false),
            ("a.test", "http://a.test:9", "10.0.0.7", true),
            ("a.test:8008", "http://a.test:8009", "10.0.0.7", false),
            ("*.test", "http://a.test", "8.8.8.8", true),
            // A name below need not be the operator's.
            ("*.test", "http://a.test", "10.0.0.7", false),
            ("10.0.0.0/8", "http://a.test", "10.255.255.255", true),
            ("10.0.0.0/8", "http://a.test", "11.0.0.0", false),
            ("[fd12::1]:80", "http://[fd12::1]", "fd12::1", true),
        ] {
            assert_eq!(dial(&targets(&[allow], &[]), url, address, HERE).is_ok(), is_allowed, "{allow} {url} {address}");
        }
    }

    #[test]
    fn names_that_cannot_be_allowed_are_not_looked_up() {
        let look_up = |allow: &[&str], deny: &[&str], url: &str| targets(allow, deny).may_look_up(&target(url), HERE);
        assert_eq!(look_up(&["a.test", "*.b.test"], &[], "http://c.test"), Err(Refused::NotAllowed));
        assert_eq!(look_up(&["a.test:1"], &[], "http://a.test:2"), Err(Refused::NotAllowed));
        assert_eq!(look_up(&["*"], &["a.test"], "http://a.test"), Err(Refused::Denied("a.test".to_owned())));
        assert_eq!(look_up(&["10.0.0.0/8"], &[], "http://c.test"), Ok(()));
        assert_eq!(look_up(&["10.0.0.0/8"], &[], "http://11.0.0.1"), Err(Refused::NotAllowed));
    }

    #[test]
    fn tunnels_go_to_ports_of_the_list() {
        assert_eq!(Targets::default().may_tunnel(443), Ok(()));
        assert_eq!(Targets::default().may_tunnel(22), Err(Refused::Port(22)));
        let none = Targets { connect_ports: Some(Vec::new()), ..Targets::default() };
        assert_eq!(none.may_tunnel(443), Err(Refused::Port(443)));
        assert_eq!(Targets { connect_ports: None, ..Targets::default() }.may_tunnel(22), Ok(()));
    }
}
