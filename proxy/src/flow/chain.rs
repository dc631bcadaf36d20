//! The passes along the chain: which addon is called when, and what its verdicts do.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{
    collect::{Held, Shown},
    failure,
    filters::{self, Wanted},
    record::Record,
    respond,
    socket::Socket,
};
use crate::{
    hooks::{
        Addon, Call, Change, Event, Hook, HookError, MadeResponse, OverCap, ResponseMessage, Source, StagedBody, UpstreamFailure,
        Verdict,
    },
    http::{Body, BodyError, Extent, Field, ResponseHead, coding::Bounds},
    http1::framing::may_have_body,
    upstream::Tunnel,
};

/// One flow's way along its chain.
pub(super) struct Pass<'a> {
    pub(super) record: &'a Arc<Record>,
}

/// What the request pass came to.
#[allow(clippy::large_enum_variant, reason = "made once a flow, and taken apart at once")]
pub(super) enum Requested {
    /// The request goes upstream.
    Upstream,
    /// A response is staged; the response pass starts before the addon at `from`.
    Answered {
        /// Number of addons that see the response.
        from: usize,
        /// Body of the response, if it is not staged as a replacement.
        body: Held,
    },
    /// The client gets nothing.
    Drop,
    /// The request's body could not be collected.
    Failed(BodyError),
}

/// Why a hook does not get the body that it wants.
enum Unseen {
    /// It is over the cap of a subscription that refuses it then.
    OverCap(usize),
    /// Its codings stay on.
    Coded(&'static str),
}

/// What both passes came to.
pub(super) enum Passed {
    /// The staged response with this body, which the addons before this one may want to see in pieces.
    Response(Held, usize),
    /// The staged 101 and then bytes, or messages.
    Upgrade(Tunnel, Option<Box<Socket>>),
    /// Nothing.
    Drop,
}

impl<'a> Pass<'a> {
    pub(super) const fn new(record: &'a Arc<Record>) -> Self {
        Self { record }
    }

    /// The first addon whose `request` hook concerns the flow.
    pub(super) fn first_of_request(&self) -> Option<(usize, Wanted)> {
        let chain = &self.record.chain;
        if !chain.events.contains(Event::Request) {
            return None;
        }
        filters::first_wanted(self.record, Event::Request, 0..chain.addons.len())
    }

    /// `request` events, from this addon to the last.
    pub(super) async fn request(&self, first: (usize, Wanted), body: &mut Held) -> Requested {
        let addons = &self.record.chain.addons;
        let (mut first, mut next) = (Some(first), 0);
        let mut concerned =
            |next| first.take().or_else(|| filters::first_wanted(self.record, Event::Request, next..addons.len()));
        while let Some((index, wanted)) = concerned(next) {
            next = index + 1;
            let Some(addon) = addons.get(index) else { break };
            let matched = match self.matched(index, addon.as_ref(), Event::Request, wanted, body).await {
                Ok(ControlFlow::Continue(matched)) => matched,
                Ok(ControlFlow::Break(Unseen::Coded(why))) => {
                    if self.fails_closed(addon.as_ref(), Event::Request, &HookError::Coded(why)) {
                        return Requested::Answered { from: index, body: Held::new(Body::empty()) };
                    }
                    continue;
                }
                Ok(ControlFlow::Break(Unseen::OverCap(cap))) => {
                    self.answer(respond::staged(StatusCode::PAYLOAD_TOO_LARGE, &BodyError::TooLarge(cap as u64).to_string()));
                    return Requested::Answered { from: 0, body: Held::new(Body::empty()) };
                }
                Err(error) => return Requested::Failed(error),
            };
            if matched.is_empty() {
                continue;
            }
            match self.call(index, addon.as_ref(), Event::Request, matched, Hook::Request).await {
                Ok(Verdict::Next | Verdict::Chunk(_) | Verdict::Stream(_) | Verdict::Socket(_) | Verdict::Connect(_)) => {}
                Ok(Verdict::EndChain) => break,
                Ok(Verdict::Drop) => {
                    self.dropped(addon.as_ref(), Event::Request);
                    return Requested::Drop;
                }
                Ok(Verdict::Respond(made)) => {
                    return Requested::Answered { from: index + 1, body: self.made(addon.as_ref(), Event::Request, made) };
                }
                Ok(Verdict::Refuse(refusal)) => {
                    let made = respond::refusal(&refusal);
                    return Requested::Answered { from: index + 1, body: self.made(addon.as_ref(), Event::Request, made) };
                }
                Err(error) => {
                    if self.fails_closed(addon.as_ref(), Event::Request, &error) {
                        return Requested::Answered { from: index, body: Held::new(Body::empty()) };
                    }
                }
            }
        }
        Requested::Upstream
    }

    /// `response` events of the addons before `from`, last to first, upon the staged response.
    pub(super) async fn response(&self, from: usize, mut body: Held) -> Passed {
        if !self.record.chain.events.contains(Event::Response) {
            return Passed::Response(body, from);
        }
        match self.next_of_response(from, &mut body) {
            // Boxed: other flows need no room for it.
            Some(first) => Box::pin(self.response_from(first, from, body)).await,
            None => Passed::Response(body, from),
        }
    }

    async fn response_from(&self, first: (usize, Wanted), from: usize, mut body: Held) -> Passed {
        let (mut upto, mut left, mut first) = (from, from, Some(first));
        while let Some((index, wanted)) = first.take().or_else(|| self.next_of_response(left, &mut body)) {
            left = index;
            let Some(addon) = self.record.chain.addons.get(index) else { break };
            let matched = match self.matched(index, addon.as_ref(), Event::Response, wanted, &mut body).await {
                Ok(ControlFlow::Continue(matched)) => matched,
                Ok(ControlFlow::Break(Unseen::Coded(why))) => {
                    if self.fails_closed(addon.as_ref(), Event::Response, &HookError::Coded(why)) {
                        (body, upto) = (Held::new(Body::empty()), index);
                    }
                    continue;
                }
                Ok(ControlFlow::Break(Unseen::OverCap(cap))) => {
                    let text = format!("the response is over the limit of {cap} bytes");
                    self.answer(respond::staged(StatusCode::BAD_GATEWAY, &text));
                    (body, upto) = (Held::new(Body::empty()), index);
                    continue;
                }
                Err(error) => {
                    self.record.fail(error.to_string());
                    let status = match error {
                        BodyError::Idle(_) => StatusCode::GATEWAY_TIMEOUT,
                        BodyError::Crowded(_) => StatusCode::SERVICE_UNAVAILABLE,
                        _ => StatusCode::BAD_GATEWAY,
                    };
                    self.answer(respond::staged(status, &error.to_string()));
                    (body, upto) = (Held::new(Body::empty()), index);
                    continue;
                }
            };
            if matched.is_empty() {
                continue;
            }
            match self.call(index, addon.as_ref(), Event::Response, matched, Hook::Response).await {
                Ok(
                    Verdict::Next
                    | Verdict::EndChain
                    | Verdict::Chunk(_)
                    | Verdict::Stream(_)
                    | Verdict::Socket(_)
                    | Verdict::Connect(_),
                ) => {}
                // Another response is staged: nothing of the one before may come back. The same below.
                Ok(Verdict::Respond(made)) => (body, upto) = (self.made(addon.as_ref(), Event::Response, made), index),
                Ok(Verdict::Refuse(refusal)) => {
                    (body, upto) = (self.made(addon.as_ref(), Event::Response, respond::refusal(&refusal)), index);
                }
                Ok(Verdict::Drop) => {
                    self.dropped(addon.as_ref(), Event::Response);
                    return Passed::Drop;
                }
                Err(error) => {
                    if self.fails_closed(addon.as_ref(), Event::Response, &error) {
                        (body, upto) = (Held::new(Body::empty()), index);
                    }
                }
            }
        }
        Passed::Response(body, upto)
    }

    /// `upstream-error` events, last addon to first, until one makes a response; then the response pass.
    pub(super) async fn failure(&self, failure: UpstreamFailure) -> Passed {
        let chain = &self.record.chain;
        self.record.site.metrics.upstream_failed(failure.kind);
        let mut answer = None;
        if chain.events.contains(Event::UpstreamError) {
            for (index, addon) in chain.addons.iter().enumerate().rev() {
                let matched = filters::matched(self.record, index, Event::UpstreamError);
                if matched.is_empty() {
                    continue;
                }
                let hook = Hook::UpstreamError(failure.clone());
                match self.call(index, addon.as_ref(), Event::UpstreamError, matched, hook).await {
                    Ok(Verdict::Respond(made)) => {
                        answer = Some(self.made(addon.as_ref(), Event::UpstreamError, made));
                        break;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        if self.fails_closed(addon.as_ref(), Event::UpstreamError, &error) {
                            answer = Some(Held::new(Body::empty()));
                            break;
                        }
                    }
                }
            }
        }
        let body = answer.unwrap_or_else(|| {
            self.answer(respond::staged(failure.kind.status(), &format!("upstream failed: {}", failure.reason)));
            Held::new(Body::empty())
        });
        self.response(chain.addons.len(), body).await
    }

    /// The next addon before the one at `left` whose `response` hook concerns the flow.
    fn next_of_response(&self, left: usize, body: &mut Held) -> Option<(usize, Wanted)> {
        if filters::may_have_body(self.record) {
            return filters::first_wanted(self.record, Event::Response, (0..left).rev());
        }
        for (index, addon) in self.record.chain.addons.iter().enumerate().take(left).rev() {
            if addon.may_set_response_bodies() && filters::may_edit_absent(self.record, index) {
                body.passed_editor();
            }
            let wanted = filters::wanted(self.record, index, Event::Response);
            if !wanted.is_empty() {
                return Some((index, wanted));
            }
        }
        None
    }

    /// Indices of the matching subscriptions, with the body collected as far as they want it.
    async fn matched(
        &self,
        index: usize,
        addon: &dyn Addon,
        event: Event,
        mut wanted: Wanted,
        body: &mut Held,
    ) -> Result<ControlFlow<Unseen, Vec<u32>>, BodyError> {
        let Some(cap) = wanted.cap(addon.subscriptions()) else { return Ok(ControlFlow::Continue(wanted.matched)) };
        let (headers, known) = self.staged(event);
        if known.is_none() && self.is_to_stream(event, body, cap).await? {
            let subscriptions = addon.subscriptions();
            wanted.matched.retain(|&index| filters::cap(subscriptions, index).is_none());
            return Ok(ControlFlow::Continue(wanted.matched));
        }
        let shown = match known {
            Some(bytes) if bytes.len() <= cap => Shown::Whole(bytes),
            Some(bytes) => Shown::OverCap(bytes.slice(..cap)),
            None => {
                let bounds = Bounds { cap, ratio: self.record.site.limits.decode_ratio };
                body.show(&headers, bounds, self.record.exchange.holdings()).await?
            }
        };
        if let Shown::Coded(why) = shown {
            return Ok(ControlFlow::Break(Unseen::Coded(why)));
        }
        self.show(event, &shown);
        if !wanted.open.is_empty() {
            wanted = self.decided(index, addon, event);
        }
        Ok(self.within_caps(addon, wanted.matched, &shown))
    }

    /// Whether options have a body of this size streamed, whoever wants it whole.
    async fn is_to_stream(&self, event: Event, body: &mut Held, cap: usize) -> Result<bool, BodyError> {
        let record = self.record;
        let Some(options) = &record.options else { return Ok(false) };
        let Some(limit) = options.effects().stream_large_bodies else { return Ok(false) };
        let has_none = |response: &ResponseMessage| event == Event::Response && !response.may_have_body;
        if record.exchange.lock().response.as_ref().is_some_and(has_none) {
            return Ok(false);
        }
        let is_larger = body.is_larger(limit, cap, record.exchange.holdings()).await?;
        if is_larger && options.is_news() {
            tracing::info!(
                flow.id = record.facts.id,
                limit,
                "bodies over the option stream_large_bodies pass hooks that want them whole unseen; said once"
            );
        }
        Ok(is_larger)
    }

    /// What matches now that the body is there. Where a filter depends on a body over the cap, its subscription's choice for that
    /// case decides: by the first bytes if it wants them, else as if it matched.
    fn decided(&self, index: usize, addon: &dyn Addon, event: Event) -> Wanted {
        let mut wanted = filters::wanted(self.record, index, event);
        if wanted.open.is_empty() {
            return wanted;
        }
        let by_prefix = filters::wanted_by_prefix(self.record, index, event).matched;
        for open in std::mem::take(&mut wanted.open) {
            let is_cut = matches!(filters::cap(addon.subscriptions(), open), Some((_, OverCap::Truncate)) | None);
            if !is_cut || by_prefix.contains(&open) {
                wanted.matched.push(open);
            }
        }
        wanted.matched.sort_unstable();
        wanted
    }

    /// Leaves out or refuses what is over the cap of its subscription.
    fn within_caps(&self, addon: &dyn Addon, matched: Vec<u32>, shown: &Shown) -> ControlFlow<Unseen, Vec<u32>> {
        let subscriptions = addon.subscriptions();
        let mut kept = Vec::with_capacity(matched.len());
        for index in matched {
            match (filters::cap(subscriptions, index), shown) {
                (Some((cap, over_cap)), Shown::Whole(bytes) | Shown::OverCap(bytes))
                    if matches!(shown, Shown::OverCap(_)) || bytes.len() > cap =>
                {
                    match over_cap {
                        OverCap::Refuse => return ControlFlow::Break(Unseen::OverCap(cap)),
                        OverCap::Truncate => kept.push(index),
                        OverCap::PassUnseen => tracing::info!(
                            flow.id = self.record.facts.id,
                            addon.name = addon.name(),
                            "a body over {cap} bytes passes unseen"
                        ),
                    }
                }
                _ => kept.push(index),
            }
        }
        ControlFlow::Continue(kept)
    }

    /// Fields of the message that the event is about, and its body if all of it is known.
    fn staged(&self, event: Event) -> (crate::http::Headers, Option<Bytes>) {
        let messages = self.record.exchange.lock();
        let (headers, body) = match (&messages.response, event) {
            (Some(response), Event::Response) => (&response.head.headers, &response.body),
            _ => (&messages.request.head.headers, &messages.request.body),
        };
        let known = if let StagedBody::Replaced(bytes) | StagedBody::Whole(bytes) = body { Some(bytes.clone()) } else { None };
        (headers.clone(), known)
    }

    fn show(&self, event: Event, shown: &Shown) {
        let mut messages = self.record.exchange.lock();
        let body = match (&mut messages.response, event) {
            (Some(response), Event::Response) => &mut response.body,
            _ => &mut messages.request.body,
        };
        if !matches!(body, StagedBody::Replaced(_)) {
            *body = match shown {
                Shown::Whole(bytes) => StagedBody::Whole(bytes.clone()),
                Shown::OverCap(bytes) => StagedBody::Truncated(bytes.clone()),
                Shown::Coded(_) => return,
            };
        }
    }

    pub(super) async fn call(
        &self,
        index: usize,
        addon: &dyn Addon,
        event: Event,
        matched: Vec<u32>,
        hook: Hook,
    ) -> Result<Verdict, HookError> {
        let subscriptions = addon.subscriptions();
        let body_cap = matched.iter().filter_map(|&index| filters::cap(subscriptions, index)).map(|(cap, _)| cap).max();
        let verdict = failure::call(self.record, index, event, Call { matched, hook, body_cap }).await;
        if self.record.exchange.holdings().is_over() {
            self.record.hash_bodies().await;
        }
        verdict
    }

    fn dropped(&self, addon: &dyn Addon, event: Event) {
        self.record.fail(format!("dropped by addon {}", addon.name()));
        self.record.exchange.lock().ledger.push(addon.name(), event, Change::Dropped);
    }

    /// Stages a response that an addon made, and gives its body: it goes out as the addon wrote it, and where Content-Encoding
    /// says that it is coded, hooks see it without, as they see that of an upstream.
    pub(super) fn made(&self, addon: &dyn Addon, event: Event, mut made: MadeResponse) -> Held {
        made.body = self.record.exchange.holdings().count(made.body);
        self.record.exchange.lock().ledger.push(addon.name(), event, Change::Answered(made.status));
        let mut head = ResponseHead::new(made.status);
        head.headers = made.headers;
        let extent = Extent::of(head.status, &head.headers);
        let held = Held::coded(Body::full(made.body.clone()), &head.headers).part(extent == Extent::Part);
        let is_plain = !head.headers.contains("content-encoding");
        let body = if is_plain { StagedBody::Whole(made.body.clone()) } else { StagedBody::Streaming };
        let origin = Source::Addon(addon.name().into());
        let may_have_body = may_have_body(&self.record.method, head.status);
        self.answer_with(ResponseMessage { head, body, origin, may_have_body, extent }, made.body.len());
        if may_have_body { held } else { Held::new(Body::empty()) }
    }

    /// Stages a response of the core in place of whatever was staged.
    pub(super) fn answer(&self, response: ResponseMessage) {
        let length = response.body.bytes().map_or(0, Bytes::len);
        self.answer_with(response, length);
    }

    /// Stages a response whose body has this length.
    fn answer_with(&self, mut response: ResponseMessage, length: usize) {
        response.may_have_body = may_have_body(&self.record.method, response.head.status);
        if !response.may_have_body {
            response.body = StagedBody::Whole(Bytes::new());
            // What GET would have been answered with (RFC 9110, 9.3.2); 204 and 304 tell no length of their own.
            let length = Field::new("Content-Length", length.to_string()).ok();
            response.head.headers.extend(length.filter(|_| self.record.method == Method::HEAD));
        }
        self.record.exchange.lock().response = Some(response);
    }
}
