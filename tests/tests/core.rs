//! The proxy core from outside: raw clients and raw origins around the real binary, no addon between.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a test speaks, in its helpers too"
)]

#[path = "core/abuse_http2.rs"]
mod abuse_http2;
#[path = "core/common.rs"]
mod common;
#[path = "core/connections.rs"]
mod connections;
#[path = "core/framing.rs"]
mod framing;
#[path = "core/framing_http2.rs"]
mod framing_http2;
#[path = "core/headers.rs"]
mod headers;
#[path = "core/interim.rs"]
mod interim;
#[path = "core/lifecycle.rs"]
mod lifecycle;
#[path = "core/limits.rs"]
mod limits;
#[path = "core/protocols.rs"]
mod protocols;
#[path = "core/responses.rs"]
mod responses;
#[path = "core/streaming.rs"]
mod streaming;
#[path = "core/timeouts.rs"]
mod timeouts;
#[path = "core/upgrade.rs"]
mod upgrade;
