//! A real Synapse, Tollgate before it, and version-clamp dropped in, replaced and removed.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "what tests share fails as they do: by panicking")]

mod clamp;
mod conversation;
mod fence;
mod media;
mod reload;
