//! What becomes of flows, in the harness of the SDK: no proxy, no WebAssembly, and time that passes by the test alone.
#![cfg(test)]
#![allow(clippy::expect_used, clippy::needless_pass_by_value, reason = "tests, in which json! reads better without &")]

#[path = "hooks/common.rs"]
mod common;
#[path = "hooks/freshness.rs"]
mod freshness;
#[path = "hooks/invalidation.rs"]
mod invalidation;
#[path = "hooks/options.rs"]
mod options;
#[path = "hooks/stampede.rs"]
mod stampede;
#[path = "hooks/store.rs"]
mod store;
#[path = "hooks/users.rs"]
mod users;
#[path = "hooks/validation.rs"]
mod validation;
#[path = "hooks/variants.rs"]
mod variants;
