//! The addon `policy` at work: event hooks, policy checks and who is asking, over the wire.
#![cfg(test)]

#[path = "policy/actions.rs"]
mod actions;
#[path = "policy/bodies.rs"]
mod bodies;
#[path = "policy/checks.rs"]
mod checks;
#[path = "policy/events.rs"]
mod events;
#[path = "policy/identity.rs"]
mod identity;
#[path = "policy/load.rs"]
mod load;
#[path = "policy/seed.rs"]
mod seed;
#[path = "policy/services.rs"]
mod services;
