//! What black-box tests of Tollgate stand on: the real binary as a child process, clients and origins that say exactly what a
//! test wants and read strictly what comes, and patience in place of sleeps.
//!
//! The binary is the one beside the tests (`target/debug/tollgate`); `cargo xtask test` builds it first. See [`Tollgate`].

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a harness fails by panicking: that is how a test learns of it"
)]

pub mod addons;
mod body;
mod client;
mod curl;
mod dns;
mod echo;
mod frames;
pub mod har;
mod origin;
mod patience;
mod ports;
mod raw;
mod redis;
mod tls;
mod tollgate;
mod websocket;
mod wire;

pub use body::{BoxBody, ChunkSender, channel, empty, full};
pub use client::{Answer, Client, Version};
pub use curl::{Curl, CurlAnswer};
pub use dns::{Manner, NameServer, SrvRecord};
pub use echo::{Echo, Echoed};
pub use frames::{Frame, FrameClient, FrameOrigin, block};
pub use origin::{Conversation, RawOrigin};
pub use patience::{PATIENCE, eventually, within};
pub use ports::Port;
pub use raw::RawClient;
pub use redis::RedisServer;
pub use tls::{Authority, Identity};
pub use tollgate::{Builder, Ended, Tollgate};
pub use websocket::{
    FromServer, SocketClient, SocketEnd, SocketFrame, accept_of, close_payload, from_client, from_server, sockets, switch,
};
pub use wire::{Fields, Framing, Request, Response, Wire, WireError};
