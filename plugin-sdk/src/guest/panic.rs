//! Tells the host why an instance is about to trap.

use std::panic::{self, PanicHookInfo};

use super::bindings::tollgate::addon::log;

/// Takes the place of the hook that would print to standard error, and so acquire a handle.
pub(super) fn install() {
    panic::set_hook(Box::new(report));
}

fn report(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a panic without text");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    log::panicked(message, &place);
}
