//! Addresses to listen on and origins to send to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::http::{InvalidUrl, Origin};

/// Where a listener binds: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `*:8080` for every IPv4 address, or a port alone,
/// which is one of 127.0.0.1: nothing is reachable from outside unless it says so.
pub(super) fn bind(text: &str) -> Result<SocketAddr, String> {
    let expected = || "must be an IP address and a port, like \"127.0.0.1:8080\", \"*:8080\" or \"8080\"".to_owned();
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(expected());
    }
    let port = port.parse::<u16>().map_err(|_| "must have a port from 0 to 65535".to_owned())?;
    let address: IpAddr = match host {
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        "*" => Ipv4Addr::UNSPECIFIED.into(),
        _ => match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => IpAddr::V6(host.parse().map_err(|_| expected())?),
            None => IpAddr::V4(host.parse().map_err(|_| expected())?),
        },
    };
    Ok(SocketAddr::new(address, port))
}

/// An upstream: `http://127.0.0.1:8008`, or `h.example`, which is asked by https.
pub(super) fn origin(text: &str) -> Result<Origin, String> {
    if text.contains('@') {
        return Err("must have no user name, password or '@'".to_owned());
    }
    // TLS is what there is unless something else is asked for.
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    url.parse().map_err(|error| {
        match error {
            InvalidUrl::Scheme(_) => "must start with http:// or https://, or with the host, which is asked by https",
            InvalidUrl::Host(_) => "must have a legal host name or IP address",
            InvalidUrl::Port(_) => "must have a port from 1 to 65535, or none",
            InvalidUrl::Path(_) => "must have no path, query or fragment",
        }
        .to_owned()
    })
}

/// Splits `UPSTREAM@[HOST:]PORT` as `--reverse` takes it, at the last `@`.
pub(super) fn reverse(text: &str) -> Result<(&str, &str), String> {
    text.rsplit_once('@').ok_or_else(|| "must be UPSTREAM@[HOST:]PORT, like \"http://127.0.0.1:8008@127.0.0.1:3000\"".to_owned())
}

/// Whether both cannot be bound at once.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip()
            || (one.is_ipv4() == other.is_ipv4() && (one.ip().is_unspecified() || other.ip().is_unspecified())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_port_stays_on_this_machine() {
        for (text, address) in [
            ("3000", "127.0.0.1:3000"),
            ("0", "127.0.0.1:0"),
            ("65535", "127.0.0.1:65535"),
            ("localhost:80", "127.0.0.1:80"),
            ("*:80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
            ("[::]:80", "[::]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(bind(text).map(|address| address.to_string()), Ok(address.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_bound_is_refused() {
        for text in [
            "",
            ":",
            ":80",
            "65536",
            "-1",
            "+1",
            "a:80",
            "::1:80",
            "[::1]",
            "127.0.0.1:",
            "127.0.0.1",
            "[127.0.0.1]:80",
            "1 ",
            "*",
        ] {
            assert!(bind(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn upstreams_have_no_credentials_nor_path() {
        for (text, expected) in [("http://h:1/", "http://h:1"), ("h:1", "https://h:1"), ("h.example", "https://h.example")] {
            assert_eq!(origin(text).map(|origin| origin.to_string()), Ok(expected.to_owned()));
        }
        for text in ["", "http:/h", "h/x", "ftp://h", "http://", "http://u:p@h", "http://h:0", "http://h/x", "http://h?x"] {
            assert!(origin(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn reverse_splits_at_the_last_at() {
        assert_eq!(reverse("http://h:1@127.0.0.1:3000"), Ok(("http://h:1", "127.0.0.1:3000")));
        assert_eq!(reverse("http://u:p@h:1@3000"), Ok(("http://u:p@h:1", "3000")));
        assert!(reverse("http://h:1").is_err());
    }

    #[test]
    fn any_address_overlaps_with_one() {
        for (one, other, is_overlap) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("*:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "*:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("*:80", "[::1]:80", false),
            ("0", "0", false),
        ] {
            let (one, other) = (bind(one).expect(one), bind(other).expect(other));
            assert_eq!(overlap(one, other), is_overlap, "{one} {other}");
        }
    }
}
