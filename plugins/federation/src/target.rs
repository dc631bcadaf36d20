//! Where servers are (Matrix specification, Server-Server API, Resolving server names), and whether a request goes there.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tollgate_sdk::{dns, http, kv, log};

use crate::{
    once,
    server_name::{DEFAULT_PORT, Host, ServerName},
};

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) is_https: bool,
}

/// Whether a request goes to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// Nobody could be asked.
    Unknown,
}

/// What is known of a server.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// Hosts and ports besides its own.
    places: Vec<(String, u16)>,
    /// When that was found out, in seconds since the Unix epoch.
    at: u64,
    /// Whether all who were asked have answered.
    is_sure: bool,
}

/// For one question to a server or to DNS.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_WELL_KNOWN: u64 = 64 << 10;
const REDIRECTS: u8 = 5;
/// SRV records that are looked at.
const MAX_PLACES: usize = 16;
/// Of a delegation that says nothing else, and the bounds of what it says.
const LIFETIME: u64 = 24 * 3600;
const LIFETIMES: (u64, u64) = (60, 48 * 3600);
/// Where there is no delegation: it may be new.
const LIFETIME_OF_NONE: u64 = 3600;
/// Before a server is asked again because a request does not fit, or because somebody did not answer.
const PAUSE: u64 = 60;

impl Target {
    /// That of an upstream's URL.
    pub(crate) fn of(upstream: &str) -> Option<Self> {
        let (scheme, authority) = upstream.split_once("://")?;
        let is_https = scheme == "https";
        let authority = authority.trim_end_matches('/');
        let name = match ServerName::parse(authority) {
            Some(name) => name,
            // The root's dot is legal in a URL, and means the same.
            None => ServerName::parse(authority.replace(".:", ":").trim_end_matches('.'))?,
        };
        let port = name.port().unwrap_or(if is_https { 443 } else { 80 });
        Some(Self { host: name.host().clone(), port, is_https })
    }

    fn is_at(&self, host: &str, port: u16) -> bool {
        self.port == port && self.host.to_string() == host
    }

    /// Whether this is the server of this name: its own host, or one that its delegation names.
    ///
    /// What was found out is kept. A request that does not fit has the server looked up again, at most once in a minute.
    pub(crate) fn is_of(&self, name: &ServerName) -> Result<Answer, kv::Error> {
        if self.is_at(&name.host().to_string(), name.port().unwrap_or(DEFAULT_PORT)) {
            return Ok(Answer::Yes);
        }
        if name.is_definite() {
            return Ok(Answer::No);
        }
        let read = |known: &Known| {
            if known.places.iter().any(|(host, port)| self.is_at(host, *port)) {
                Some(Answer::Yes)
            } else if is_recent(known.at) {
                Some(if known.is_sure { Answer::No } else { Answer::Unknown })
            } else {
                None
            }
        };
        Ok(once::find("where", &name.to_string(), read, || look_up(name))?.unwrap_or(Answer::Unknown))
    }
}

/// The URL at which a server answers that says where it is itself; none where DNS says it, since its certificate is not for that
/// host, or where nobody knows.
pub(crate) fn base(name: &ServerName) -> Result<Option<String>, kv::Error> {
    if name.is_definite() {
        return Ok(Some(format!("https://{}:{}", name.host(), name.port().unwrap_or(DEFAULT_PORT))));
    }
    let read = |known: &Known| match known.places.as_slice() {
        [(host, port)] => Some(Some(format!("https://{host}:{port}"))),
        _ => Some(None),
    };
    Ok(once::find("where", &name.to_string(), read, || look_up(name))?.flatten())
}

/// Whether somebody was asked so lately that nobody is asked again.
pub(crate) fn is_recent(at: u64) -> bool {
    now() < at.saturating_add(PAUSE)
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}

fn look_up(name: &ServerName) -> (Known, Duration) {
    let mut known = Known { at: now(), is_sure: true, ..Known::default() };
    let mut lifetime = LIFETIME_OF_NONE;
    let delegate = match well_known(name) {
        Ok(Some((delegate, seconds))) => {
            lifetime = seconds;
            Some(delegate)
        }
        Ok(None) => None,
        Err(error) => {
            log::info!(server = name.to_string().as_str(), error = error.as_str(); "no delegation can be had");
            known.is_sure = false;
            None
        }
    };
    let delegate = delegate.as_ref().unwrap_or(name);
    known.places.push((delegate.host().to_string(), delegate.port().unwrap_or(DEFAULT_PORT)));
    if let (Host::Name(host), None) = (delegate.host(), delegate.port()) {
        match services(host) {
            Ok(services) => known.places.extend(services),
            Err(error) => {
                log::info!(server = name.to_string().as_str(), error = error.as_str(); "no SRV records can be had");
                known.is_sure = false;
            }
        }
    }
    let lifetime = if known.is_sure { lifetime } else { PAUSE };
    (known, Duration::from_secs(lifetime))
}

/// The server that `/.well-known/matrix/server` names, and for how many seconds. None where it names none.
fn well_known(name: &ServerName) -> Result<Option<(ServerName, u64)>, String> {
    #[derive(Deserialize)]
    struct Delegation {
        #[serde(rename = "m.server")]
        server: String,
    }
    let request = http::Request::get(format!("https://{}/.well-known/matrix/server", name.host())).timeout(TIMEOUT);
    let response = match request.redirects(REDIRECTS).max_response(MAX_WELL_KNOWN).send() {
        Ok(response) => response,
        // Nobody is there, which is an answer.
        Err(error @ (http::Error::TooLarge(_) | http::Error::Protocol(_))) => {
            log::info!(server = name.to_string().as_str(), error = error.to_string().as_str(); "no delegation");
            return Ok(None);
        }
        Err(error) => return Err(error.to_string()),
    };
    if response.status >= 500 || response.status == 429 {
        return Err(format!("status {}", response.status));
    }
    if response.status != 200 {
        return Ok(None);
    }
    let delegate = response.json::<Delegation>().ok().and_then(|delegation| ServerName::parse(&delegation.server));
    Ok(delegate.map(|delegate| (delegate, lifetime(response.header("Cache-Control")))))
}

fn lifetime(cache_control: Option<&str>) -> u64 {
    let mut lifetime = LIFETIME;
    for directive in cache_control.unwrap_or_default().split(',').map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            lifetime = 0;
        } else if name.eq_ignore_ascii_case("max-age") {
            lifetime = value.trim_matches('"').parse().unwrap_or(lifetime);
        }
    }
    lifetime.clamp(LIFETIMES.0, LIFETIMES.1)
}

/// Hosts and ports of SRV records, those of the deprecated name where there are no others.
fn services(host: &str) -> Result<Vec<(String, u16)>, String> {
    for service in ["_matrix-fed", "_matrix"] {
        let records = match dns::srv(&format!("{service}._tcp.{host}"), TIMEOUT) {
            Ok(records) => records,
            Err(dns::Error::Denied) => {
                log::debug!("SRV records are not looked up: dns is not granted");
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.to_string()),
        };
        let place = |record: dns::Service| {
            // A root alone says that there is no such service (RFC 2782).
            let target = record.target.strip_suffix('.').unwrap_or(&record.target);
            Host::parse(target).map(|host| (host.to_string(), record.port))
        };
        if !records.is_empty() {
            return Ok(records.into_iter().take(MAX_PLACES).filter_map(place).collect());
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_the_port_of_their_scheme() {
        let target = |url| Target::of(url).map(|target| (target.host.to_string(), target.port, target.is_https));
        assert_eq!(target("https://A.de"), Some(("a.de".to_owned(), 443, true)));
        assert_eq!(target("http://a.de"), Some(("a.de".to_owned(), 80, false)));
        assert_eq!(target("https://a.de.:8448/"), Some(("a.de".to_owned(), 8448, true)));
        assert_eq!(target("https://[0::1]:8448"), Some(("[::1]".to_owned(), 8448, true)));
        assert_eq!(target("https://127.0.0.1:1"), Some(("127.0.0.1".to_owned(), 1, true)));
        assert_eq!(target("a.de"), None);
    }

    #[test]
    fn lifetimes_are_bounded() {
        for (field, seconds) in [
            (None, 86_400),
            (Some("public"), 86_400),
            (Some("max-age=600, public"), 600),
            (Some("public,Max-Age=\"600\""), 600),
            (Some("max-age=59"), 60),
            (Some("max-age=61"), 61),
            (Some("max-age=172801"), 172_800),
            (Some("max-age=never"), 86_400),
            (Some("no-store"), 60),
        ] {
            assert_eq!(lifetime(field), seconds, "{field:?}");
        }
    }
}
