//! One flow, hook by hook.

mod messages;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::Rc,
    time::Duration,
};

use super::{
    Facts, Harness, HookFailure, LogLine, TestRequest, TestResponse, capture, dns,
    http::Network,
    kv::Kept,
    ledger::{self, Stream},
    outbox::Outbox,
    rules::{self, Kind},
};
use crate::{
    Addon, BodyMode, Change, Chunk, ChunkVerdict, ConnectVerdict, EditError, Error, Event, Flow, MadeResponse, MessageCounts,
    MessageKind, Mutation, Outcome, OverCap, Request, RequestVerdict, Response, ResponseVerdict, Subscription, UpstreamFailure,
    host::{self, BodyView, Stage, Staging},
    http,
};

/// A flow with an addon of its own.
///
/// Each method calls one hook, if a subscription asks for it; else it gives the verdict that lets everything pass. They return
/// the hook's verdict, unless it failed; then what it staged was taken back. The order of calls is up to the test.
pub struct TestFlow<A> {
    addon: A,
    subscriptions: Vec<Subscription>,
    facts: Facts,
    matched: BTreeMap<Event, Vec<u32>>,
    stage: Stage,
    network: Network,
    names: Option<dns::Answering>,
    outbox: Outbox,
    kept: Kept,
    lines: Vec<LogLine>,
    is_gone: bool,
    name: String,
    mutations: Vec<Mutation>,
    request_stream: Stream,
    response_stream: Stream,
    counts: Option<MessageCounts>,
    end: Rc<Cell<bool>>,
    lets_go: Rc<Cell<bool>>,
}

/// What a hook sees, and what of it it may edit.
#[derive(Clone, Copy)]
struct View {
    body: BodyView,
    edits: Edits,
    /// In the last call for a body: whose.
    ends: Option<Kind>,
}

/// What a hook may edit; notes unless it is nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edits {
    Nothing,
    Notes,
    Request,
    Response,
}

/// The resources that are lent to a hook.
struct Lent {
    request: host::Request,
    response: host::Response,
}

impl<A: Addon> TestFlow<A> {
    pub(super) fn new(harness: &Harness<A>, addon: A, subscriptions: Vec<Subscription>, request: TestRequest) -> Self {
        let staging = Staging { request, response: TestResponse::new(200), notes: harness.notes.clone() };
        Self {
            addon,
            subscriptions,
            facts: harness.facts.clone(),
            matched: harness.matched.clone(),
            stage: Rc::new(RefCell::new(staging)),
            network: harness.network(),
            names: harness.names.clone(),
            outbox: harness.outbox(),
            kept: harness.kept.clone(),
            lines: Vec::new(),
            is_gone: false,
            name: harness.name.clone(),
            mutations: Vec::new(),
            request_stream: Stream::default(),
            response_stream: Stream::default(),
            counts: None,
            end: Rc::default(),
            lets_go: Rc::default(),
        }
    }

    /// The addon itself, with what hooks left in it.
    pub const fn addon(&self) -> &A {
        &self.addon
    }

    /// Whether the last hook said that it keeps nothing for later ones ([`Flow::let_go`]). The test goes on with the same addon.
    #[must_use]
    pub fn has_let_go(&self) -> bool {
        self.lets_go.get()
    }

    /// The request as it stands.
    pub fn staged_request(&self) -> TestRequest {
        self.stage.borrow().request.clone()
    }

    /// The response as it stands; before [`response`](Self::response) an empty 200.
    pub fn staged_response(&self) -> TestResponse {
        self.stage.borrow().response.clone()
    }

    /// All notes on the flow.
    #[must_use]
    pub fn notes(&self) -> BTreeMap<String, String> {
        self.stage.borrow().notes.clone()
    }

    /// What the hooks changed up to now, as the `finish` hook will be told; of streamed bodies only after that.
    #[must_use]
    pub fn mutations(&self) -> &[Mutation] {
        &self.mutations
    }

    /// What the hooks logged up to now.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.lines
    }

    /// Requests of their own that the hooks made up to now, in order; illegal ones are left out.
    #[must_use]
    pub fn http(&self) -> Vec<http::Request> {
        self.network.requests.borrow().clone()
    }

    /// Requests that the hooks put into the addon's outbox up to now, in order.
    #[must_use]
    pub fn outbox(&self) -> Vec<http::Request> {
        self.outbox.requests.borrow().clone()
    }

    /// A CONNECT to this host and port, with the fields of the flow's request, on a listener that can look into it.
    ///
    /// # Errors
    ///
    /// Why the hook has no verdict; so for all hooks.
    pub fn connect(&mut self, host: &str, port: u16) -> Result<ConnectVerdict, HookFailure> {
        let check = |verdict: &ConnectVerdict| match verdict {
            ConnectVerdict::Refuse(refusal) => rules::check_refusal(refusal),
            ConnectVerdict::Next | ConnectVerdict::Intercept | ConnectVerdict::Tunnel => Ok(()),
        };
        let verdict = self.call(Event::Connect, View::editing_notes(), check, |addon, flow, lent| {
            addon.connect(flow, &Request::new(&lent.request), host, port)
        })?;
        let answered = if let ConnectVerdict::Refuse(refusal) = &verdict { Some(refusal.status) } else { None };
        self.changed(Event::Connect, answered.map(Change::Answered));
        Ok(verdict)
    }

    /// The request arrived.
    ///
    /// # Errors
    ///
    /// Why the hook has no verdict.
    pub fn request(&mut self) -> Result<RequestVerdict, HookFailure> {
        let size = self.stage.borrow().request.body.len();
        let (matched, body) = self.within_caps(Event::Request, size, 413)?;
        let check = |verdict: &RequestVerdict| match verdict {
            RequestVerdict::Respond(response) => rules::check_made_response(response),
            RequestVerdict::Refuse(refusal) => rules::check_refusal(refusal),
            RequestVerdict::Next | RequestVerdict::EndChain | RequestVerdict::Drop => Ok(()),
        };
        let view = View { body, edits: Edits::Request, ..View::editing_notes() };
        let verdict = self.call_matched(Event::Request, matched, view, check, |addon, flow, lent| {
            addon.request(flow, &mut Request::new(&lent.request))
        })?;
        self.changed(
            Event::Request,
            match &verdict {
                RequestVerdict::Respond(response) => Some(Change::Answered(response.status)),
                RequestVerdict::Refuse(refusal) => Some(Change::Answered(refusal.status)),
                RequestVerdict::Drop => Some(Change::Dropped),
                RequestVerdict::Next | RequestVerdict::EndChain => None,
            },
        );
        Ok(verdict)
    }

    /// A piece of the request's body arrived.
    ///
    /// # Errors
    ///
    /// Why the hook has no verdict.
    pub fn request_chunk(&mut self, chunk: Chunk) -> Result<ChunkVerdict, HookFailure> {
        let size = chunk.data.len();
        let is_part = rules::is_part(&self.stage.borrow().request.headers);
        let verdict = self.call(
            Event::RequestChunk,
            View { ends: chunk.is_last.then_some(Kind::Request), ..View::editing_notes() },
            |verdict: &ChunkVerdict| rules::check_piece(is_part, &verdict.action),
            |addon, flow, lent| addon.request_chunk(flow, &Request::new(&lent.request), chunk),
        )?;
        self.request_stream.saw(size, &verdict.action);
        Ok(verdict)
    }

    /// This response arrived, or was made.
    ///
    /// # Errors
    ///
    /// Why the hook has no verdict.
    pub fn response(&mut self, response: TestResponse) -> Result<ResponseVerdict, HookFailure> {
        let size = response.body.len();
        self.stage.borrow_mut().response = response;
        let (matched, body) = self.within_caps(Event::Response, size, 502)?;
        let check = |verdict: &ResponseVerdict| match verdict {
            ResponseVerdict::Replace(response) => rules::check_made_response(response),
            ResponseVerdict::Next | ResponseVerdict::Drop => Ok(()),
        };
        let view = View { body, edits: Edits::Response, ..View::editing_notes() };
        let verdict = self.call_matched(Event::Response, matched, view, check, |addon, flow, lent| {
            addon.response(flow, &Request::new(&lent.request), &mut Response::new(&lent.response))
        })?;
        self.changed(
            Event::Response,
            match &verdict {
                ResponseVerdict::Replace(response) => Some(Change::Answered(response.status)),
                ResponseVerdict::Drop => Some(Change::Dropped),
                ResponseVerdict::Next => None,
            },
        );
        Ok(verdict)
    }

    /// A piece of the response's body arrived.
    ///
    /// # Errors
    ///
    /// Why the hook has no verdict.
    pub fn response_chunk(&mut self, chunk: Chunk) -> Result<ChunkVerdict, HookFailure> {
        let size = chunk.data.len();
        let is_part = {
            let response = &self.stage.borrow().response;
            rules::is_part_of_response(response.status, &response.headers)
        };
        let verdict = self.call(
            Event::ResponseChunk,
            View { ends: chunk.is_last.then_some(Kind::Response), ..View::editing_notes() },
            |verdict: &ChunkVerdict| rules::check_piece(is_part, &verdict.action),
            |addon, flow, lent| addon.response_chunk(flow, &Request::new(&lent.request), &Response::new(&lent.response), chunk),
        )?;
        self.response_stream.saw(size, &verdict.action);
        Ok(verdict)
    }

    /// No response could be had.
    ///
    /// # Errors
    ///
    /// Why the hook has no verdict.
    pub fn upstream_error(&mut self, failure: &UpstreamFailure) -> Result<Option<MadeResponse>, HookFailure> {
        let check = |response: &Option<MadeResponse>| match response {
            Some(response) => rules::check_made_response(response),
            None => Ok(()),
        };
        let response = self.call(Event::UpstreamError, View::editing_notes(), check, |addon, flow, lent| {
            addon.upstream_error(flow, &Request::new(&lent.request), failure)
        })?;
        self.changed(Event::UpstreamError, response.as_ref().map(|response| Change::Answered(response.status)));
        Ok(response)
    }

    /// The flow ended after this response was sent to the client; with none, an addon dropped the connection.
    ///
    /// # Errors
    ///
    /// Why the hook has no verdict.
    pub fn finish(&mut self, response: Option<TestResponse>) -> Result<(), HookFailure> {
        let request_bytes = self.stage.borrow().request.body.len() as u64;
        let streamed = (self.request_stream.change(MessageKind::Request), self.response_stream.change(MessageKind::Response));
        self.changed(Event::RequestChunk, streamed.0);
        self.changed(Event::ResponseChunk, streamed.1);
        let mutations = self.mutations.clone();
        let (duration, messages) = (Duration::from_millis(1), self.counts);
        let outcome = host::Outcome { response, request_bytes, duration, mutations, messages };
        self.call(
            Event::Finish,
            View::looking(),
            |()| Ok(()),
            |addon, flow, lent| addon.finish(flow, &Request::new(&lent.request), &Outcome::new(&outcome)),
        )
    }

    /// The matched subscriptions without those that a body of this size passes unseen, and what they show of it.
    fn within_caps(&self, event: Event, size: usize, refusal: u16) -> Result<(Vec<u32>, BodyView), HookFailure> {
        let matched = self.matched(event);
        let caps: Vec<_> = matched.iter().map(|&index| (index, self.cap(index))).collect();
        let largest = caps.iter().filter_map(|(_, cap)| cap.map(|(cap, _)| cap)).max().unwrap_or_default();
        let mut kept = Vec::new();
        let mut body = BodyView::Hidden;
        for (index, cap) in caps {
            match cap {
                Some((cap, OverCap::Refuse)) if size > cap => return Err(HookFailure::OverCap(refusal)),
                Some((cap, OverCap::PassUnseen)) if size > cap => continue,
                Some(_) => body = if size > largest { BodyView::First(largest) } else { BodyView::Whole },
                None => {}
            }
            kept.push(index);
        }
        Ok((kept, body))
    }

    /// In bytes, of a subscription that asks for the body.
    fn cap(&self, index: u32) -> Option<(usize, OverCap)> {
        match self.subscriptions.get(usize::try_from(index).ok()?)?.body() {
            BodyMode::None => None,
            BodyMode::Full { cap, over_cap } => {
                Some((cap.and_then(|cap| usize::try_from(cap).ok()).unwrap_or(rules::MAX_BODY), over_cap))
            }
        }
    }

    fn matched(&self, event: Event) -> Vec<u32> {
        if let Some(indices) = self.matched.get(&event) {
            return indices.clone();
        }
        let indices = (0u32..).zip(&self.subscriptions).filter(|(_, subscription)| subscription.event() == event);
        indices.map(|(index, _)| index).collect()
    }

    fn call<R: Default>(
        &mut self,
        event: Event,
        view: View,
        check: impl FnOnce(&R) -> Result<(), EditError>,
        hook: impl FnOnce(&mut A, &Flow, &Lent) -> Result<R, Error>,
    ) -> Result<R, HookFailure> {
        self.call_matched(event, self.matched(event), view, check, hook)
    }

    /// Writes down what a verdict changed.
    fn changed(&mut self, event: Event, change: Option<Change>) {
        ledger::push(&mut self.mutations, &self.name, event, change.into_iter().collect());
    }

    fn call_matched<R: Default>(
        &mut self,
        event: Event,
        matched: Vec<u32>,
        view: View,
        check: impl FnOnce(&R) -> Result<(), EditError>,
        hook: impl FnOnce(&mut A, &Flow, &Lent) -> Result<R, Error>,
    ) -> Result<R, HookFailure> {
        if matched.is_empty() {
            return Ok(R::default());
        }
        if self.is_gone {
            return Err(HookFailure::Gone);
        }
        let before = self.stage.borrow().clone();
        let stage = || Rc::clone(&self.stage);
        let end = (event == Event::SseEvent).then(|| Rc::clone(&self.end));
        let had_ended = self.end.get();
        let is_editable = view.edits != Edits::Nothing;
        self.lets_go.set(false);
        let lets_go = Rc::clone(&self.lets_go);
        let flow = host::Flow { facts: self.facts.clone(), stage: stage(), is_editable, end, lets_go };
        let lent = Lent {
            request: host::Request {
                stage: stage(),
                is_editable: view.edits == Edits::Request,
                body: Cell::new(view.body),
                is_last: view.ends == Some(Kind::Request),
            },
            response: host::Response {
                stage: stage(),
                is_editable: view.edits == Edits::Response,
                body: Cell::new(view.body),
                is_last: view.ends == Some(Kind::Response),
            },
        };
        let flow = Flow::new(matched, flow);
        let addon = &mut self.addon;
        let (_network, _kept, _outbox) = (self.network.lend(), self.kept.lend(), self.outbox.lend());
        let _names = dns::lend(self.names.clone());
        let result = match capture::catch(&mut self.lines, || hook(addon, &flow, &lent)) {
            Ok(Ok(verdict)) => check(&verdict).map(|()| verdict).map_err(|error| HookFailure::Verdict(error.to_string())),
            Ok(Err(error)) => Err(HookFailure::Failed(error)),
            Err(panic) => Err(HookFailure::Panicked { message: panic.message, place: panic.place }),
        };
        if result.is_err() {
            self.is_gone = true;
            *self.stage.borrow_mut() = before;
            self.end.set(had_ended);
        } else {
            let changes = ledger::changes(&before, &self.stage.borrow(), view.body);
            ledger::push(&mut self.mutations, &self.name, event, changes);
        }
        result
    }
}

impl<A> fmt::Debug for TestFlow<A> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TestFlow").field("stage", &self.stage.borrow()).field("is_gone", &self.is_gone).finish_non_exhaustive()
    }
}

impl View {
    const fn looking() -> Self {
        Self { body: BodyView::Hidden, edits: Edits::Nothing, ends: None }
    }

    const fn editing_notes() -> Self {
        Self { edits: Edits::Notes, ..Self::looking() }
    }
}
