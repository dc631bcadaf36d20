//! The addon `federation`, from outside.
#![cfg(test)]

#[path = "federation/common.rs"]
mod common;
#[path = "federation/inbound.rs"]
mod inbound;
#[path = "intercept/common.rs"]
#[allow(dead_code, reason = "tests of interception use more of it")]
mod intercept;
#[path = "federation/list.rs"]
mod list;
#[path = "federation/outbound.rs"]
mod outbound;
