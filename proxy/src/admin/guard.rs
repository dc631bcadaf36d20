//! Who may use the admin listener.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq as _;

use crate::http::{Authority, BearerToken};

/// Decides by the head of a request.
pub(super) struct Guard {
    token: Option<BearerToken>,
    /// A name that no stranger has, where there is one.
    name: Option<Box<str>>,
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// The name in Host could have been bound to this address by anybody.
    #[error("Host must be an IP address or localhost")]
    Host,
    /// The request comes from a page of another origin.
    #[error("requests from pages of other origins are refused")]
    Origin,
    /// There is no token, or another.
    #[error("needs `Authorization: Bearer` with the admin token")]
    Token,
}

impl Refused {
    /// Status of the answer.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }
}

impl Guard {
    /// Demands this token, if there is one.
    pub(super) const fn new(token: Option<BearerToken>) -> Self {
        Self { token, name: None }
    }

    /// The same for requests to this name alone.
    pub(super) fn named(token: Option<BearerToken>, name: &str) -> Self {
        Self { token, name: Some(name.into()) }
    }

    /// Health needs no token, so that probes can ask for it; it tells no more than whether all is well.
    pub(super) fn check(&self, headers: &HeaderMap, is_health: bool) -> Result<(), Refused> {
        let host = self.host(headers).ok_or(Refused::Host)?;
        if let Some(origin) = headers.get(header::ORIGIN) {
            let is_own = origin.to_str().is_ok_and(|origin| origin == format!("http://{host}"));
            if !is_own {
                return Err(Refused::Origin);
            }
        }
        // Browsers say this of requests without Origin, too: of images, links, frames (Fetch Metadata).
        if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
            return Err(Refused::Origin);
        }
        match &self.token {
            Some(token) if !is_health => {
                let given = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes).unwrap_or_default();
                let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
                if bool::from(given.ct_eq(token.reveal().as_bytes())) { Ok(()) } else { Err(Refused::Token) }
            }
            _ => Ok(()),
        }
    }

    /// The one Host, if it cannot be a stranger's name.
    fn host(&self, headers: &HeaderMap) -> Option<Authority> {
        let mut all = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (all.next(), all.next()) else { return None };
        let host: Authority = host.to_str().ok()?.parse().ok()?;
        let is_own = match &self.name {
            Some(name) => host.host().trim_end_matches('.').eq_ignore_ascii_case(name),
            None => host.bare_host().parse::<IpAddr>().is_ok() || host.host().eq_ignore_ascii_case("localhost"),
        };
        is_own.then_some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(header::HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn names_of_strangers_are_refused() {
        let guard = Guard::new(None);
        for host in ["127.0.0.1:9900", "localhost", "localhost:1", "[::1]:9900", "10.0.0.1"] {
            assert_eq!(guard.check(&headers(&[(header::HOST, host)]), false), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:9900", "127.0.0.1.nip.io", ""] {
            assert_eq!(guard.check(&headers(&[(header::HOST, host)]), false), Err(Refused::Host), "{host}");
        }
        assert_eq!(guard.check(&HeaderMap::new(), true), Err(Refused::Host));
    }

    #[test]
    fn a_name_of_ones_own_is_the_only_one() {
        let guard = Guard::named(None, "mitm.code");
        for (host, expected) in [
            ("mitm.code", Ok(())),
            ("MITM.code.:80", Ok(())),
            ("127.0.0.1", Err(Refused::Host)),
            ("localhost", Err(Refused::Host)),
            ("a.mitm.code", Err(Refused::Host)),
        ] {
            assert_eq!(guard.check(&headers(&[(header::HOST, host)]), false), expected, "{host}");
        }
        let check = |origin| guard.check(&headers(&[(header::HOST, "mitm.code"), (header::ORIGIN, origin)]), false);
        assert_eq!((check("http://mitm.code"), check("http://evil.example")), (Ok(()), Err(Refused::Origin)));
    }

    #[test]
    fn what_browsers_ask_for_other_pages_is_refused() {
        let site = header::HeaderName::from_static("sec-fetch-site");
        for (value, expected) in
            [("none", Ok(())), ("same-origin", Ok(())), ("cross-site", Err(Refused::Origin)), ("same-site", Err(Refused::Origin))]
        {
            let headers = headers(&[(header::HOST, "127.0.0.1"), (site.clone(), value)]);
            assert_eq!(Guard::new(None).check(&headers, true), expected, "{value}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let check =
            |origin| Guard::new(None).check(&headers(&[(header::HOST, "127.0.0.1:9900"), (header::ORIGIN, origin)]), false);
        assert_eq!(check("http://127.0.0.1:9900"), Ok(()));
        for origin in ["http://evil.example", "null", "http://127.0.0.1:9901", "https://127.0.0.1:9900"] {
            assert_eq!(check(origin), Err(Refused::Origin), "{origin}");
        }
    }
}
