//! Requests that the proxy sends later, while nobody waits: reports, events, notices.
//!
//! ```no_run
//! use std::time::Duration;
//! use tollgate_sdk::{Error, http, outbox, serde_json::json};
//!
//! # fn report(status: u16) -> Result<(), Error> {
//! let report = http::Request::post("https://reports.example.org/").json(&json!({ "status": status }))?;
//! outbox::put(&report, Some(Duration::from_secs(600)))?;
//! # Ok(())
//! # }
//! ```
//!
//! The configuration says where to: `outbox = ["reports.example.org"]` in the addon's table. What can't be delivered is tried again,
//! at growing distances, until its time is over; who takes it may get it twice. It waits in memory, in a room of limited size. See the
//! contract (`wit/outbox.wit`) for which answers are taken for what.
#![cfg_attr(
    not(target_arch = "wasm32"),
    doc = "In tests, [`Exchange::outbox`](crate::testing::Exchange::outbox) has what was put in."
)]

use std::{fmt, time::Duration};

use crate::{host, http};

/// Why a request is not sent later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The configuration does not grant it, or it is not in a hook.
    Denied(String),
    /// Not a legal request; the text names what.
    Invalid(String),
    /// As much waits as may; the text names the limit.
    Full(String),
}

/// Has the request sent, within its timeout for each try (none: 10 seconds, at most a minute), for as long as `lifetime` says (none: an
/// hour, at most a day). Redirects are not followed, and nobody reads the answer.
///
/// # Errors
///
/// When it is not kept; then it is never sent.
pub fn put(request: &http::Request, lifetime: Option<Duration>) -> Result<(), Error> {
    host::put(request, lifetime)
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) => write!(out, "denied: {text}"),
            Self::Invalid(text) => write!(out, "invalid: {text}"),
            Self::Full(text) => write!(out, "the outbox is full: {text}"),
        }
    }
}

impl std::error::Error for Error {}
