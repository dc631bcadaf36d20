//! Event hooks, as flows meet them.
#![cfg(test)]
#![allow(clippy::panic, reason = "helpers of tests")]
#![allow(clippy::needless_pass_by_value, reason = "reads better with json!")]

#[path = "hooks/after.rs"]
mod after;
#[path = "hooks/asynchronous.rs"]
mod asynchronous;
#[path = "hooks/chains.rs"]
mod chains;
#[path = "hooks/common.rs"]
mod common;
#[path = "hooks/consultation.rs"]
mod consultation;
#[path = "hooks/document.rs"]
mod document;
#[path = "hooks/nesting.rs"]
mod nesting;
#[path = "hooks/replies.rs"]
mod replies;
#[path = "hooks/requests.rs"]
mod requests;
#[path = "hooks/rules.rs"]
mod rules;
#[path = "hooks/schema.rs"]
mod schema;
#[path = "hooks/seed.rs"]
mod seed;
#[path = "hooks/subscriptions.rs"]
mod subscriptions;
#[path = "hooks/types.rs"]
mod types;
