//! Where services are, by the domain name system.
//!
//! ```no_run
//! use std::time::Duration;
//! use tollgate_sdk::{Error, dns};
//!
//! # fn find() -> Result<(), Error> {
//! for service in dns::srv("_matrix-fed._tcp.example.org", Duration::from_secs(2))? {
//!     tollgate_sdk::log::info!(port = service.port; "there");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The configuration has to grant it: `dns = true` in the addon's table. Only the flow of the hook waits, and the time counts
//! against the wall budget of the hook. It can be used in every hook, and not in [`configure`](crate::Addon::configure).
#![cfg_attr(not(target_arch = "wasm32"), doc = "In tests, [`Harness::with_dns`](crate::testing::Harness::with_dns) answers.")]

use std::{fmt, time::Duration};

use crate::host;

/// An SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The lowest are tried first.
    pub priority: u16,
    /// Share of those of the same priority.
    pub weight: u16,
    /// Where it listens.
    pub port: u16,
    /// The host, in lower case and with a dot at the end; a dot alone says that there is no such service.
    pub target: String,
}

/// Why there is no answer. Texts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The configuration does not grant `dns`; or not within a hook.
    Denied,
    /// Not a legal name or time.
    Invalid(String),
    /// Not done within the timeout.
    Timeout,
    /// No server answers, or none knows.
    Failed(String),
    /// More records than this.
    TooLarge(u32),
    /// As many lookups as this are under way, or were made in this hook.
    Busy(u32),
}

/// The SRV records of a name like `_matrix-fed._tcp.example.org`, by priority and then the heaviest first; none where the name has
/// none, or is none. At most 32. Without a timeout 5 seconds; less than a millisecond counts as one.
///
/// # Errors
///
/// When there is no answer, be it that there is none.
pub fn srv(name: &str, timeout: impl Into<Option<Duration>>) -> Result<Vec<Service>, Error> {
    host::srv(name, timeout.into().map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1)))
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => out.write_str("denied: dns is not granted, or this is no hook"),
            Self::Invalid(text) => write!(out, "no legal question: {text}"),
            Self::Timeout => out.write_str("no answer within the timeout"),
            Self::Failed(text) => write!(out, "no answer: {text}"),
            Self::TooLarge(limit) => write!(out, "more than {limit} records"),
            Self::Busy(limit) => write!(out, "{limit} questions were asked already"),
        }
    }
}

impl std::error::Error for Error {}
