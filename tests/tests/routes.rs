//! Routes of listeners: what goes elsewhere, what is answered by the proxy, and what no way of asking gets past.
#![cfg(test)]

#[path = "routes/actions.rs"]
mod actions;
#[path = "routes/attacks.rs"]
mod attacks;
#[path = "routes/common.rs"]
mod common;
#[path = "routes/forward.rs"]
mod forward;
#[path = "routes/hooks.rs"]
mod hooks;
