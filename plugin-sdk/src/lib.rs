//! What addons for Tollgate are written with.
//!
//! An addon is a type that implements [`Addon`]; [`export!`] makes a component of the crate that holds it:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//! ```
//!
//! ```sh
//! cargo build --target wasm32-wasip2 --release
//! ```
//!
//! The `.wasm` file goes into the proxy's `plugins/` folder. Under plain `cargo test` the same hooks run natively in a
#![cfg_attr(not(target_arch = "wasm32"), doc = "[`testing::Harness`].")]
#![cfg_attr(target_arch = "wasm32", doc = "test harness.")]
//!
//! # What an addon may not assume
//!
//! - That a hook is called at all: a flow that matches none of its subscriptions never creates an instance of it.
//! - That anything it keeps in memory is seen by another flow: each flow has an instance of its own.
//! - That `configure` ran in the process that runs the hook: an instance starts from a copy of the memory of a configured one.
//!   Hash seeds are part of that copy. So `configure` must not keep anything of the host's, nor print, nor read a clock.
//!
//! # Requests of its own
//!
//! [`http`] sends them, to what the configuration grants.
//!
//! [`outbox`] has the proxy send them later, while nobody waits.
//!
//! # What outlives a flow
//!
//! [`kv`] keeps keys and values for the addon, if the configuration grants it.
//!
//! # Where services are
//!
//! [`dns`] looks up SRV records, if the configuration grants it.
//!
//! # Logging
//!
//! The macros of the `log` crate (also here as `tollgate_sdk::log`) write log lines that carry the addon's name, with structured
//! fields as in `log::info!(user = "@a:b"; "clamped")`, from `configure` on. A panic is reported with its message and place.

mod addon;
pub mod dns;
mod error;
mod event;
mod export;
mod flow;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod host;
pub mod http;
pub mod kv;
mod logging;
mod made;
mod message;
mod mutation;
mod options;
pub mod outbox;
mod subscription;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod url;
mod verdict;

pub use addon::Addon;
pub use error::{EditError, Error};
pub use event::{Chunk, FailureKind, MessageCounts, Outcome, SseEvent, UpstreamFailure, WebsocketKind, WebsocketMessage};
pub use flow::{Flow, Origin};
pub use made::{Header, MadeResponse, Refusal};
pub use message::{JsonError, Request, Response};
pub use mutation::{BodyDigest, Change, MessageKind, Mutation};
pub use options::{NoOptions, OptionError, OptionErrors};
pub use subscription::{BodyMode, Event, OverCap, Subscription};
pub use url::{Query, Segment};
pub use verdict::{ChunkAction, ChunkVerdict, ConnectVerdict, RequestVerdict, ResponseVerdict, SseVerdict, WebsocketVerdict};

pub use log;
pub use serde_json;
