//! Who comes through a forward listener, where to, and how it goes on: from outside.
#![cfg(test)]

#[path = "gate/common.rs"]
mod common;
#[path = "gate/connect.rs"]
mod connect;
#[path = "gate/failing.rs"]
mod failing;
#[path = "gate/guesses.rs"]
mod guesses;
#[path = "gate/identity.rs"]
mod identity;
#[allow(dead_code, reason = "tests of interception share more")]
#[path = "intercept/common.rs"]
mod intercepting;
#[path = "gate/mirror.rs"]
mod mirror;
#[path = "gate/p12.rs"]
mod p12;
#[path = "gate/users.rs"]
mod users;
