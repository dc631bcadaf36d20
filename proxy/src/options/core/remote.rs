//! `map_remote`: requests that go elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use regex::bytes::Regex;

use super::{rules::filtered, template::Template};
use crate::{
    filter::{Answer, Case, Filter, View, regex},
    http::{Authority, Origin, Scheme},
};

/// A rule that makes another URL of one.
#[derive(Clone)]
pub(crate) struct Mapping {
    filter: Filter,
    subject: Regex,
    replacement: Arc<Template>,
    /// Scheme, host and port, where the replacement spells them out.
    named: Option<Arc<Origin>>,
}

/// What a URL became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapped {
    /// Where it leads now, if it led elsewhere, and whether the author of the rule chose that: nothing of it comes from the request.
    pub(crate) moved: Option<(Origin, bool)>,
    /// Path and query.
    pub(crate) target: Bytes,
}

/// Bytes of a URL.
const MAX_URL: usize = 64 * 1024;

impl Mapping {
    /// Reads `[/flow-filter]/url-regex/replacement`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (filter, subject, replacement) = filtered(text, "url-regex/replacement")?;
        let subject = regex(subject, Case::Exact)?;
        let replacement = Template::parse(replacement, &subject)?;
        let named = named(replacement.literal_start(), replacement.is_literal()).map(Arc::new);
        Ok(Self { filter, subject, replacement: Arc::new(replacement), named })
    }

    /// What becomes of this URL of the flow. None: it stays.
    ///
    /// # Errors
    /// When what comes out is no URL that a request can be sent to.
    pub(crate) fn apply(&self, view: &View<'_>, url: &[u8]) -> Result<Option<Mapped>, &'static str> {
        if self.filter.evaluate(view) != Answer::Yes {
            return Ok(None);
        }
        let mapped = self.replacement.replace_all(&self.subject, url, MAX_URL).ok_or("it is longer than 64 KiB")?;
        if mapped == url {
            return Ok(None);
        }
        let text = std::str::from_utf8(&mapped).map_err(|_| "it is not text")?;
        let (origin, target) = read(text).ok_or("it is no http or https URL with a legal host, path and query")?;
        let before = std::str::from_utf8(url).ok().and_then(read);
        let is_moved = before.is_none_or(|(before, _)| !is_same(&before, &origin));
        let is_named = self.named.as_deref().is_some_and(|named| is_same(named, &origin));
        let moved = is_moved.then_some((origin, is_named));
        Ok(Some(Mapped { moved, target: Bytes::copy_from_slice(target.as_bytes()) }))
    }
}

/// Scheme, host and port at the start of a replacement: its author's choice, unless more may follow.
fn named(start: &str, is_all: bool) -> Option<Origin> {
    let (scheme, rest) = scheme(start)?;
    let authority = match rest.find(['/', '?', '#']) {
        Some(end) => rest.get(..end)?,
        None if is_all => rest,
        None => return None,
    };
    Some(Origin { scheme, authority: authority.parse().ok()? })
}

/// Whether both are the same, a port of the scheme written or not.
fn is_same(one: &Origin, other: &Origin) -> bool {
    let host = |origin: &Origin| origin.authority.host().to_ascii_lowercase();
    one.scheme == other.scheme && one.port() == other.port() && host(one) == host(other)
}

/// Origin, path and query of a URL. A fragment is none of a request's.
fn read(url: &str) -> Option<(Origin, String)> {
    let (scheme, rest) = scheme(url)?;
    let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority: Authority = authority.parse().ok()?;
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let is_legal = !authority.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    is_legal.then_some((Origin { scheme, authority }, target))
}

fn scheme(url: &str) -> Option<(Scheme, &str)> {
    let rest = |prefix| url.strip_prefix(prefix);
    rest("http://").map(|rest| (Scheme::Http, rest)).or_else(|| rest("https://").map(|rest| (Scheme::Https, rest)))
}
