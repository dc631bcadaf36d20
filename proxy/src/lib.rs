//! Tollgate: a programmable HTTP proxy whose addons are sandboxed WebAssembly components.
//!
//! ARCHITECTURE.md at the root of the repository tells where what is done, and what must stay true.

pub mod addons;
pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod dns;
pub mod filter;
pub mod flow;
mod heavy;
pub mod hooks;
pub mod http;
pub mod http1;
pub mod http2;
pub mod json;
mod key_log;
pub mod kv;
pub mod logging;
pub mod metrics;
pub mod mint;
pub mod options;
pub mod outbound;
mod patience;
pub mod record;
pub mod routes;
mod secret;
pub mod server;
mod socket;
pub mod targets;
pub mod upstream;
pub mod users;
pub mod websocket;
