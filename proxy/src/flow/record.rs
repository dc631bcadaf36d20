//! What is known of a flow beyond its messages: its instances, its counters, and its end, exactly once.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{Destination, EndedFlow, Flows, Recent, Site, failure, filters, respond};
use crate::{
    heavy,
    hooks::{Call, Chain, Digest, Event, Exchange, Facts, Hook, Instance, Ledger, MessageCounts, Outcome, ResponseMessage},
    http::Headers,
    options::core::Options,
    record::{Sent, Tape},
};

/// A flow from its first hook to its last.
pub struct Record {
    /// What never changes.
    pub facts: Arc<Facts>,
    destination: Destination,
    /// Where options or a route lead it instead.
    moved: OnceLock<Destination>,
    /// Path and query that a route sends it under.
    rerouted: OnceLock<Bytes>,
    /// Options that are set and that it keeps; none also where they are not to see it.
    pub(super) options: Option<Arc<Options>>,
    /// The chain that the flow started with and keeps.
    pub chain: Arc<Chain>,
    /// The settings that it keeps.
    pub site: Arc<Site>,
    /// What the client asked with, whatever a hook made of it: decides whether a response can have a body.
    pub(crate) method: Method,
    /// Whether the upstream has answered.
    pub(super) was_answered: AtomicBool,
    /// What the client takes, in its Accept-Encoding fields, whatever a hook made of them.
    pub(crate) accept_encoding: Headers,
    /// The messages.
    pub exchange: Arc<Exchange>,
    /// Body bytes from the client.
    pub request_bytes: AtomicU64,
    /// Body bytes to the client.
    pub response_bytes: AtomicU64,
    begun: Instant,
    /// Counts `finish` events under way, so that a stop can wait for them.
    tasks: TaskTracker,
    /// Where flows are remembered, if they are.
    recent: Option<Arc<Recent>>,
    /// What is recorded of the flow, if it is.
    pub(crate) tape: Option<Arc<Tape>>,
    /// Counts hooks that decide about pieces of the request's body, which may go on when the response is over.
    uploads: OnceLock<TaskTracker>,
    instances: Mutex<Vec<Option<Arc<dyn Instance>>>>,
    ending: Mutex<Outcome>,
    stopper: OnceLock<(usize, String)>,
    /// Of messages or events, from the first on that hooks may be asked about.
    pub(crate) counts: Mutex<Option<MessageCounts>>,
}

/// Ends its flow when it is dropped: as complete if it was told so, else as broken off.
pub struct Ending {
    record: Arc<Record>,
    is_complete: bool,
}

impl Record {
    /// A flow that starts now.
    pub(super) fn new(
        facts: Facts,
        destination: Destination,
        chain: Arc<Chain>,
        site: Arc<Site>,
        options: Option<Arc<Options>>,
        (exchange, tape): (Exchange, Option<Arc<Tape>>),
        flows: &Flows,
    ) -> Arc<Self> {
        let instances = Mutex::new(vec![None; chain.addons.len()]);
        let (method, accept_encoding) = {
            let head = &exchange.lock().request.head;
            (head.method.clone(), head.headers.iter().filter(|field| field.is("accept-encoding")).cloned().collect())
        };
        Arc::new(Self {
            facts: Arc::new(facts),
            destination,
            moved: OnceLock::new(),
            rerouted: OnceLock::new(),
            options,
            chain,
            site,
            method,
            was_answered: AtomicBool::new(false),
            accept_encoding,
            exchange: Arc::new(exchange),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            begun: Instant::now(),
            tasks: flows.tasks.clone(),
            recent: flows.recent.clone(),
            tape,
            uploads: OnceLock::new(),
            instances,
            ending: Mutex::default(),
            stopper: OnceLock::new(),
            counts: Mutex::default(),
        })
    }

    /// The instance of the addon at `index` for this flow.
    pub fn instance(&self, index: usize) -> Option<Arc<dyn Instance>> {
        let addon = self.chain.addons.get(index)?;
        let mut instances = self.instances.lock();
        let slot = instances.get_mut(index)?;
        let instance = slot.get_or_insert_with(|| Arc::from(Arc::clone(addon).instance(Arc::clone(&self.facts))));
        Some(Arc::clone(instance))
    }

    /// From now on the addon at `index` has the second instance for this flow, if it had the first.
    pub(super) fn replace(&self, index: usize, old: &Arc<dyn Instance>, fresh: &Arc<dyn Instance>) {
        let mut instances = self.instances.lock();
        if let Some(Some(slot)) = instances.get_mut(index)
            && Arc::ptr_eq(slot, old)
        {
            *slot = Arc::clone(fresh);
        }
    }

    /// Gives up instances that no event after this one can need, so that a flow that waits long for its response, or streams
    /// it for long, holds none for nothing.
    pub(super) fn release_after(&self, event: Event) {
        let mut instances = self.instances.lock();
        for (slot, addon) in instances.iter_mut().zip(&self.chain.addons) {
            if slot.is_some() && !filters::can_match_after(self, event, addon.subscriptions()) {
                *slot = None;
            }
        }
    }

    /// Gives up instances that a CONNECT, which may last for hours, needs no more: `finish` alone follows.
    pub(super) fn keep_for_finish(&self) {
        let mut instances = self.instances.lock();
        for (slot, addon) in instances.iter_mut().zip(&self.chain.addons) {
            if !addon.subscriptions().iter().any(|subscription| subscription.event == Event::Finish) {
                *slot = None;
            }
        }
    }

    /// Notes that the addon at `index` has stopped the request's body, and why.
    pub(super) fn stopped_by(&self, index: usize, why: String) {
        let _ = self.stopper.set((index, why));
    }

    /// Which addon has stopped the request's body, and why.
    pub(super) fn stopper(&self) -> Option<&(usize, String)> {
        self.stopper.get()
    }

    /// To be held by what decides about pieces of the request's body: the flow is over when that is, too.
    pub(super) fn upload(&self) -> TaskTrackerToken {
        self.uploads.get_or_init(TaskTracker::new).token()
    }

    /// Gives up the bodies that are staged: no hook that is still to come is shown one. What goes on is in other hands.
    pub(super) fn let_bodies_go(&self) {
        let mut messages = self.exchange.lock();
        let request = std::mem::take(&mut messages.request.body);
        let response = messages.response.as_mut().map(|response| std::mem::take(&mut response.body));
        drop(messages);
        drop((request, response));
    }

    /// Has the bodies in the ledger hashed now, so that it holds none: there is no room for more than has to be.
    pub(super) async fn hash_bodies(&self) {
        let kept = self.exchange.lock().ledger.kept();
        if kept.is_empty() {
            return;
        }
        let hash = |bytes: Bytes| {
            let digest = Digest::of(&bytes);
            (bytes, digest)
        };
        if let Some(digests) = heavy::run(move || kept.into_iter().map(hash).collect::<Vec<_>>()).await {
            self.exchange.lock().ledger.hashed(&digests);
        }
    }

    /// Awaits a hook whose verdict does not matter any more.
    pub(super) fn let_end(&self, call: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tasks.spawn_on(call, &runtime);
        }
    }

    /// Name of the addon that has stopped the request's body.
    pub(super) fn stopped_why(&self) -> Option<Arc<str>> {
        let (index, _) = self.stopper()?;
        Some(self.chain.addons.get(*index)?.name().into())
    }

    /// Notes why the flow cannot be complete; the first reason counts.
    pub fn fail(&self, why: impl Into<String>) {
        self.ending.lock().error.get_or_insert_with(|| why.into());
    }

    /// A route has it sent under this path and query.
    pub(super) fn sent_as(&self, target: Bytes) {
        let _ = self.rerouted.set(target);
    }

    /// Options or a route lead the flow there.
    pub(super) fn moved_to(&self, destination: Destination) {
        let _ = self.moved.set(destination);
    }

    /// Whether the flow goes where its client chose to go, or where options lead it, and may not.
    pub(super) fn is_denied(&self) -> bool {
        if let Some(moved) = self.moved.get() {
            return moved.refused().is_some();
        }
        let is_as_chosen = *self.exchange.lock().request.upstream == *self.facts.upstream;
        is_as_chosen && self.destination.refused().is_some()
    }

    /// Notes that the client may not go where it chose to go, and answers that.
    pub(super) fn denied(&self) -> ResponseMessage {
        let destination = self.moved.get().unwrap_or(&self.destination);
        let why = destination.refused().map_or_else(|| "the target may not be reached".to_owned(), |why| why.to_string());
        self.fail(why.clone());
        respond::staged(StatusCode::FORBIDDEN, &why)
    }

    /// Whether something went wrong so far.
    pub(crate) fn has_failed(&self) -> bool {
        self.ending.lock().error.is_some()
    }

    /// How long the flow has lasted.
    pub fn elapsed(&self) -> std::time::Duration {
        self.begun.elapsed()
    }

    /// Tells those who remember flows, or record them, how it ended. Bodies in the ledger are hashed.
    fn remember(&self, outcome: &Outcome) {
        if let Some(recent) = &self.recent {
            recent.push(EndedFlow::new(self, outcome));
        }
        if let Some(tape) = &self.tape {
            tape.finish(&self.facts, outcome, || {
                let request = &self.exchange.lock().request;
                let target = self.rerouted.get().unwrap_or(&request.head.target);
                let url = format!("{}{}", request.upstream, String::from_utf8_lossy(target));
                Sent { method: request.head.method.clone(), url }
            });
        }
    }

    /// Whether somebody wants to know what addons did.
    const fn is_remembered(&self) -> bool {
        self.recent.is_some() || self.tape.is_some()
    }

    fn outcome(&self, is_complete: bool) -> Outcome {
        let mut outcome = self.ending.lock().clone();
        if is_complete {
            outcome.error = None;
        } else {
            outcome.error.get_or_insert_with(|| "the client went away".to_owned());
        }
        let messages = self.exchange.lock();
        if let Some(response) = &messages.response {
            outcome.status.get_or_insert(response.head.status);
            outcome.source.get_or_insert_with(|| response.origin.clone());
        }
        drop(messages);
        outcome.request_bytes = self.request_bytes.load(Relaxed);
        outcome.response_bytes = self.response_bytes.load(Relaxed);
        outcome.duration = self.begun.elapsed();
        outcome.messages.clone_from(&self.counts.lock());
        outcome
    }
}

impl Ending {
    /// For the flow of this record.
    pub fn new(record: Arc<Record>) -> Self {
        record.site.metrics.flows_active.inc();
        Self { record, is_complete: false }
    }

    /// The flow that will end.
    #[must_use]
    pub const fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Everything was handed to the client.
    pub const fn complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let record = &self.record;
        let mut outcome = record.outcome(self.is_complete);
        record.site.metrics.flows_active.dec();
        record.site.metrics.ended(outcome.status.filter(|_| self.is_complete || outcome.response_bytes > 0), outcome.duration);
        let runtime = tokio::runtime::Handle::try_current;
        if record.uploads.get().is_some_and(|uploads| !uploads.is_empty())
            && let Ok(runtime) = runtime()
        {
            record.tasks.spawn_on(end_after_upload(Arc::clone(record), outcome), &runtime);
            return;
        }
        let ledger = std::mem::take(&mut record.exchange.lock().ledger);
        log(record, &outcome, &ledger);
        if record.chain.events.contains(Event::Finish) || (record.is_remembered() && ledger.keeps_bodies()) {
            if let Ok(runtime) = runtime() {
                record.tasks.spawn_on(end(Arc::clone(record), outcome, ledger), &runtime);
            }
        } else if record.is_remembered() {
            outcome.mutations = Arc::new(ledger);
            record.remember(&outcome);
        }
    }
}

/// What comes after a flow whose response was over before its request was.
async fn end_after_upload(record: Arc<Record>, mut outcome: Outcome) {
    if let Some(uploads) = record.uploads.get() {
        uploads.close();
        uploads.wait().await;
    }
    outcome.request_bytes = record.request_bytes.load(Relaxed);
    outcome.duration = record.begun.elapsed();
    let ledger = std::mem::take(&mut record.exchange.lock().ledger);
    log(&record, &outcome, &ledger);
    end(record, outcome, ledger).await;
}

/// One line a flow. The query is left out: it may carry credentials.
fn log(record: &Record, outcome: &Outcome, ledger: &Ledger) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let messages = record.exchange.lock();
    let head = &messages.request.head;
    let path = String::from_utf8_lossy(head.path()).into_owned();
    tracing::debug!(
        flow.id = record.facts.id,
        flow.listener = %record.facts.listener,
        flow.generation = record.facts.generation,
        flow.connect = record.facts.connect,
        proxy.user = record.facts.user.as_deref(),
        client.address = %record.facts.peer,
        upstream.origin = %record.facts.upstream,
        request.method = %head.method,
        request.path = %path,
        request.version = head.version.as_str(),
        request.bytes = outcome.request_bytes,
        response.status = outcome.status.map_or(0, |status| status.as_u16()),
        response.bytes = outcome.response_bytes,
        flow.milliseconds = u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX),
        flow.mutations = %ledger,
        flow.error = outcome.error.as_deref().unwrap_or_default(),
        "flow ended"
    );
}

/// What comes after a flow, off the path of the client.
async fn end(record: Arc<Record>, mut outcome: Outcome, ledger: Ledger) {
    outcome.mutations = Arc::new(hashed(ledger).await);
    record.remember(&outcome);
    finish(record, outcome).await;
}

async fn hashed(mut ledger: Ledger) -> Ledger {
    if ledger.kept_bytes() <= heavy::SMALL {
        ledger.hash();
        return ledger;
    }
    let hashed = heavy::run(move || {
        ledger.hash();
        ledger
    });
    hashed.await.unwrap_or_default()
}

/// The `finish` events, off the path of the client. A hook that is still running for this flow is waited for; where the flow's
/// instance is gone, by a failure or since the client left in the middle of a hook, a fresh one is told.
async fn finish(record: Arc<Record>, outcome: Outcome) {
    for (index, addon) in record.chain.addons.iter().enumerate() {
        // Who does not ask about CONNECT does not know that there are such flows.
        let is_unseen = record.method == Method::CONNECT && !record.chain.subscribes(index, Event::Connect);
        let matched = filters::matched(&record, index, Event::Finish);
        if matched.is_empty() || is_unseen {
            continue;
        }
        let call = Call { matched, hook: Hook::Finish(outcome.clone()), body_cap: None };
        if let Err(error) = failure::call(&record, index, Event::Finish, call).await {
            // Nothing is left that could be closed.
            failure::tell(&record, addon.as_ref(), Event::Finish, &error, "open");
        }
    }
}
