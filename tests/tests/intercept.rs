//! Forward listeners that look into what clients send through CONNECT, from outside.
#![cfg(test)]

#[path = "intercept/authority.rs"]
mod authority;
#[path = "intercept/common.rs"]
mod common;
#[path = "intercept/crowds.rs"]
mod crowds;
#[path = "intercept/handshakes.rs"]
mod handshakes;
#[path = "intercept/lists.rs"]
mod lists;
#[path = "intercept/requests.rs"]
mod requests;
