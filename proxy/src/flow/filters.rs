//! Which subscriptions an event concerns.

use http::Method;

use super::record::Record;
use crate::{
    filter::{Answer, Seen, Texts, View},
    hooks::{BodyMode, Event, Messages, OverCap, StagedBody, Subscription},
    http::RequestHead,
};

/// Subscriptions that match, or may match once a body is known.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Indices of those that match.
    pub matched: Vec<u32>,
    /// Indices of those that depend on a body.
    pub open: Vec<u32>,
}

/// The subscriptions of the addon at `index` to `event` that concern the flow as it stands. A body of which only the first
/// bytes were collected counts as unknown.
pub(crate) fn wanted(record: &Record, index: usize, event: Event) -> Wanted {
    evaluate(record, index, event, false)
}

/// The same, by the first bytes of a body that is over its cap.
pub(crate) fn wanted_by_prefix(record: &Record, index: usize, event: Event) -> Wanted {
    evaluate(record, index, event, true)
}

fn evaluate(record: &Record, index: usize, event: Event, by_prefix: bool) -> Wanted {
    if !record.chain.subscribes(index, event) {
        return Wanted::default();
    }
    let messages = record.exchange.lock();
    let view = view(record, &messages, event, by_prefix);
    Wanted::of(record, index, event, &Texts::new(&view))
}

/// The first addon in this order of which a subscription concerns the flow as it stands, and which. Those before it are passed in one
/// look: as none of them is called, all see the same messages.
pub(super) fn first_wanted(record: &Record, event: Event, order: impl Iterator<Item = usize>) -> Option<(usize, Wanted)> {
    let messages = record.exchange.lock();
    let view = view(record, &messages, event, false);
    let texts = Texts::new(&view);
    let mut concerned = order.map(|index| (index, Wanted::of(record, index, event, &texts)));
    concerned.find(|(_, wanted)| !wanted.is_empty())
}

/// Whether the staged response has a body, or there is none yet.
pub(super) fn may_have_body(record: &Record) -> bool {
    record.exchange.lock().response.as_ref().is_none_or(|response| response.may_have_body)
}

/// Whether the `response` hook of the addon at `index` may be called for the body that the staged response tells of without having
/// it: to HEAD as GET would be answered, whose method its filters see then.
pub(super) fn may_edit_absent(record: &Record, index: usize) -> bool {
    let messages = record.exchange.lock();
    if messages.response.as_ref().is_none_or(|response| response.may_have_body) {
        return false;
    }
    let mut is_called = false;
    as_answered_to_get(record, &messages, Event::Response, |view| {
        record.chain.evaluate(index, Event::Response, &Texts::new(view), |_, answer| is_called |= answer != Answer::No);
    });
    is_called
}

/// The subscriptions to a part of a response's body that match: where a response to HEAD has none, as GET would be answered.
pub(super) fn matched_in_response(record: &Record, index: usize, event: Event, has_body: bool) -> Vec<u32> {
    if has_body || !record.chain.subscribes(index, event) {
        return matched(record, index, event);
    }
    let mut matched = Vec::new();
    let messages = record.exchange.lock();
    as_answered_to_get(record, &messages, event, |view| {
        record.chain.evaluate(index, event, &Texts::new(view), |subscription, answer| {
            if answer == Answer::Yes {
                matched.push(subscription);
            }
        });
    });
    matched
}

/// Shows what filters would look at if the request were GET instead of HEAD, so that nothing is known of the body.
fn as_answered_to_get(record: &Record, messages: &Messages, event: Event, look: impl FnOnce(&View<'_>)) {
    let mut view = view(record, messages, event, false);
    if event == Event::Response {
        view.response_body = Seen::Unknown;
    }
    if view.request.method == Method::HEAD {
        let as_get = RequestHead { method: Method::GET, ..view.request.clone() };
        look(&View { request: &as_get, ..view });
    } else {
        look(&view);
    }
}

/// Those that match for sure.
pub(crate) fn matched(record: &Record, index: usize, event: Event) -> Vec<u32> {
    wanted(record, index, event).matched
}

/// Whether one of the subscriptions to events after `event` can still match, now that the request is as it will be sent.
pub(crate) fn can_match_after(record: &Record, event: Event, subscriptions: &[Subscription]) -> bool {
    let messages = record.exchange.lock();
    let view = view(record, &messages, Event::Response, false);
    // Who has a response has not failed to get one.
    let is_over = |later: Event| later <= event || (event >= Event::Response && later == Event::UpstreamError);
    let mut later = subscriptions.iter().filter(|subscription| !is_over(subscription.event));
    later.any(|subscription| subscription.filter.foresee(&view) != Answer::No)
}

/// Whether this subscription can match later, now that the request is as it will be sent.
pub(super) fn can_match_later(record: &Record, subscription: &Subscription) -> bool {
    let messages = record.exchange.lock();
    subscription.filter.foresee(&view(record, &messages, Event::Response, false)) != Answer::No
}

/// What filters look at in this event.
pub(super) fn view<'a>(record: &'a Record, messages: &'a Messages, event: Event, by_prefix: bool) -> View<'a> {
    let is_request = event <= Event::RequestChunk;
    let response = messages.response.as_ref().filter(|_| !is_request);
    View {
        listener: &record.facts.listener,
        peer: record.facts.peer,
        upstream: &messages.request.upstream,
        request: &messages.request.head,
        request_body: seen(&messages.request.body, is_request, by_prefix),
        response: response.map(|response| &response.head),
        response_body: response.map_or(Seen::Absent, |response| seen(&response.body, event == Event::Response, by_prefix)),
        has_error: event == Event::UpstreamError || record.has_failed(),
        is_websocket: response.is_some_and(|response| response.head.status == http::StatusCode::SWITCHING_PROTOCOLS),
    }
}

fn seen(body: &StagedBody, can_come: bool, by_prefix: bool) -> Seen<'_> {
    match body {
        StagedBody::Whole(bytes) | StagedBody::Replaced(bytes) => Seen::Bytes(bytes),
        StagedBody::Truncated(bytes) if by_prefix => Seen::Bytes(bytes),
        StagedBody::Streaming | StagedBody::Truncated(_) if can_come => Seen::Unknown,
        StagedBody::Streaming | StagedBody::Truncated(_) => Seen::Absent,
    }
}

impl Wanted {
    fn of(record: &Record, index: usize, event: Event, texts: &Texts<'_>) -> Self {
        let mut wanted = Self::default();
        record.chain.evaluate(index, event, texts, |subscription, answer| match answer {
            Answer::Yes => wanted.matched.push(subscription),
            Answer::Unknown => wanted.open.push(subscription),
            Answer::No => {}
        });
        wanted
    }

    /// Whether none matches or may match.
    pub(super) const fn is_empty(&self) -> bool {
        self.matched.is_empty() && self.open.is_empty()
    }

    /// The largest cap that a subscription wants the body up to; none if all are content with the head.
    pub(super) fn cap(&self, subscriptions: &[Subscription]) -> Option<usize> {
        self.matched.iter().chain(&self.open).filter_map(|&index| cap(subscriptions, index).map(|(cap, _)| cap)).max()
    }
}

/// Cap of a subscription that wants the body, and what happens over it.
pub(super) fn cap(subscriptions: &[Subscription], index: u32) -> Option<(usize, OverCap)> {
    match subscriptions.get(index as usize)?.body {
        BodyMode::None => None,
        BodyMode::Full { cap, over_cap } => Some((cap, over_cap)),
    }
}
