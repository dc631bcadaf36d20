//! An addon at work on one flow.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::Mutex;
use tracing::Instrument;
use wasmtime::Store;

use super::{
    bindings::hooks as wit,
    budget::{self, Budget},
    call::{Course, Unstoppable},
    configure::{not_made, trapped},
    generation::{Code, Generation},
    guest::{self, Guest},
    lines::{cut, one_line},
    over::BudgetKind,
    seats::{Full, Seat},
    stage::{Access, Kind, Stage},
    state::{HostState, Purpose},
    stats::{Alive, Stats},
    tally::Tally,
    ticker::Running,
    verdict,
    wasi::Random,
};
use crate::hooks::{Addon as _, Call, Chunk, Event, Exchange, Facts, Hook, HookError, Instance, Renewal, Verdict};

/// Instance of an addon for one flow; made at its first call.
pub(super) struct FlowInstance {
    shared: Arc<Shared>,
}

struct Shared {
    generation: Arc<Generation>,
    facts: Arc<Facts>,
    slot: Mutex<Slot>,
    // Why it is not the first of its flow.
    renewal: Option<Renewal>,
    // Whether one of them all has failed.
    has_failed: Arc<AtomicBool>,
    had_effect: AtomicBool,
    // Whether an instance was given back, as nothing was kept in it.
    was_let_go: AtomicBool,
}

enum Slot {
    Unborn,
    Alive(Box<Live>),
    // By a quarantine, for the whole flow.
    Refused,
    Gone,
}

/// An instance.
pub(super) struct Live {
    store: Store<HostState>,
    guest: Guest,
    _alive: Alive,
    // None between two flows.
    seat: Option<Seat>,
}

/// What a hook answered, by event.
enum Answer {
    Connect(guest::Answer<wit::ConnectVerdict>, bool),
    Request(guest::Answer<wit::RequestVerdict>),
    Response(guest::Answer<wit::ResponseVerdict>),
    Chunk(guest::Answer<wit::ChunkVerdict>),
    Stream(guest::Answer<wit::SseVerdict>),
    Socket(guest::Answer<wit::WebsocketVerdict>, bool),
    UpstreamError(guest::Answer<Option<wit::MadeResponse>>),
    Finish(guest::Answer<()>),
}

/// Longest error text of a guest that is kept.
const MAX_ERROR: usize = 1 << 10;

const fn event(hook: &Hook) -> Event {
    match hook {
        Hook::Connect(_) => Event::Connect,
        Hook::Request => Event::Request,
        Hook::RequestChunk(_) => Event::RequestChunk,
        Hook::Response => Event::Response,
        Hook::ResponseChunk(_) => Event::ResponseChunk,
        Hook::SseEvent(_) => Event::SseEvent,
        Hook::WebsocketMessage(_) => Event::WebsocketMessage,
        Hook::UpstreamError(_) => Event::UpstreamError,
        Hook::Finish(_) => Event::Finish,
    }
}

impl FlowInstance {
    /// An instance of this generation for this flow.
    pub(super) fn new(generation: Arc<Generation>, facts: Arc<Facts>) -> Self {
        Self::made(generation, facts, None, Arc::default())
    }

    fn made(generation: Arc<Generation>, facts: Arc<Facts>, renewal: Option<Renewal>, has_failed: Arc<AtomicBool>) -> Self {
        let (slot, had_effect, was_let_go) = (Mutex::new(Slot::Unborn), AtomicBool::new(false), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { generation, facts, slot, renewal, has_failed, had_effect, was_let_go }) }
    }
}

impl Instance for FlowInstance {
    fn call(&self, call: Call, exchange: Arc<Exchange>) -> BoxFuture<'static, Result<Verdict, HookError>> {
        let generation = &self.shared.generation;
        let course = Course::new(generation.habits().start(event(&call.hook)));
        let lanes = generation.engine().lanes();
        let work = Arc::clone(&self.shared).call(call, exchange, course.clone()).boxed();
        Unstoppable::new(work, course, lanes, |panic| {
            tracing::error!(panic, "a host function panicked");
            Err(HookError::Trap("a host function panicked".to_owned()))
        })
        .boxed()
    }

    fn had_effect(&self) -> bool {
        self.shared.had_effect.load(Relaxed)
    }

    fn renewed(&self, why: Renewal) -> Box<dyn Instance> {
        let Shared { generation, facts, has_failed, .. } = &*self.shared;
        Box::new(Self::made(Arc::clone(generation), Arc::clone(facts), Some(why), Arc::clone(has_failed)))
    }
}

impl Shared {
    async fn call(self: Arc<Self>, call: Call, exchange: Arc<Exchange>, course: Course) -> Result<Verdict, HookError> {
        let generation = &self.generation;
        let mut tally = Tally::begin(generation.stats(), generation.quarantine(), &self.has_failed);
        let event = event(&call.hook);
        let span = tracing::debug_span!("hook", addon.name = generation.name(), flow.id = self.facts.id, %event);
        let result = self.run(call, exchange, &course, &mut tally).instrument(span).await;
        tally.ended(result.as_ref().err());
        generation.habits().ended(event, &course);
        if course.is_aside() {
            generation.stats().went_aside();
        }
        // Whoever waits for the result tells of it.
        if let Err(error) = result.as_ref()
            && course.is_abandoned()
        {
            tracing::warn!(addon.name = generation.name(), flow.id = self.facts.id, %event, %error, "an abandoned hook failed");
        }
        result
    }

    async fn run(
        &self,
        call: Call,
        exchange: Arc<Exchange>,
        course: &Course,
        tally: &mut Tally<'_>,
    ) -> Result<Verdict, HookError> {
        let mut slot = self.slot.lock().await;
        // Gone until proven well: by an error, a panic or a drop in the middle, the store goes.
        let mut live = match mem::replace(&mut *slot, Slot::Gone) {
            // The flow was let in before.
            Slot::Unborn if self.was_let_go.load(Relaxed) => self.make(event(&call.hook), course).await?,
            Slot::Unborn => {
                let Ok(probe) = self.generation.quarantine().admit(Instant::now(), self.renewal.is_none()) else {
                    *slot = Slot::Refused;
                    return Err(HookError::Quarantined);
                };
                tally.probes(probe);
                if self.renewal == Some(Renewal::Retry) {
                    self.generation.stats().retried();
                }
                self.make(event(&call.hook), course).await?
            }
            Slot::Alive(live) => live,
            Slot::Refused => {
                *slot = Slot::Refused;
                return Err(HookError::Quarantined);
            }
            Slot::Gone => return Err(HookError::Gone),
        };
        course.is_made().await;
        let _running = self.generation.engine().running();
        // Until it is known, as after a panic.
        self.had_effect.store(true, Relaxed);
        let result = live.hook(call, exchange, &self.generation, course).await;
        let state = live.store.data();
        self.had_effect.store(state.had_effect, Relaxed);
        if state.was_store_unavailable {
            tally.excuse();
        }
        let verdict = result?;
        if live.store.data().lets_go {
            self.was_let_go.store(true, Relaxed);
            *slot = Slot::Unborn;
            self.generation.left(live);
        } else if !course.is_abandoned() {
            *slot = Slot::Alive(live);
        }
        Ok(verdict)
    }

    async fn make(&self, event: Event, course: &Course) -> Result<Box<Live>, HookError> {
        let generation = &self.generation;
        let limits = generation.limits();
        let most = limits.instances(generation.engine().max_instances());
        let (stats, seats, name) = (generation.stats(), generation.engine().seats(), &generation.setup().name);
        let seat = if event == Event::Finish || self.was_let_go.load(Relaxed) {
            // Nobody waits for the last hook, and it should come exactly once; who gave its seat back gets one again.
            seats.take_in_time(name, most, tokio::time::Instant::now() + limits.wall).await
        } else {
            seats.take(name, most)
        };
        let seat = seat.inspect_err(|full| {
            if matches!(full, Full::Addon(_)) {
                stats.over(BudgetKind::Instances);
            }
        })?;
        // A second try is to be without what the first one left.
        if self.renewal.is_none()
            && let Some(mut live) = generation.rested()
        {
            live.goes_on(&self.facts, seat);
            stats.reused();
            return Ok(live);
        }
        let alive = Stats::making(stats);
        let (store, guest) = match &*generation.code() {
            Code::Snapshot(code) => {
                let random = Random::system(limits.random);
                let purpose = Purpose { facts: Some(Arc::clone(&self.facts)), random, extra_memory: 0 };
                let mut store = generation.setup().store(purpose);
                let _running: Running = generation.engine().running();
                budget::begin(&mut store, Budget::new(limits.cpu, limits.wall, course.clone()));
                match code.blueprint.instantiate(&mut store).await {
                    Ok(guest) => (store, guest),
                    Err(error) => return Err(not_made(&error, &mut store).into()),
                }
            }
            Code::Replay(code) => {
                let configured =
                    generation.setup().configure(&code.blueprint, Some(Arc::clone(&self.facts)), course.clone()).await?;
                let mut store = configured.store;
                store.data_mut().random = Random::system(limits.random);
                (store, configured.guest)
            }
        };
        Ok(Box::new(Live { store, guest, _alive: alive, seat: Some(seat) }))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Slot::Alive(live) = mem::replace(self.slot.get_mut(), Slot::Gone) {
            self.generation.left(live);
        }
    }
}

impl Live {
    /// Bytes of linear memory.
    pub(super) fn memory(&self) -> usize {
        self.store.data().memory.held()
    }

    /// Its flow needs it no more.
    pub(super) fn rests(&mut self) {
        self.seat = None;
        self.store.data_mut().of_flow(None);
    }

    /// Another flow has it.
    fn goes_on(&mut self, facts: &Arc<Facts>, seat: Seat) {
        self.seat = Some(seat);
        let state = self.store.data_mut();
        state.of_flow(Some(Arc::clone(facts)));
        // One that configured itself would have the numbers of all others.
        state.random = Random::system(state.limits.random);
    }

    async fn hook(
        &mut self,
        call: Call,
        exchange: Arc<Exchange>,
        generation: &Generation,
        course: &Course,
    ) -> Result<Verdict, HookError> {
        let (limits, event) = (generation.limits(), event(&call.hook));
        let grants = &generation.setup().grants;
        let access = match &call.hook {
            _ if !grants.edit => Access::Nothing,
            Hook::Request => Access::Request,
            Hook::Response => Access::Response,
            Hook::SseEvent(_) => Access::Events,
            Hook::Connect(_)
            | Hook::RequestChunk(_)
            | Hook::ResponseChunk(_)
            | Hook::WebsocketMessage(_)
            | Hook::UpstreamError(_) => Access::Notes,
            Hook::Finish(_) => Access::Nothing,
        };
        let mut stage = Stage::new(exchange, access, call.body_cap, *limits, Arc::clone(grants));
        match &call.hook {
            Hook::RequestChunk(Chunk { last: Some(trailers), .. }) => {
                stage = stage.with_trailers(Kind::Request, trailers.clone());
            }
            Hook::ResponseChunk(Chunk { last: Some(trailers), .. }) => {
                stage = stage.with_trailers(Kind::Response, trailers.clone());
            }
            _ => {}
        }
        let cpu = limits.cpu_for(stage.shown_bytes().saturating_add(call.hook.bytes()));
        budget::begin(&mut self.store, Budget::new(cpu, limits.wall, course.clone()));
        let state = self.store.data_mut();
        state.stage = Some(stage);
        state.random.refill(limits.random);
        state.had_effect = false;
        state.lets_go = false;
        state.was_store_unavailable = false;
        state.calls.refill();
        state.posting.refill();
        let result = self.guest(call).await;
        let state = self.store.data_mut();
        let mut edits = state.stage.take();
        state.outcome = None;
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => return Err(trapped(&error, &mut self.store).into()),
        };
        let verdict = match answer {
            Answer::Connect(Ok(verdict), may_intercept) => verdict::connect(verdict, may_intercept),
            Answer::Request(Ok(verdict)) => verdict::request(verdict, limits),
            Answer::Response(Ok(verdict)) => verdict::response(verdict, limits),
            Answer::Chunk(Ok(verdict)) => verdict::chunk(verdict, edits.as_mut().and_then(Stage::edited_trailers), limits),
            Answer::Stream(Ok(verdict)) => verdict::stream(verdict, edits.as_ref().is_some_and(Stage::ends_events), limits),
            Answer::Socket(Ok(verdict), is_text) => verdict::socket(verdict, is_text, limits),
            Answer::UpstreamError(Ok(verdict)) => verdict::upstream_error(verdict, limits),
            Answer::Finish(Ok(())) => Ok(Verdict::Next),
            Answer::Connect(Err(text), _)
            | Answer::Request(Err(text))
            | Answer::Response(Err(text))
            | Answer::Chunk(Err(text))
            | Answer::Stream(Err(text))
            | Answer::Socket(Err(text), _)
            | Answer::UpstreamError(Err(text))
            | Answer::Finish(Err(text)) => {
                return Err(HookError::Failed(one_line(cut(&text, MAX_ERROR)).into_owned()));
            }
        };
        let verdict = verdict.map_err(HookError::Verdict)?;
        grants.check_verdict(&verdict).map_err(HookError::Verdict)?;
        if let Some(edits) = edits.filter(|_| !course.is_abandoned()) {
            edits.commit(generation.name(), event);
        }
        Ok(verdict)
    }

    async fn guest(&mut self, call: Call) -> wasmtime::Result<Answer> {
        let (guest, store, matched) = (&self.guest, &mut self.store, &call.matched);
        Ok(match call.hook {
            Hook::Connect(connecting) => {
                Answer::Connect(guest.on_connect(store, matched, &connecting).await?, connecting.may_intercept)
            }
            Hook::Request => Answer::Request(guest.on_request(store, matched).await?),
            Hook::Response => Answer::Response(guest.on_response(store, matched).await?),
            Hook::RequestChunk(chunk) => Answer::Chunk(guest.on_request_chunk(store, matched, &chunk).await?),
            Hook::ResponseChunk(chunk) => Answer::Chunk(guest.on_response_chunk(store, matched, &chunk).await?),
            Hook::SseEvent(event) => Answer::Stream(guest.on_sse_event(store, matched, event).await?),
            Hook::WebsocketMessage(message) => {
                Answer::Socket(guest.on_websocket_message(store, matched, &message).await?, message.is_text)
            }
            Hook::UpstreamError(failure) => {
                Answer::UpstreamError(guest.on_upstream_error(store, matched, &verdict::failure(failure)).await?)
            }
            Hook::Finish(outcome) => {
                store.data_mut().outcome = Some(outcome);
                Answer::Finish(guest.on_finish(store, matched).await?)
            }
        })
    }
}
