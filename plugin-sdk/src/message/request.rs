//! The staged request.

use super::message_methods;
use crate::{EditError, Query, Segment, host, url};

/// The staged request. Edits are taken in the `request` hook; later hooks see what was sent, read-only.
///
/// Each call asks the host anew: keep what is needed more than once.
#[derive(Debug)]
pub struct Request<'a> {
    host: &'a host::Request,
}

impl<'a> Request<'a> {
    pub(crate) const fn new(host: &'a host::Request) -> Self {
        Self { host }
    }

    /// As sent: `GET`, or any other token (RFC 9110, 9.1). Compares with case.
    #[must_use]
    pub fn method(&self) -> String {
        self.host.method()
    }

    /// # Errors
    ///
    /// [`EditError::Invalid`] where it is no token.
    pub fn set_method(&mut self, method: &str) -> Result<(), EditError> {
        host::edit(self.host.set_method(method))
    }

    /// `http` or `https`, as the client used it.
    #[must_use]
    pub fn scheme(&self) -> String {
        self.host.scheme()
    }

    /// Host and port that the client asked for, as it wrote them.
    #[must_use]
    pub fn authority(&self) -> String {
        self.host.authority()
    }

    /// What the client asked for: starts with `/`, percent-encoding untouched; `*` for `OPTIONS *`.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        self.host.path_and_query()
    }

    /// Must start with `/` and hold no white space, control characters or fragment.
    ///
    /// # Errors
    ///
    /// [`EditError::Invalid`] where it is something else.
    pub fn set_path_and_query(&mut self, path_and_query: &str) -> Result<(), EditError> {
        host::edit(self.host.set_path_and_query(path_and_query))
    }

    /// The path without query, percent-encoding untouched.
    #[must_use]
    pub fn path(&self) -> String {
        url::path_of(&self.path_and_query()).to_owned()
    }

    /// The segments of the path: split on `/` first and percent-decoded then, so that `%2F` splits nothing. `/a/` has two, of
    /// which the last is empty; `*` has none.
    #[must_use]
    pub fn path_segments(&self) -> Vec<Segment> {
        url::segments_of(url::path_of(&self.path_and_query()))
    }

    /// The query's pairs, decoded; without a query, none.
    #[must_use]
    pub fn query(&self) -> Query {
        url::query_of(&self.path_and_query()).map(Query::parse).unwrap_or_default()
    }

    /// What the client asked for as one URL, percent-encoding untouched: `http://example.org:8008/a?b`.
    #[must_use]
    pub fn url(&self) -> String {
        let target = self.path_and_query();
        // `OPTIONS *` is about the server itself (RFC 9112, 3.2.4).
        let target = if target == "*" { "" } else { &target };
        format!("{}://{}{target}", self.scheme(), self.authority())
    }

    /// `1.0`, `1.1` or `2`: what the client spoke.
    #[must_use]
    pub fn version(&self) -> String {
        self.host.version()
    }

    /// URL of the upstream that the request will go to: scheme and authority.
    #[must_use]
    pub fn upstream(&self) -> String {
        self.host.upstream()
    }

    /// Sends the request to another upstream: `http://host[:port]` or `https://host[:port]`, without a path, or the name of one of
    /// the listener's own (`[[listener.upstreams]]`).
    ///
    /// # Errors
    ///
    /// [`EditError::Invalid`] where it is something else; [`EditError::Forbidden`] where it is not granted.
    pub fn set_upstream(&mut self, url: &str) -> Result<(), EditError> {
        host::edit(self.host.set_upstream(url))
    }

    /// Has the core follow the upstream's redirects (301, 302, 307 and 308) where they lead to one of these hosts, at any port:
    /// names and addresses as in URLs, `*.example.org` for all names below that one; at most 32. Credentials and upgrades go along.
    /// Replaces what was said before; no host: none is followed, as by default.
    ///
    /// At most five are followed, for GET and HEAD without a body, never from `https` to `http`, and only to where
    /// [`set_upstream`](Self::set_upstream) might go. A redirect that is not followed is the answer.
    ///
    /// # Errors
    ///
    /// [`EditError::Invalid`] where one is no host, or they are too many.
    pub fn follow_redirects(&mut self, hosts: &[impl AsRef<str>]) -> Result<(), EditError> {
        let hosts: Vec<String> = hosts.iter().map(|host| host.as_ref().to_owned()).collect();
        host::edit(self.host.follow_redirects(&hosts))
    }

    /// Replaces the whole body. Content-Length is set and Content-Encoding removed by the core.
    ///
    /// Allowed without having asked for the body: then what the client sends is read and thrown away.
    ///
    /// # Errors
    ///
    /// [`EditError::Invalid`] while there is a Content-Range, since what replaces a part of a whole is no longer that part.
    /// [`EditError::ReadOnly`] where the body was truncated, [`EditError::TooLarge`] beyond the addon's `max_body`.
    pub fn set_body(&mut self, body: impl AsRef<[u8]>) -> Result<(), EditError> {
        host::edit(self.host.set_body(body.as_ref()))
    }
}

message_methods!(Request);
