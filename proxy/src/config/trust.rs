//! Peers that are believed what they say about others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks whose peers are trusted. Nobody by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedPeers(Vec<Network>);

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl TrustedPeers {
    /// Every peer there is.
    #[must_use]
    pub fn everybody() -> Self {
        Self(vec![
            Network { address: Ipv4Addr::UNSPECIFIED.into(), bits: 0 },
            Network { address: Ipv6Addr::UNSPECIFIED.into(), bits: 0 },
        ])
    }

    /// Whether this peer is trusted. An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(peer))
    }

    /// Adds `loopback`, an address, or a network like `10.0.0.0/8`.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        if text == "loopback" {
            self.0.push(Network { address: Ipv4Addr::new(127, 0, 0, 0).into(), bits: 8 });
            self.0.push(Network { address: Ipv6Addr::LOCALHOST.into(), bits: 128 });
        } else {
            self.0.push(Network::parse(text)?);
        }
        Ok(())
    }
}

impl Network {
    fn parse(text: &str) -> Result<Self, String> {
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

    fn contains(&self, peer: IpAddr) -> bool {
        self.address.is_ipv4() == peer.is_ipv4() && masked(peer, self.bits) == self.address
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

    fn trusted(texts: &[&str]) -> TrustedPeers {
        let mut peers = TrustedPeers::default();
        for text in texts {
            peers.add(text).expect(text);
        }
        peers
    }

    fn contains(peers: &TrustedPeers, peer: &str) -> bool {
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
            assert!(!contains(&TrustedPeers::default(), peer));
            assert!(contains(&TrustedPeers::everybody(), peer));
            assert_eq!(contains(&trusted(&["loopback"]), peer), is_near, "{peer}");
        }
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
            assert!(TrustedPeers::default().add(text).is_err(), "{text:?}");
        }
    }
}
