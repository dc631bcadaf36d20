//! Options that change while flows run.

pub mod core;
