//! Addresses at which this process listens.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
};

use arc_swap::ArcSwap;

/// What must not be dialled, so that nothing goes round in circles. Clones share one set.
#[derive(Debug, Clone, Default)]
pub struct OwnAddresses(Arc<ArcSwap<Vec<SocketAddr>>>);

impl OwnAddresses {
    /// From now on it is these, as they were bound.
    pub fn set(&self, addresses: Vec<SocketAddr>) {
        self.0.store(Arc::new(addresses));
    }

    /// Whether what is sent there arrives at one of them. One that is bound to every address of the machine counts for each.
    #[must_use]
    pub fn contains(&self, address: SocketAddr) -> bool {
        self.0.load().iter().any(|own| own.port() == address.port() && reaches(own.ip(), address))
    }
}

fn reaches(own: IpAddr, address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    // Dialled, the unspecified address is this machine.
    if own.to_canonical() == ip || ip.is_unspecified() {
        return true;
    }
    match own {
        IpAddr::V4(own) => own.is_unspecified() && ip.is_ipv4() && is_of_this_machine(address),
        // Unless the system says otherwise, it takes IPv4, too.
        IpAddr::V6(own) => own.is_unspecified() && is_of_this_machine(address),
    }
}

/// Only an address of the machine can be bound. On an error of another kind, like one of IPv6 where there is none, it is not
/// one, and cannot be dialled either.
fn is_of_this_machine(mut address: SocketAddr) -> bool {
    address.set_port(0);
    address.ip().to_canonical().is_loopback() || UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_known_however_they_are_written() {
        for (bound, dialled, is_own) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.9.9.9:80", true),
            ("0.0.0.0:80", "[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("0.0.0.0:80", "192.0.2.1:80", false),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "192.0.2.1:80", false),
            ("[::]:80", "[2001:db8::1]:80", false),
        ] {
            let own = OwnAddresses::default();
            let dialled: SocketAddr = dialled.parse().expect(dialled);
            assert!(!own.contains(dialled));
            own.set(vec![bound.parse().expect(bound)]);
            assert_eq!(own.contains(dialled), is_own, "{bound} {dialled}");
        }
    }

    #[test]
    fn every_address_of_the_machine_is_own_where_all_are_bound() {
        // Which address the machine has towards others, if it has one; nothing is sent.
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        let Ok(mut address) = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) else { return };
        address.set_port(80);
        let own = OwnAddresses::default();
        own.set(vec!["0.0.0.0:80".parse().expect("an address")]);
        assert!(own.contains(address), "{address}");
    }
}
