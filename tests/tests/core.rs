//! The proxy core from outside: raw clients and raw origins around the real binary, no addon between.
#![cfg(test)]

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
#[path = "core/responses_http2.rs"]
mod responses_http2;
#[path = "core/slow.rs"]
mod slow;
#[path = "core/streaming.rs"]
mod streaming;
#[path = "core/timeouts.rs"]
mod timeouts;
#[path = "core/upgrade.rs"]
mod upgrade;
