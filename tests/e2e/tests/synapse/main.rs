//! A real Synapse, Tollgate before it, and version-clamp dropped in, replaced and removed.

mod clamp;
mod conversation;
mod fence;
mod media;
mod reload;
