//! Heads of requests and responses.

use std::fmt;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{Authority, Body, Field, Headers};

/// What the client's request is about, whatever version it was spoken in.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// Any token.
    pub method: Method,
    /// As the client used it.
    pub scheme: Scheme,
    /// Host and port that the client asked for; empty where an HTTP/1.0 request names none.
    pub authority: Authority,
    /// Starts with `/`, or is `*`. Percent-encoding as sent.
    pub target: Bytes,
    /// What the client spoke.
    pub version: Version,
    /// Without hop-by-hop fields once the flow has it.
    pub headers: Headers,
}

/// What comes back.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// 200 to 599, or 101 for an upgrade.
    pub status: StatusCode,
    /// Reason phrase of HTTP/1, if it is not the usual one.
    pub reason: Option<Bytes>,
    /// What the upstream spoke.
    pub version: Version,
    /// Without hop-by-hop fields once the flow has it.
    pub headers: Headers,
}

/// Scheme of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Cleartext, port 80 by default.
    Http,
    /// TLS, port 443 by default.
    Https,
}

/// Version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// No persistent connections, no chunked coding.
    Http10,
    /// RFC 9112.
    Http11,
    /// RFC 9113.
    Http2,
}

impl RequestHead {
    /// The path without query, percent-encoding untouched.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.target.split(|&byte| byte == b'?').next().unwrap_or_default()
    }

    /// The target as text: only ASCII is let in.
    #[must_use]
    pub fn target_str(&self) -> &str {
        std::str::from_utf8(&self.target).unwrap_or_default()
    }
}

impl ResponseHead {
    /// A head without fields.
    #[must_use]
    pub const fn new(status: StatusCode) -> Self {
        Self { status, reason: None, version: Version::Http11, headers: Headers::new() }
    }

    /// The answer to CONNECT once there is a tunnel (RFC 9110, 9.3.6).
    #[must_use]
    pub fn established() -> Self {
        Self { reason: Some("Connection established".into()), ..Self::new(StatusCode::OK) }
    }

    /// The answer with this content to a request with this method: to HEAD only its length is told (RFC 9110, 9.3.2).
    #[must_use]
    pub fn with_content(mut self, method: &Method, content: impl Into<Bytes>) -> (Self, Body) {
        let content = content.into();
        if *method != Method::HEAD {
            return (self, Body::full(content));
        }
        self.headers.extend(Field::new("Content-Length", content.len().to_string()).ok());
        (self, Body::empty())
    }
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Port where a URL names none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Version {
    /// `1.0`, `1.1` or `2`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}
