//! Requests that may change something, and what they invalidate (RFC 9111, 4.4).

use tollgate_sdk::{Request, Response, kv};
use url::{Origin, Url};

use crate::{asked, key::Target, options::Settings, store};

/// A request that may change something, as it came here.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    target: Target,
}

impl Written {
    pub(crate) fn new(request: &Request) -> Self {
        Self { target: asked::target(request) }
    }

    /// Forgets what the response says has changed: unless it is an error, the target, and what Location and Content-Location
    /// name at the same origin.
    pub(crate) fn done(&self, response: &Response, settings: &Settings) -> Result<(), kv::Error> {
        if !matches!(response.status(), 200..=399) {
            return Ok(());
        }
        store::invalidate(&self.target.key(settings))?;
        for name in ["location", "content-location"] {
            if let Some(other) = response.header_str(name).and_then(|text| self.sibling(&text)) {
                store::invalidate(&other.key(settings))?;
            }
        }
        Ok(())
    }

    /// What this reference names, if it is of the same origin and another target.
    fn sibling(&self, reference: &str) -> Option<Target> {
        let Target { scheme, authority, path_and_query, upstream } = &self.target;
        let base = Url::parse(&format!("{scheme}://{authority}{path_and_query}")).ok()?;
        let url = base.join(reference).ok()?;
        let is_same = matches!(url.origin(), Origin::Tuple(..)) && url.origin() == base.origin();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let other = Target::new(scheme, authority, &format!("{}{query}", url.path()), upstream);
        (is_same && other != self.target).then_some(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_origin_is_invalidated() {
        let target = Target::new("http", "a.test:8080", "/x/y?z", "http://u");
        let written = Written { target };
        for (reference, expected) in [
            ("/b?c#d", Some("/b?c")),
            ("b", Some("/x/b")),
            ("../b", Some("/b")),
            ("?c", Some("/x/y?c")),
            ("http://a.test:8080/b", Some("/b")),
            ("//A.test:8080/b", Some("/b")),
            ("http://a.test:8080", Some("/")),
            ("http://a.test/b", None),
            ("https://a.test:8080/b", None),
            ("http://b.test:8080/b", None),
            ("//b.test/b", None),
            ("data:x", None),
            ("http://", None),
            ("", None),
        ] {
            let sibling = written.sibling(reference);
            assert_eq!(sibling.as_ref().map(|other| other.path_and_query.as_str()), expected, "{reference}");
            assert!(sibling.is_none_or(|other| other.authority == "a.test:8080"));
        }
    }
}
