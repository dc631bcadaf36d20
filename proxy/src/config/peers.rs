//! Peers by their addresses: whom a listener serves, and whom it believes what they say about others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The peers of some networks. Nobody by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peers(Vec<Network>);

/// The addresses that begin with the same bits: `10.0.0.0/8`, `192.168.1.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Peers {
    /// Those of this machine.
    pub(super) fn loopback() -> Self {
        Self(vec![
            Network { address: Ipv4Addr::new(127, 0, 0, 0).into(), bits: 8 },
            Network { address: Ipv6Addr::LOCALHOST.into(), bits: 128 },
        ])
    }

    /// Every peer there is.
    #[must_use]
    pub fn everybody() -> Self {
        Self(vec![
            Network { address: Ipv4Addr::UNSPECIFIED.into(), bits: 0 },
            Network { address: Ipv6Addr::UNSPECIFIED.into(), bits: 0 },
        ])
    }

    /// Whether this peer is one of them. An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(peer))
    }

    /// Whether this is about anybody rather than about some networks: a prefix of less than 8 bits of IPv4, or 7 of IPv6.
    pub(super) fn are_anybody(&self) -> bool {
        self.0.iter().any(|network| network.bits < if network.address.is_ipv4() { 8 } else { 7 })
    }

    /// Adds `loopback`, an address, or a network like `10.0.0.0/8`.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        if text == "loopback" {
            self.0.extend(Self::loopback().0);
        } else {
            self.0.push(Network::parse(text)?);
        }
        Ok(())
    }
}

impl Network {
    /// A network or an address; text for people if it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || "must be \"loopback\", an IP address or a network like \"10.0.0.0/8\"".to_owned();
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| expected())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(expected)?,
        };
        if address.to_canonical() != address {
            return Err(format!("must be written as IPv4: {}", address.to_canonical()));
        }
        let first = masked(address, bits);
        if first != address {
            return Err(format!("must begin with the first address of the network: {first}/{bits}"));
        }
        Ok(Self { address, bits })
    }

    /// This address alone.
    pub(crate) fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether an address is in it; one of IPv4 that is mapped into IPv6 must be given as IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && masked(address, self.bits) == self.address
    }

    /// Whether all of it is in the other one.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.bits >= other.bits && other.contains(self.address)
    }
}

/// The address with all but its first bits cleared.
fn masked(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or_default();
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or_default();
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(texts: &[&str]) -> Peers {
        let mut peers = Peers::default();
        for text in texts {
            peers.add(text).expect(text);
        }
        peers
    }

    fn contains(peers: &Peers, peer: &str) -> bool {
        peers.contains(peer.parse().expect(peer))
    }

    #[test]
    fn networks_end_where_they_end() {
        let peers = trusted(&["10.0.0.0/8", "192.168.1.7", "2001:db8::/33"]);
        for inside in ["10.0.0.0", "10.255.255.255", "192.168.1.7", "2001:db8::1", "2001:db8:7fff::1", "::ffff:10.1.2.3"] {
            assert!(contains(&peers, inside), "{inside}");
        }
        for outside in
            ["9.255.255.255", "11.0.0.0", "192.168.1.6", "192.168.1.8", "2001:db8:8000::", "2001:db7::", "::ffff:11.0.0.0"]
        {
            assert!(!contains(&peers, outside), "{outside}");
        }
    }

    #[test]
    fn nobody_and_everybody_mean_it() {
        for (peer, is_near) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("8.8.8.8", false), ("2001:db8::1", false)]
        {
            assert!(!contains(&Peers::default(), peer));
            assert!(contains(&Peers::everybody(), peer));
            assert_eq!(contains(&trusted(&["loopback"]), peer), is_near, "{peer}");
        }
    }

    #[test]
    fn anybody_is_no_network() {
        for (text, is_anybody) in
            [("0.0.0.0/0", true), ("128.0.0.0/7", true), ("10.0.0.0/8", false), ("2000::/3", true), ("fc00::/7", false)]
        {
            assert_eq!(trusted(&[text]).are_anybody(), is_anybody, "{text}");
        }
        assert!(Peers::everybody().are_anybody() && !trusted(&["loopback"]).are_anybody());
    }

    #[test]
    fn networks_lie_within_wider_ones() {
        let network = |text: &str| Network::parse(text).expect(text);
        for (one, other, is_within) in [
            ("10.1.0.0/16", "10.0.0.0/8", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.0.0.0/7", "10.0.0.0/8", false),
            ("11.0.0.0/16", "10.0.0.0/8", false),
            ("fe80::1", "fe80::/10", true),
            ("::/0", "0.0.0.0/0", false),
        ] {
            assert_eq!(network(one).is_within(&network(other)), is_within, "{one} {other}");
        }
        assert_eq!(Network::of("::ffff:10.0.0.1".parse().expect("an address")), network("10.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.1/8",
            "localhost",
            "::ffff:10.0.0.1",
            "10/8",
            "1.2.3.4/8/8",
        ] {
            assert!(Peers::default().add(text).is_err(), "{text:?}");
        }
    }
}
