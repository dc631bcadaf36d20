//! A proxy with guests as its addons, and what changes them while it runs.
//!
//! Guests are built by `cargo xtask build --addons` from `tests/guests/`. What [`guest`] `"scripted"` does is said by its options:
//! see `tests/guests/scripted/src/script.rs`. Hostile ones are text, which tests make components of: see [`hostile`].

mod admin;
mod callbacks;
mod components;
mod controller;
mod fediverse;
mod guarded;
mod homeserver;
mod hosted;
mod hostile;
mod load;
mod service;
mod shelf;
mod siege;
mod versions;

pub use admin::Admin;
pub use callbacks::{CallbackServer, Called, Reply};
pub use components::{
    bundled, core_module, drop_in, drop_in_slowly, empty_component, exporting, guest, importing, rebuilt, sha256, take_out,
};
pub use controller::Controller;
pub use fediverse::Fediverse;
pub use guarded::{Guarded, hooks};
pub use homeserver::{Homeserver, user_of};
pub use hosted::{Hosted, HostedBuilder};
pub use hostile::{escaped, hostile, hostile_as};
pub use load::{Load, Tally};
pub use service::Service;
pub use shelf::Shelf;
pub use siege::Siege;
pub use versions::{seen_whole, seen_whole_if_at_all, versioned};
