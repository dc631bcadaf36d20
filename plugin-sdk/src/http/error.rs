//! Why there is no response.

use std::fmt;

/// Why a request has no response. Texts are for people; they name scheme, host and port of the URL and nothing else of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Not granted by the configuration; or an address of the proxy itself; or not within a hook.
    Denied(String),
    /// Request or options are not legal. Nothing was sent.
    Invalid(String),
    /// The name has no address.
    Dns(String),
    /// No connection: refused or unreachable.
    Connect(String),
    /// No trust in the certificate, or nothing in common.
    Tls(String),
    /// Not done within the timeout.
    Timeout,
    /// The body of the response is over this limit, in bytes.
    TooLarge(u64),
    /// The connection ended before the response did.
    Closed(String),
    /// What came back is not HTTP, or over a limit, or a redirect that leads nowhere.
    Protocol(String),
    /// As many requests as this are under way for the addon, or were made in this hook.
    Busy(u32),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) => write!(out, "denied: {text}"),
            Self::Invalid(text) => write!(out, "no legal request: {text}"),
            Self::Dns(text) => write!(out, "no address: {text}"),
            Self::Connect(text) => write!(out, "no connection: {text}"),
            Self::Tls(text) => write!(out, "no trust: {text}"),
            Self::Timeout => out.write_str("no response within the timeout"),
            Self::TooLarge(limit) => write!(out, "the body of the response is over {limit} bytes"),
            Self::Closed(text) => write!(out, "closed: {text}"),
            Self::Protocol(text) => write!(out, "no HTTP: {text}"),
            Self::Busy(limit) => write!(out, "{limit} requests were made already"),
        }
    }
}

impl std::error::Error for Error {}
