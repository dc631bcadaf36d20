//! Places of those whose passwords are being verified: some for all, few for each client.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

/// Verifications that wait or run at one time.
pub(super) const OF_ALL: usize = 64;
/// The same of one client: an IPv4 address, or a network /64 of IPv6.
pub(super) const OF_ONE: usize = 4;

/// Who has a place.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: usize,
    /// No more clients than places.
    by_client: HashMap<IpAddr, usize>,
}

/// A place, until this is dropped.
pub(super) struct Place {
    waiting: Arc<Waiting>,
    client: IpAddr,
}

impl Waiting {
    /// None: there is no place, at all or for this client.
    pub(super) fn take(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let client = network(client);
        let mut taken = self.0.lock();
        let own = taken.by_client.get(&client).copied().unwrap_or_default();
        if taken.all >= OF_ALL || own >= OF_ONE {
            return None;
        }
        taken.all = taken.all.saturating_add(1);
        taken.by_client.insert(client, own.saturating_add(1));
        Some(Place { waiting: Arc::clone(self), client })
    }

    #[cfg(test)]
    pub(super) fn taken(&self, client: IpAddr) -> usize {
        self.0.lock().by_client.get(&network(client)).copied().unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.waiting.0.lock();
        taken.all = taken.all.saturating_sub(1);
        match taken.by_client.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.by_client.remove(&self.client)),
        }
    }
}

/// What counts as one client: whoever has an address of IPv6 has as many as fit into its /64.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().expect(address)
    }

    #[test]
    fn few_places_are_for_one_client() {
        let waiting = Arc::<Waiting>::default();
        let places: Vec<_> = (0..OF_ONE).map(|_| waiting.take(at("10.0.0.1")).expect("a place")).collect();
        assert!(waiting.take(at("10.0.0.1")).is_none() && waiting.take(at("::ffff:10.0.0.1")).is_none());
        assert!(waiting.take(at("10.0.0.2")).is_some());
        drop(places);
        assert_eq!(waiting.taken(at("10.0.0.1")), 0);
        assert!(waiting.take(at("10.0.0.1")).is_some());
        assert!(waiting.0.lock().by_client.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let waiting = Arc::<Waiting>::default();
        let addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::", "2001:db8::"];
        let _places: Vec<_> = addresses.map(|address| waiting.take(at(address)).expect("a place")).into();
        assert!(waiting.take(at("2001:db8::3")).is_none());
        assert!(waiting.take(at("2001:db8:0:1::3")).is_some());
    }

    #[test]
    fn there_is_an_end_for_all() {
        let waiting = Arc::<Waiting>::default();
        let client = |number: usize| IpAddr::from([10, 0, 0, u8::try_from(number).expect("a few")]);
        let places: Vec<_> = (0..OF_ALL).map(|number| waiting.take(client(number)).expect("a place")).collect();
        assert!(waiting.take(client(OF_ALL)).is_none());
        drop(places);
        assert!(waiting.take(client(OF_ALL)).is_some());
    }
}
