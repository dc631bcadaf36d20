//! Running `configure`, and checking what it answers.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::Store;

use super::{
    bindings::hooks as wit,
    budget::{self, Budget, Over},
    call::Course,
    component::{Compiled, LoadError, RefusedOption, chain},
    engine::Engine,
    grants::Grants,
    guest::{Blueprint, Guest},
    limits::Limits,
    lines::{Lines, cut, one_line},
    over::BudgetKind,
    state::{HostState, Purpose},
    stats::Stats,
    wasi::Random,
};
use crate::{
    filter::Filter,
    hooks::{BodyMode, Event, Facts, OverCap, Subscription},
};

/// What an addon is configured with, each time that it is.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) engine: Engine,
    pub(super) name: Arc<str>,
    pub(super) limits: Limits,
    pub(super) grants: Arc<Grants>,
    /// The document.
    pub(super) options: Arc<str>,
    /// Names the options as they were put in force: new code leaves it as it is.
    pub(super) generation: Arc<str>,
    /// For the random numbers of `configure`.
    pub(super) seed: [u8; 32],
    pub(super) lines: Lines,
    pub(super) stats: Arc<Stats>,
}

/// An instance whose `configure` has run.
pub(super) struct Configured {
    pub(super) store: Store<HostState>,
    pub(super) guest: Guest,
    pub(super) answer: Vec<wit::Subscription>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not be made; the text says why.
    Instance(String),
    /// Its hooks have other types.
    WrongWorld(String),
    /// It ended in a trap.
    Trap(String),
    /// It used up its time.
    Over(Over),
    /// The options are not to its liking.
    Refused(Vec<RefusedOption>),
}

/// Most subscriptions of one addon.
const MAX_SUBSCRIPTIONS: usize = 256;
/// Longest filter in bytes.
const MAX_FILTER: usize = 64 << 10;
/// Most refused options that are shown, and bytes of each.
const MAX_REFUSED: usize = 100;
const MAX_REFUSED_TEXT: usize = 1 << 10;

impl Setup {
    /// The seed of these options for this code, in this installation.
    pub(super) fn seed(engine: &Engine, code: &Compiled, options: &str) -> [u8; 32] {
        Sha256::new().chain_update(engine.secret()).chain_update(code.sha256).chain_update(options).finalize().into()
    }

    /// Makes an instance and runs its `configure`; outside of a flow, all its hooks are held against the world first. To be
    /// awaited to its end.
    pub(super) async fn configure(
        &self,
        blueprint: &Blueprint,
        facts: Option<Arc<Facts>>,
        course: Course,
    ) -> Result<Configured, Failure> {
        let is_first = facts.is_none();
        let random = Random::seeded(self.seed, self.limits.random);
        let mut store = self.store(Purpose { facts, random, extra_memory: 0 });
        let _running = self.engine.running();
        budget::begin(&mut store, Budget::configure(self.limits.configure, course));
        let guest = match blueprint.instantiate(&mut store).await {
            Ok(guest) => guest,
            Err(error) => return Err(not_made(&error, &mut store)),
        };
        if is_first && let Err(error) = guest.check(&mut store) {
            return Err(Failure::WrongWorld(chain(&error)));
        }
        match guest.configure(&mut store, &self.options).await {
            Ok(Ok(answer)) => Ok(Configured { store, guest, answer }),
            Ok(Err(refused)) => Err(Failure::Refused(refused.iter().take(MAX_REFUSED).map(shown).collect())),
            Err(error) => Err(trapped(&error, &mut store)),
        }
    }
}

/// Why an instance could not be made: its start code may have trapped, or there was no room.
pub(super) fn not_made(error: &wasmtime::Error, store: &mut Store<HostState>) -> Failure {
    match trapped(error, store) {
        Failure::Trap(text) if error.downcast_ref::<wasmtime::Trap>().is_none() => Failure::Instance(text),
        failure => failure,
    }
}

/// Why a call ended without an answer.
pub(super) fn trapped(error: &wasmtime::Error, store: &mut Store<HostState>) -> Failure {
    let state = store.data_mut();
    if let Some(kind) = BudgetKind::of(error) {
        state.stats.over(kind);
    }
    match error.downcast_ref::<Over>() {
        Some(over) => Failure::Over(*over),
        None => Failure::Trap(one_line(&state.explain(error)).into_owned()),
    }
}

/// What the core makes of the addon's answer; all that is wrong with it at once.
pub(super) fn check(answer: &[wit::Subscription], limits: &Limits) -> Result<Vec<Subscription>, LoadError> {
    if answer.len() > MAX_SUBSCRIPTIONS {
        return Err(LoadError::Subscriptions(vec![format!("{} of them, limit {MAX_SUBSCRIPTIONS}", answer.len())]));
    }
    let mut problems = Vec::new();
    let mut subscriptions = Vec::with_capacity(answer.len());
    for (index, wanted) in answer.iter().enumerate() {
        match subscription(wanted, limits) {
            Ok(subscription) => subscriptions.push(subscription),
            Err(problem) => problems.push(format!("[{index}] {}: {problem}", Event::from(wanted.event))),
        }
    }
    if problems.is_empty() { Ok(subscriptions) } else { Err(LoadError::Subscriptions(problems)) }
}

fn subscription(wanted: &wit::Subscription, limits: &Limits) -> Result<Subscription, String> {
    let event = Event::from(wanted.event);
    if wanted.filter.len() > MAX_FILTER {
        return Err(format!("a filter of {} bytes, limit {MAX_FILTER}", wanted.filter.len()));
    }
    let filter =
        Filter::parse(&wanted.filter).map_err(|error| format!("filter, at position {}: {}", error.position, error.message))?;
    let body = match &wanted.body {
        wit::BodyMode::None => BodyMode::None,
        wit::BodyMode::Full(full) => BodyMode::Full { cap: cap(full, limits)?, over_cap: over_cap(full.over_cap) },
    };
    let looks_at_body = match event {
        Event::Request | Event::RequestChunk => filter.needs_request_body(),
        _ => filter.needs_request_body() || filter.needs_response_body(),
    };
    match (event, body) {
        (Event::Request | Event::Response, BodyMode::None) if looks_at_body => {
            Err("the filter looks at the body (~b, ~bq, ~bs), so the subscription needs body full".to_owned())
        }
        (
            Event::Connect
            | Event::RequestChunk
            | Event::ResponseChunk
            | Event::SseEvent
            | Event::WebsocketMessage
            | Event::UpstreamError
            | Event::Finish,
            _,
        ) if looks_at_body => Err("the filter looks at the body (~b, ~bq, ~bs), which this event does not have".to_owned()),
        (Event::SseEvent | Event::WebsocketMessage, BodyMode::Full { over_cap: OverCap::Truncate, .. }) => {
            Err("messages and events are not truncated: refuse or pass-unseen".to_owned())
        }
        // So that there is always a bound.
        (Event::SseEvent | Event::WebsocketMessage, BodyMode::None) => {
            let body = BodyMode::Full { cap: limits.max_body, over_cap: OverCap::Refuse };
            Ok(Subscription { event, filter, filter_text: wanted.filter.clone(), body })
        }
        (Event::Connect | Event::UpstreamError | Event::Finish, BodyMode::Full { .. }) => {
            Err("body full is for messages and their pieces only".to_owned())
        }
        _ => Ok(Subscription { event, filter, filter_text: wanted.filter.clone(), body }),
    }
}

fn cap(full: &wit::BodyCap, limits: &Limits) -> Result<usize, String> {
    let Some(cap) = full.cap else { return Ok(limits.max_body) };
    usize::try_from(cap)
        .ok()
        .filter(|cap| *cap <= limits.max_body)
        .ok_or_else(|| format!("a body cap of {cap} bytes is over max_body ({})", limits.max_body))
}

const fn over_cap(wanted: wit::OverCap) -> OverCap {
    match wanted {
        wit::OverCap::Refuse => OverCap::Refuse,
        wit::OverCap::PassUnseen => OverCap::PassUnseen,
        wit::OverCap::Truncate => OverCap::Truncate,
    }
}

fn shown(option: &wit::OptionError) -> RefusedOption {
    let short = |text: &str| one_line(cut(text, MAX_REFUSED_TEXT)).into_owned();
    RefusedOption { path: short(&option.path), message: short(&option.message) }
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Self {
        match event {
            wit::Event::Connect => Self::Connect,
            wit::Event::Request => Self::Request,
            wit::Event::RequestChunk => Self::RequestChunk,
            wit::Event::Response => Self::Response,
            wit::Event::ResponseChunk => Self::ResponseChunk,
            wit::Event::SseEvent => Self::SseEvent,
            wit::Event::WebsocketMessage => Self::WebsocketMessage,
            wit::Event::UpstreamError => Self::UpstreamError,
            wit::Event::Finish => Self::Finish,
        }
    }
}

impl From<Failure> for LoadError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Instance(text) => Self::Instance(text),
            Failure::WrongWorld(text) => Self::WrongWorld(text),
            Failure::Trap(text) => Self::Configure(text),
            Failure::Over(over) => Self::Configure(over.to_string()),
            Failure::Refused(options) => Self::Options(options),
        }
    }
}
