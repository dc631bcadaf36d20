//! The `outbox` interface: what a guest wants sent later.

use std::{sync::Arc, time::Duration};

use super::{
    bindings::outbox::{self as wit, Error as WitError},
    configure::Setup,
    http,
    state::HostState,
    stats::Stats,
};
use crate::outbound::{Caller, Carrier, Error, Letter, Refused, Room};

/// What the outbox of one instance goes by.
pub(super) struct Posting {
    carrier: Carrier,
    addon: Arc<str>,
    stats: Arc<Stats>,
    room: Room,
    caller: Caller,
    /// In this hook.
    made: u32,
}

/// Requests that one hook may put in, refused ones included.
const PER_HOOK: u32 = 64;
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_TIMEOUT: u64 = 60_000;
const LIFETIME: Duration = Duration::from_hours(1);
const MAX_LIFETIME: u64 = 86_400_000;

impl Posting {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            carrier: setup.engine.carrier().clone(),
            addon: Arc::clone(&setup.name),
            stats: Arc::clone(&setup.stats),
            room: setup.limits.outbox,
            // The listener's own upstream is granted like any other: nobody sees there whose request it is.
            caller: Caller { grants: setup.grants.outbox.clone(), upstream: None, way: None },
            made: 0,
        }
    }

    /// A hook begins.
    pub(super) const fn refill(&mut self) {
        self.made = 0;
    }
}

impl wit::Host for HostState {
    fn put(&mut self, request: wit::Request, options: wit::Options) -> wasmtime::Result<Result<(), WitError>> {
        let result = self.post(request, options);
        // Nobody can call it back.
        self.had_effect |= result.is_ok();
        Ok(result)
    }
}

impl HostState {
    fn post(&mut self, request: wit::Request, options: wit::Options) -> Result<(), WitError> {
        if self.stage.is_none() {
            return Err(WitError::Denied("requests are for hooks, and this is none".to_owned()));
        }
        self.posting.made = self.posting.made.saturating_add(1);
        if self.posting.made > PER_HOOK {
            return Err(WitError::Full(format!("{PER_HOOK} requests were put in by this hook already, limit {PER_HOOK}")));
        }
        let letter = Letter {
            timeout: within("timeout", options.timeout, MAX_TIMEOUT)?.unwrap_or(TIMEOUT),
            lifetime: within("lifetime", options.lifetime, MAX_LIFETIME)?.unwrap_or(LIFETIME),
            request: http::legal(&self.limits, request).map_err(refused)?,
            caller: self.posting.caller.clone(),
        };
        let Posting { carrier, addon, stats, room, .. } = &self.posting;
        stats.outbox.put(addon, letter, *room, carrier).map_err(|error| match error {
            Refused::Never(error) => refused(error),
            Refused::Full(text) => WitError::Full(text),
        })
    }
}

fn within(name: &str, milliseconds: Option<u64>, most: u64) -> Result<Option<Duration>, WitError> {
    match milliseconds {
        Some(value) if value == 0 || value > most => Err(WitError::Invalid(format!("{value} ms of {name}, limit 1 to {most}"))),
        value => Ok(value.map(Duration::from_millis)),
    }
}

fn refused(error: Error) -> WitError {
    match error {
        Error::Denied(text) => WitError::Denied(text),
        Error::Invalid(text) => WitError::Invalid(text),
        other => WitError::Invalid(other.to_string()),
    }
}
