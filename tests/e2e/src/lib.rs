//! What the end-to-end tests stand on: a real Synapse on loopback, Tollgate before it, Matrix users, and their traffic in the
//! background.
//!
//! Synapse runs in the Python that `TOLLGATE_E2E_PYTHON` names; `cargo xtask e2e` installs it, builds addons and proxy, and
//! runs the tests.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a harness fails by panicking: that is how a test learns of it"
)]

pub mod components;
mod federation;
mod stage;
mod suite;
mod synapse;
mod traffic;
mod user;
mod versions;

pub use federation::{Federation, Home, Registration};
pub use stage::{CLAMP, Stage};
pub use suite::Suite;
pub use synapse::Synapse;
pub use traffic::Traffic;
pub use user::{User, encoded, json_request};
pub use versions::Versions;
