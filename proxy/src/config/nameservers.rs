//! `nameservers`.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use super::{check::Check, key::Key};

const COUNT: RangeInclusive<usize> = 1..=8;
/// Where no other one is said (RFC 1035, 4.2).
const PORT: u16 = 53;

/// Addresses at `key`; none where none is set.
pub(super) fn nameservers(check: &mut Check, key: &Key, raw: Option<&[String]>) -> Option<Vec<SocketAddr>> {
    let raw = raw?;
    if !COUNT.contains(&raw.len()) {
        check.fail(key, format!("must be {} to {} addresses", COUNT.start(), COUNT.end()));
    }
    let read = |text: &str| match text.parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, PORT)),
        Err(_) => match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(address),
            _ => Err("must be an address like \"192.0.2.1\" or \"[2001:db8::1]:5353\"".to_owned()),
        },
    };
    Some(raw.iter().enumerate().filter_map(|(place, text)| check.text(&key.join(place), text, read)).collect())
}

#[cfg(test)]
mod tests {
    use crate::config::{Change, Config, ConfigErrors, Override, Sources};

    fn load(value: &str) -> Result<Config, ConfigErrors> {
        let set = |text: String| Override { source: "--set".to_owned(), change: Change::Set(text) };
        let overrides = vec![
            set("listener=[{ name = \"a\", bind = 1, upstream = \"http://127.0.0.1:2\" }]".to_owned()),
            set(format!("nameservers={value}")),
        ];
        Sources { file: None, overrides }.load()
    }

    #[test]
    fn nameservers_are_addresses() {
        let config = load(r#"["192.0.2.1", "127.0.0.1:5353", "2001:db8::1", "[::1]:5"]"#).expect("legal");
        let shown: Vec<_> = config.nameservers.unwrap_or_default().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1:53", "127.0.0.1:5353", "[2001:db8::1]:53", "[::1]:5"]);
        for (value, is_legal) in [
            ("[]", false),
            ("[\"192.0.2.1\"]", true),
            (&format!("[{}]", ["\"192.0.2.1\""; 8].join(",")), true),
            (&format!("[{}]", ["\"192.0.2.1\""; 9].join(",")), false),
            ("[\"dns.example\"]", false),
            ("[\"192.0.2.1:0\"]", false),
            ("[\"192.0.2.1:65536\"]", false),
        ] {
            let loaded = load(value);
            assert_eq!(loaded.is_ok(), is_legal, "{value}");
            assert!(loaded.err().is_none_or(|errors| errors.to_string().contains("nameservers")), "{value}");
        }
    }
}
