//! The addon host: WebAssembly components as an implementation of [`crate::hooks`].
//!
//! The way of an addon from its file to a flow: `watch` sees the file, `loader` reads it, `component` compiles it and
//! holds it against the world, `configure` runs its `configure`, `generation` is what flows then use, at first by
//! replaying `configure`, soon from the `snapshot` of a configured instance. `registry` holds what is in force.
//! In a flow, `instance` runs the hooks of a `guest` under a `budget`, on messages staged in `stage`.

mod aside;
mod bindings;
mod budget;
mod cache;
mod call;
mod changes;
mod component;
mod configure;
mod dns;
mod engine;
mod entry;
mod flow;
mod follow;
mod force;
mod generation;
mod grants;
mod guest;
mod habit;
mod hold;
mod http;
mod inspect;
mod instance;
mod kv;
mod limits;
mod lines;
mod loader;
mod log;
mod mutations;
mod options;
mod outbox;
mod over;
mod placeholder;
mod quarantine;
mod registry;
mod rest;
mod seats;
mod settings;
mod snapshot;
mod stage;
mod state;
mod stats;
mod status;
mod tally;
mod ticker;
mod verdict;
mod wasi;
mod watch;

pub use component::{LoadError, RefusedOption};
pub use engine::Engine;
pub use grants::{Asked, Grants, Names, Violation};
pub use hold::Prepared;
pub use inspect::{Import, Inspection, inspect};
pub use limits::{InstanceUse, Limits};
pub use options::{Document, OptionsSourceKind, OptionsStatus};
pub use registry::{ChangeError, Registry, StartError};
pub use settings::{AddonSettings, OptionsSource, OptionsUrl, Settings};
pub use stats::{Counters, HttpCounters, KvCounters};
pub use status::{AddonStatus, QuarantineState, QuarantineStatus, Readiness, State, SubscriptionStatus};
