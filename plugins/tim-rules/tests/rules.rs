//! The rules, each with what it lets through and what not.
#![cfg(test)]
#![allow(clippy::panic, reason = "helpers of tests")]

#[path = "rules/common.rs"]
mod common;
#[path = "rules/invitations.rs"]
mod invitations;
#[path = "rules/messages.rs"]
mod messages;
#[path = "rules/options.rs"]
mod options;
#[path = "rules/others.rs"]
mod others;
#[path = "rules/redactions.rs"]
mod redactions;
#[path = "rules/rooms.rs"]
mod rooms;
