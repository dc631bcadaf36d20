//! Recordings: what is in them, what never is, and what becomes of them when things go wrong.
#![cfg(test)]

#[path = "record/files.rs"]
mod files;
#[path = "record/flows.rs"]
mod flows;
#[path = "record/losses.rs"]
mod losses;
#[path = "record/secrets.rs"]
mod secrets;
