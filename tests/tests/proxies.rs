//! Proxies on the way to upstreams: HTTP and SOCKS 5, with and without TLS.
#![cfg(test)]

#[path = "proxies/common.rs"]
mod common;
#[path = "proxies/failures.rs"]
mod failures;
#[path = "proxies/http.rs"]
mod http;
#[path = "proxies/lists.rs"]
mod lists;
#[path = "proxies/socks.rs"]
mod socks;
