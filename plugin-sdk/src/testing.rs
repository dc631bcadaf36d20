//! Runs an addon's hooks under plain `cargo test`: no proxy, no WebAssembly.
//!
//! ```
//! use tollgate_sdk::{Addon, Error, Event, Flow, NoOptions, OptionErrors, Request, Response, ResponseVerdict, Subscription};
//! use tollgate_sdk::testing::{Harness, TestRequest, TestResponse};
//! use tollgate_sdk::serde_json::json;
//!
//! struct Hello;
//!
//! impl Addon for Hello {
//!     type Options = NoOptions;
//!
//!     fn configure(_: NoOptions) -> Result<Self, OptionErrors> {
//!         Ok(Self)
//!     }
//!
//!     fn subscriptions(&self) -> Vec<Subscription> {
//!         vec![Subscription::to(Event::Response)]
//!     }
//!
//!     fn response(&mut self, _: &Flow, _: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
//!         response.set_header("X-Hello", "world")?;
//!         Ok(ResponseVerdict::Next)
//!     }
//! }
//!
//! let harness = Harness::<Hello>::configure(json!({}))?;
//! let done = harness.exchange(TestRequest::get("/"), |_sent| TestResponse::new(200));
//! assert_eq!(done.response().header("x-hello"), Some("world"));
//! # Ok::<(), OptionErrors>(())
//! ```
//!
//! # What is as in the proxy
//!
//! - One flow, one addon: each exchange starts with a fresh one, configured anew from the same options.
//! - Commit or nothing: an error, a panic or an impossible verdict takes back what the hook staged; then the failure policy
//!   decides ([`Harness::fail_open`]), and no later hook of the flow is called (the proxy calls those of events that are closed
//!   all the same, in a fresh instance).
//! - Which messages are read-only, which fields belong to the core, which values are legal.
//! - A body is visible only to a hook one of whose matched subscriptions asks for it, up to the largest cap; each subscription
//!   whose cap it is over refuses it, is left out or shows a part.
//! - Options are read from JSON with the same errors.
//! - Requests of the addon's own are legal or [`Invalid`](crate::http::Error::Invalid), are for hooks alone, and no more than 64 a hook.
//! - Flows of one harness share what [`kv`](crate::kv) keeps; what a failed hook wrote stays. Limits of buckets, keys and values
//!   hold; `configure` has no store.
//!
//! # What is not
//!
//! - Filters are not evaluated: the language belongs to the proxy. Every subscription to an event counts as matched, unless the
//!   test says which do ([`Harness::with_matched`]). `tollgate check` reads the filters.
//! - Bodies are given with content codings undone, and are not coded anew. They don't stream: [`Harness::exchange`] calls no
//!   chunk, event or message hook; call those one by one through [`Harness::flow`].
//! - No network is touched: [`Harness::with_http`] answers requests of the addon's own. Grants are not evaluated, redirects are
//!   followed only if the test does so, and URLs are hardly looked at.
//! - No name is looked up: [`Harness::with_dns`] answers; else it is denied.
//! - Nothing is sent later: what a hook put into its outbox is there to look at. The outbox grants everything unless the test says
//!   [`Harness::without_outbox`], and has room for [`Harness::with_outbox_room`] a flow.
//! - The store grants everything unless the test says [`Harness::without_kv`], has no quota, and its time passes by
//!   [`Harness::pass`] alone.
//! - Budgets of time and memory are not enforced; those of bodies and of header fields are the defaults, 10 MiB, and 256 fields
//!   of together 64 KiB.

#![allow(clippy::panic, reason = "a test fails by a panic")]

use std::fmt;

use crate::Error;

mod capture;
pub(crate) mod dns;
mod exchange;
mod flow;
mod harness;
pub(crate) mod http;
pub(crate) mod kv;
mod ledger;
mod messages;
pub(crate) mod outbox;
pub(crate) mod rules;

pub use capture::LogLine;
pub use exchange::{Exchange, Requested, Responded};
pub use flow::TestFlow;
pub use harness::Harness;
pub use messages::{Answer, TestRequest, TestResponse};

/// Facts about the flows of a harness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Default: 1.
    pub id: u64,
    /// Default: `test`.
    pub listener: String,
    /// Default: `192.0.2.1:4711`.
    pub peer: String,
    /// Default: false.
    pub is_tls: bool,
    /// In nanoseconds since the Unix epoch. Default: the first second of 2025.
    pub started: u64,
    /// Default: none.
    pub connect_id: Option<u64>,
    /// Default: none.
    pub proxy_user: Option<String>,
    /// Default: 1.
    pub generation: u64,
    /// Default: `0000000000000001`.
    pub addon_generation: String,
    /// Default: none.
    pub public_origin: Option<String>,
}

/// Why a hook has no verdict. What it staged is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HookFailure {
    /// It returned this error.
    Failed(Error),
    /// It panicked.
    Panicked {
        /// The panic's text.
        message: String,
        /// `file:line:column`.
        place: String,
    },
    /// Its verdict can't be carried out, like a status of 99.
    Verdict(String),
    /// It was not called: the body is over the cap of a subscription with [`OverCap::Refuse`](crate::OverCap::Refuse), so that
    /// the core answers with this status. The only one that no failure policy passes over.
    OverCap(u16),
    /// It was not called: an earlier hook of this flow failed.
    Gone,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            id: 1,
            listener: "test".to_owned(),
            peer: "192.0.2.1:4711".to_owned(),
            is_tls: false,
            started: 1_735_689_600_000_000_000,
            connect_id: None,
            proxy_user: None,
            generation: 1,
            addon_generation: "0000000000000001".to_owned(),
            public_origin: None,
        }
    }
}

impl fmt::Display for HookFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(out, "failed: {error}"),
            Self::Panicked { message, place } => write!(out, "panicked: {message} at {place}"),
            Self::Verdict(text) => write!(out, "gave an impossible verdict: {text}"),
            Self::OverCap(status) => write!(out, "the body is over the cap: {status}"),
            Self::Gone => out.write_str("gone after an earlier failure"),
        }
    }
}

impl std::error::Error for HookFailure {}
