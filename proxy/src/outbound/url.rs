//! URLs of calls, read as the WHATWG URL standard says, so that grants see what is dialled.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use url::{Host, Position, Url};

use super::Error;
use crate::http::{Origin, Scheme};

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    url: Url,
    name: String,
    address: Option<IpAddr>,
    /// Scheme, host and port, each in one way of writing.
    pub(crate) origin: Arc<Origin>,
}

/// Longest URL, in bytes.
const MAX_URL: usize = 64 << 10;

impl Target {
    /// An absolute URL.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        at_most(text)?;
        Self::new(Url::parse(text).map_err(|error| Error::Invalid(format!("the URL: {error}")))?)
    }

    /// A reference as in Location (RFC 9110, 10.2.2).
    pub(super) fn join(&self, reference: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(reference).map_err(|_| Error::Invalid("the URL is not UTF-8".to_owned()))?;
        at_most(text)?;
        Self::new(self.url.join(text).map_err(|error| Error::Invalid(format!("the URL: {error}")))?)
    }

    fn new(mut url: Url) -> Result<Self, Error> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(Error::Invalid(format!("the URL's scheme is {other}, not http or https"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Invalid("the URL has a user name or password".to_owned()));
        }
        url.set_fragment(None);
        let (name, address) = match url.host() {
            Some(Host::Domain(name)) => (name.strip_suffix('.').unwrap_or(name).to_owned(), None),
            Some(Host::Ipv4(address)) => (address.to_string(), Some(IpAddr::V4(address))),
            Some(Host::Ipv6(address)) => {
                let address = IpAddr::V6(address).to_canonical();
                (address.to_string(), Some(address))
            }
            None => return Err(Error::Invalid("the URL has no host".to_owned())),
        };
        let origin = format!("{scheme}://{}", &url[Position::BeforeHost..Position::AfterPort]);
        let origin: Origin = origin.parse().map_err(|error| Error::Invalid(format!("the URL: {error}")))?;
        if url[Position::BeforePath..Position::AfterQuery].len() > MAX_URL {
            return Err(Error::Invalid(too_long()));
        }
        Ok(Self { url, name, address, origin: Arc::new(origin) })
    }

    /// The host in lower case, without a dot at its end; an address in its shortest form.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The address, if that is what the host is.
    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Path and query as they are sent.
    pub(super) fn path_and_query(&self) -> Bytes {
        Bytes::copy_from_slice(self.url[Position::BeforePath..Position::AfterQuery].as_bytes())
    }

    /// Without query and fragment.
    pub(super) fn shown(&self) -> String {
        self.url[..Position::AfterPath].to_owned()
    }

    /// All of it but the fragment.
    pub(super) fn into_url(self) -> String {
        self.url.into()
    }

    /// Whether both are of one origin (RFC 6454, 5).
    pub(super) fn is_at(&self, origin: &Origin) -> bool {
        let ours = &self.origin;
        let host = |origin: &Origin| origin.authority.host().trim_end_matches('.').to_ascii_lowercase();
        ours.scheme == origin.scheme && ours.port() == origin.port() && host(ours) == host(origin)
    }
}

fn at_most(text: &str) -> Result<(), Error> {
    if text.len() > MAX_URL { Err(Error::Invalid(too_long())) } else { Ok(()) }
}

fn too_long() -> String {
    format!("the URL has more than {MAX_URL} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_what_is_sent() {
        for (url, origin, sent) in [
            ("http://A.org", "http://a.org", "/"),
            ("http://a.org:80/b?c=d#e", "http://a.org", "/b?c=d"),
            ("https://a.org:8443/x/../y", "https://a.org:8443", "/y"),
            ("http://a.org/\u{e4} b", "http://a.org", "/%C3%A4%20b"),
            ("http://[::0001]:8/", "http://[::1]:8", "/"),
            ("http://0x7f.1/", "http://127.0.0.1", "/"),
            ("http://b\u{fc}cher.example/", "http://xn--bcher-kva.example", "/"),
            ("http://a.org/a\r\nb", "http://a.org", "/ab"),
        ] {
            let target = Target::parse(url).expect(url);
            assert_eq!((target.origin.to_string().as_str(), &target.path_and_query()[..]), (origin, sent.as_bytes()), "{url}");
        }
    }

    #[test]
    fn odd_urls_are_refused_without_showing_them() {
        let long = format!("http://a/{}", "a".repeat(MAX_URL));
        let wide = format!("http://a/{}", "\u{e4}".repeat(MAX_URL / 3));
        for url in [
            "",
            "/a",
            "a.org",
            "ftp://hunter2/",
            "file:///etc/hunter2",
            "http://",
            "http://u:hunter2@a/",
            "http://hunter2@a/",
            "http://a b/",
            "http://a:0/?hunter2",
            "http://a:99999/hunter2",
            "http://[::1/",
            "http://a,b/",
            "data:hunter2",
            &long,
            &wide,
        ] {
            let error = Target::parse(url).expect_err(url).to_string();
            assert!(error.starts_with("invalid: ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn references_are_resolved() {
        let base = Target::parse("http://a.org:8/b/c?d").expect("a target");
        for (reference, url) in [
            ("e", "http://a.org:8/b/e"),
            ("/e", "http://a.org:8/e"),
            ("?e", "http://a.org:8/b/c?e"),
            ("../../e", "http://a.org:8/e"),
            ("//e/f", "http://e/f"),
            ("https://e#f", "https://e/"),
        ] {
            assert_eq!(base.join(reference.as_bytes()).expect(reference).into_url(), url);
        }
        for reference in ["ftp://e", "http://u:p@e/", "javascript:1", "http://"] {
            assert!(base.join(reference.as_bytes()).is_err(), "{reference}");
        }
        assert!(base.join(b"\xff").is_err());
    }

    #[test]
    fn an_origin_is_known_however_it_is_written() {
        let is_at = |url: &str, origin: &str| Target::parse(url).expect(url).is_at(&origin.parse().expect(origin));
        assert!(is_at("http://a.org/b", "http://A.org:80"));
        assert!(is_at("https://a.org:443/", "https://a.org."));
        assert!(!is_at("https://a.org/", "http://a.org"));
        assert!(!is_at("http://a.org:81/", "http://a.org"));
        assert!(!is_at("http://b.a.org/", "http://a.org"));
    }
}
