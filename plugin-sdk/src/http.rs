//! Requests that an addon makes of its own.
//!
//! ```no_run
//! use std::time::Duration;
//! use tollgate_sdk::{Error, http, serde_json::json};
//!
//! # fn ask(token: &str) -> Result<bool, Error> {
//! let response = http::Request::post("https://hooks.example.org/check")
//!     .header("X-Request-From", "tollgate")
//!     .bearer(token)
//!     .json(&json!({ "user": "@me:example.org" }))?
//!     .timeout(Duration::from_secs(5))
//!     .redirects(3)
//!     .send()?;
//! let is_allowed = response.is_success() && response.json::<bool>()?;
//! # Ok(is_allowed)
//! # }
//! ```
//!
//! The configuration says what an addon may reach: `http = ["hooks.example.org"]` in its table; without a grant it is the
//! listener's upstream alone. `send` waits for all of the response. Only the flow of the hook waits with it, and the time counts
//! against the wall budget of the hook: when that is over, the hook has failed, whatever the timeout of the request.
//!
//! Requests can be made in every hook, and not in [`configure`](crate::Addon::configure).
#![cfg_attr(
    not(target_arch = "wasm32"),
    doc = "In tests, [`Harness::with_http`](crate::testing::Harness::with_http) answers them."
)]

mod error;

use std::{fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Header, host};

pub use error::Error;

/// A request to be.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "nothing happens before it is sent"]
pub struct Request {
    /// Any token but CONNECT.
    pub method: String,
    /// Absolute, `http` or `https`, without user name and password.
    pub url: String,
    /// In order. Host and what frames a message are the core's.
    pub headers: Vec<Header>,
    /// At most the addon's `max_body`.
    pub body: Vec<u8>,
    /// For all of it. None: 30 seconds.
    pub timeout: Option<Duration>,
    /// Redirects that are followed at most. Default: 0, a redirect is the response.
    pub redirects: u8,
    /// Largest body of the response in bytes. None: the addon's `max_body`.
    pub max_response: Option<u64>,
}

/// All of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 to 599: an error of the peer is a response like any other.
    pub status: u16,
    /// `1.0`, `1.1` or `2`.
    pub version: String,
    /// In order, without hop-by-hop fields.
    pub headers: Vec<Header>,
    /// Content codings taken off.
    pub body: Vec<u8>,
    /// The fields after the body.
    pub trailers: Vec<Header>,
    /// What answered: the URL of the request or of the last redirect.
    pub url: String,
}

impl Request {
    /// A request without fields and body.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            redirects: 0,
            max_response: None,
        }
    }

    /// A GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A POST.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// A PUT.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// A DELETE.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a field at the end. Whether it is legal shows when the request is sent.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Adds `Authorization: Bearer …`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With this value as its body, and a Content-Type if there is none.
    ///
    /// # Errors
    ///
    /// If the value has no JSON, like a map whose keys are no strings.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        self.body = serde_json::to_vec(value)?;
        let has_type = value_of(&self.headers, "content-type").is_some();
        Ok(if has_type { self } else { self.header("Content-Type", "application/json") })
    }

    /// All of it has to be done within this time; less than a millisecond counts as one.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Follows so many redirects at most; the response to the last request is the response, be it another redirect.
    pub const fn redirects(mut self, count: u8) -> Self {
        self.redirects = count;
        self
    }

    /// Takes a body of so many bytes at most. More than the addon's `max_body` is [`Error::Invalid`].
    pub const fn max_response(mut self, bytes: u64) -> Self {
        self.max_response = Some(bytes);
        self
    }

    /// Sends it and waits for all of the response. It can be sent again.
    ///
    /// # Errors
    ///
    /// When there is no response; whatever status one has, it is no error.
    pub fn send(&self) -> Result<Response, Error> {
        host::send(self)
    }
}

impl Response {
    /// A response without fields and body: for tests.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            version: "1.1".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            url: String::new(),
        }
    }

    /// With one field more, at the end.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Whether the status is 200 to 299.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Value of the first field of this name; none also where it is no UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        value_of(&self.headers, name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The body as text; what is no UTF-8 shows as U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    ///
    /// If it is no JSON, or not of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// Without what may be a secret: query, values of fields, body.
impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        out.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.split(['?', '#']).next().unwrap_or_default())
            .field("headers", &names)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish_non_exhaustive()
    }
}

fn value_of<'a>(headers: &'a [Header], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_built_as_they_read() {
        let request = Request::post("http://a/b").bearer("t").json(&[1]).expect("JSON").redirects(2);
        let fields = [("Authorization", "Bearer t"), ("Content-Type", "application/json")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        assert_eq!((request.headers.as_slice(), &request.body[..], request.redirects), (&fields[..], &b"[1]"[..], 2));
        let typed = Request::put("http://a").header("content-type", "application/x").json(&1).expect("JSON");
        assert_eq!(typed.headers.len(), 1);
    }

    #[test]
    fn secrets_are_not_shown() {
        let request = Request::get("http://a/b?access_token=hunter2#hunter2").bearer("hunter2").body("hunter2");
        let shown = format!("{request:?}");
        assert!(shown.contains("http://a/b") && shown.contains("Authorization") && !shown.contains("hunter2"), "{shown}");
    }
}
