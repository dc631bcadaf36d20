//! A real Synapse, Tollgate before it, version-clamp dropped in, replaced and removed, and policy enforced on people.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "what tests share fails as they do: by panicking")]

mod callback;
mod clamp;
mod conversation;
mod fence;
mod media;
mod policy;
mod reload;
