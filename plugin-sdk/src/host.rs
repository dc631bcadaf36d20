//! The host's side of the resources: in a component the imports of the world, elsewhere what the test harness keeps in
//! memory. Both have the same types with the same methods; the wrappers that addons see are written once, on top.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::{dns::srv, http::send, kv, outbox::put};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{BodyView, Flow, Outcome, Request, Response, Stage, Staging, edit, message_counts, mutation, origin};
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::{Flow, Outcome, Request, Response, edit, kv, message_counts, mutation, origin, outbox::put, send, srv};
