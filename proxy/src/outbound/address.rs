//! Which addresses are anybody's, and which are not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public internet: global unicast that no registry reserves for something else (RFC 6890 and
/// the IANA registries of special-purpose addresses).
///
/// Not public are addresses of this host, this link and this site, shared space (RFC 6598), multicast, documentation,
/// benchmarks, what is reserved, and every form of IPv6 that leads to such an address of IPv4: mapped, NAT64, 6to4.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The address of IPv4 that one of IPv6 leads to: mapped, NAT64, 6to4. All others as they are.
pub(crate) fn reached(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            embedded(high, low).into()
        }
        _ => address,
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        // This network (RFC 791), private (RFC 1918), loopback (RFC 1122); multicast (RFC 5771) and reserved (RFC 1112).
        [0 | 10 | 127 | 224.., ..]
        // Shared with carriers (RFC 6598).
        | [100, 64..=127, ..]
        // Link-local (RFC 3927): where clouds keep their metadata.
        | [169, 254, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        // Protocols (RFC 6890), documentation (RFC 5737), what was 6to4 relays (RFC 7526), benchmarks (RFC 2544).
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => true,
        _ => false,
    };
    !special
}

const fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // IPv4-mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_public_v4(embedded(high, low))
        }
        // Protocols (RFC 2928), Teredo among them, and documentation (RFC 3849, RFC 9637).
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // All that is given out as global unicast (RFC 4291); loopback, local, multicast and the rest are elsewhere.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

const fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(((high as u32) << 16) | low as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().expect(text))
    }

    #[test]
    fn addresses_of_hosts_links_and_sites_are_not_public() {
        for (address, of_what) in [
            ("0.0.0.0", "unspecified"),
            ("0.255.255.255", "this network"),
            ("10.0.0.0", "private"),
            ("10.255.255.255", "private"),
            ("100.64.0.0", "shared"),
            ("100.127.255.255", "shared"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.255", "loopback"),
            ("169.254.0.0", "link-local"),
            ("169.254.169.254", "metadata"),
            ("172.16.0.0", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.1", "protocols"),
            ("192.0.2.1", "documentation"),
            ("192.88.99.1", "6to4 relay"),
            ("192.168.0.0", "private"),
            ("192.168.255.255", "private"),
            ("198.18.0.0", "benchmarks"),
            ("198.19.255.255", "benchmarks"),
            ("198.51.100.255", "documentation"),
            ("203.0.113.0", "documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::127.0.0.1", "IPv4-compatible"),
            ("::ffff:127.0.0.1", "mapped loopback"),
            ("::ffff:169.254.169.254", "mapped metadata"),
            ("::ffff:10.0.0.1", "mapped private"),
            ("64:ff9b::127.0.0.1", "NAT64 loopback"),
            ("64:ff9b::192.168.0.1", "NAT64 private"),
            ("64:ff9b:1::8.8.8.8", "local NAT64"),
            ("100::1", "discard"),
            ("2001::1", "Teredo"),
            ("2001:2::1", "benchmarks"),
            ("2001:1ff:ffff::1", "protocols"),
            ("2001:db8::1", "documentation"),
            ("2002:7f00:1::1", "6to4 loopback"),
            ("2002:a9fe:a9fe::1", "6to4 metadata"),
            ("3fff::1", "documentation"),
            ("3fff:fff:ffff::1", "documentation"),
            ("5f00::1", "segments"),
            ("fc00::1", "unique local"),
            ("fd00:ec2::254", "metadata"),
            ("fdff:ffff::1", "unique local"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ] {
            assert!(!public(address), "{address}: {of_what}");
        }
    }

    #[test]
    fn every_form_leads_to_the_same_address() {
        let reached = |text: &str| reached(text.parse().expect(text)).to_string();
        for text in ["10.0.0.7", "::ffff:10.0.0.7", "64:ff9b::10.0.0.7", "2002:a00:7::1"] {
            assert_eq!(reached(text), "10.0.0.7", "{text}");
        }
        assert_eq!(reached("fe80::a00:7"), "fe80::a00:7");
    }

    #[test]
    fn neighbours_of_special_addresses_are_public() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2000::1",
            "2001:200::1",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2002:808:808::1",
            "2606:4700::1111",
            "3ffe:ffff::1",
            "3fff:1000::1",
        ] {
            assert!(public(address), "{address}");
        }
    }
}
