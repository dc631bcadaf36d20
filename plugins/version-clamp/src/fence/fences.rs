//! A fence for each listener.

use super::{Fence, Refused, Rule};
use crate::options::{Table, Tables};

/// The fences of all listeners.
#[derive(Debug)]
pub(crate) struct Fences {
    /// With the name of the listener; none is for all of them.
    fences: Vec<(Option<String>, Fence)>,
    /// In lower case.
    open_hosts: Vec<String>,
}

impl Fences {
    /// With these rules beside each table.
    ///
    /// # Errors
    ///
    /// The line of a table that can't be read.
    pub(crate) fn new(tables: &Tables, rules: &[Rule], open_hosts: Vec<String>) -> Result<Self, &'static str> {
        let fence = |table: Table| Fence::table(table).map(|own| Fence::new([own, rules.to_vec()].concat()));
        let mut fences = Vec::new();
        match tables {
            Tables::Everywhere(Table::Off) => {}
            Tables::Everywhere(table) => fences.push((None, fence(*table)?)),
            Tables::Each(tables) => {
                for (listener, table) in tables.iter().filter(|(_, table)| **table != Table::Off) {
                    fences.push((Some(listener.clone()), fence(*table)?));
                }
            }
        }
        let open_hosts = open_hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self { fences, open_hosts })
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.fences.is_empty()
    }

    /// Whether a request of this listener goes through to this upstream, a URL.
    ///
    /// # Errors
    ///
    /// How it is refused.
    pub(crate) fn check<'a>(
        &self,
        listener: &str,
        upstream: &str,
        method: &'a str,
        path_and_query: &str,
    ) -> Result<(), Refused<'a>> {
        let is_its = |name: &Option<String>| name.as_ref().is_none_or(|name| name == listener);
        let Some((_, fence)) = self.fences.iter().find(|(name, _)| is_its(name)) else { return Ok(()) };
        let is_open = !self.open_hosts.is_empty() && self.open_hosts.contains(&host(upstream));
        if is_open && !fence.denies(method, path_and_query) { Ok(()) } else { fence.check(method, path_and_query) }
    }
}

/// The host of `https://host:port`, in lower case and without a dot at its end.
fn host(upstream: &str) -> String {
    let authority = upstream.split_once("://").map_or(upstream, |(_, authority)| authority);
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let host = authority.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(authority, |(host, _)| host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_without_port() {
        for (upstream, expected) in [
            ("https://sso.example:8443", "sso.example"),
            ("https://SSO.example.", "sso.example"),
            ("http://[::1]:80", "[::1]"),
            ("http://[::1]", "[::1]"),
            ("http://127.0.0.1:1", "127.0.0.1"),
            ("media", "media"),
        ] {
            assert_eq!(host(upstream), expected, "{upstream}");
        }
    }
}
