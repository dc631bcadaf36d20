//! What routes of the listener make of a flow.
//!
//! They are judged once, when the last addon has seen the request, on what it is then: so addons see requests as clients sent them,
//! and what they edit is what is routed. A route has the last word about the upstream, whatever an addon chose. What `map_remote`
//! has mapped is not routed any more. All hooks of the response follow, with the request as the client sent it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::StatusCode;
use http_body_util::BodyExt as _;

use super::{Destination, Request, chain::Pass, collect::Held, filters, record::Record, respond, rules};
use crate::{
    hooks::{Event, ResponseMessage, StagedBody},
    http::Body,
    routes::{Action, Answer, Captures, Judged, Onward, Unfit, location},
    upstream::SendFailure,
};

/// Bytes of a body that are taken for nothing.
const SPENT: usize = 64 * 1024;

/// Where a request goes.
pub(super) enum Routed {
    /// On; with what was found, if a route is to see the answer.
    Onward(Option<Found>),
    /// No further.
    Answered(Answered),
}

/// What the route with this number has found.
pub(super) struct Found {
    number: usize,
    captures: Captures,
}

/// A response of the configuration, or of the core where there can be none.
pub(super) struct Answered(ResponseMessage);

/// Has the request go where options and routes say, with the fields that options say. Nothing is sent yet.
pub(super) fn before_upstream(record: &Record, request: &mut Request) -> Result<Routed, SendFailure> {
    let is_mapped = rules::map_remote(record)?;
    let routed = if is_mapped { Routed::Onward(None) } else { route(record, request) };
    if matches!(routed, Routed::Onward(_)) {
        rules::before_upstream(record);
    }
    Ok(routed)
}

fn route(record: &Record, request: &mut Request) -> Routed {
    let routes = &record.site.routes;
    if routes.is_empty() {
        return Routed::Onward(None);
    }
    let (judged, host, sent) = {
        let messages = record.exchange.lock();
        let judged = routes.judge(&filters::view(record, &messages, Event::Request, false));
        let head = &messages.request.head;
        (judged, head.authority.host().to_owned(), head.target.clone())
    };
    let (number, captures) = match judged {
        Judged::Unrouted => return Routed::Onward(None),
        Judged::Routed(number, captures) => (number, captures),
        Judged::Ambiguous => {
            let why = "the path can be read in several ways, and where it leads depends on that";
            record.fail(why);
            return Routed::Answered(Answered(respond::staged(StatusCode::BAD_REQUEST, why)));
        }
    };
    let Some(route) = routes.0.get(number) else { return Routed::Onward(None) };
    tracing::debug!(flow.id = record.facts.id, flow.listener = %record.facts.listener, route = number, "routed");
    match &route.action {
        Action::Answer(answer) => Routed::Answered(Answered::new(record, answer, &captures, &host)),
        Action::Redirect(status, to) => Routed::Answered(match to.expand(&captures, &host, &sent) {
            Ok(url) => Answered(respond::configured(*status, location(url).into_iter().collect(), Bytes::new())),
            Err(unfit) => Answered::unfit(record, unfit),
        }),
        Action::Onward(onward) => match send_on(record, request, onward, (&captures, &host, &sent)) {
            Ok(()) => Routed::Onward((!onward.on_status.is_empty()).then_some(Found { number, captures })),
            Err(unfit) => Routed::Answered(Answered::unfit(record, unfit)),
        },
    }
}

fn send_on(
    record: &Record,
    request: &mut Request,
    onward: &Onward,
    (captures, host, sent): (&Captures, &str, &[u8]),
) -> Result<(), Unfit> {
    if let Some(template) = &onward.target {
        let target = template.expand(captures, host, sent)?;
        record.sent_as(target.clone());
        request.target = Some(target);
    }
    if let Some(origin) = &onward.upstream {
        let staged = &mut record.exchange.lock().request;
        (staged.upstream, staged.guard) = (Arc::clone(origin), None);
        record.moved_to(Destination::configured(Arc::clone(origin)));
    }
    Ok(())
}

impl Found {
    /// What is answered in place of the upstream's response with this status, if the route says so and what was found fits in:
    /// what the upstream has done by now is not undone by calling the request a bad one.
    pub(super) fn instead_of(self, record: &Record, status: StatusCode) -> Option<Answered> {
        let Action::Onward(onward) = &record.site.routes.0.get(self.number)?.action else { return None };
        let answer = onward.instead_of(status)?;
        let host = record.exchange.lock().request.head.authority.host().to_owned();
        match answer.body(&self.captures, &host) {
            Ok(body) => Some(Answered(respond::configured(answer.status, answer.headers.clone(), body))),
            Err(unfit) => {
                tracing::debug!(flow.id = record.facts.id, error = %unfit, "the upstream's response is kept");
                None
            }
        }
    }
}

/// Takes what is there already of a body that nobody wants: where that is all of it, its connection can be used again.
pub(super) fn spend(mut body: Body) {
    let mut left = SPENT;
    while let Some(Some(Ok(frame))) = body.frame().now_or_never() {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}

impl Answered {
    fn new(record: &Record, answer: &Answer, captures: &Captures, host: &str) -> Self {
        match answer.body(captures, host) {
            Ok(body) => Self(respond::configured(answer.status, answer.headers.clone(), body)),
            Err(unfit) => Self::unfit(record, unfit),
        }
    }

    fn unfit(record: &Record, unfit: Unfit) -> Self {
        let why = unfit.to_string();
        record.fail(why.clone());
        Self(match unfit {
            Unfit::NoHost => respond::without_host(&why),
            Unfit::Path | Unfit::TooLong | Unfit::TooLarge | Unfit::NotText => respond::staged(StatusCode::BAD_REQUEST, &why),
        })
    }

    /// Stages the response; gives its body.
    pub(super) fn stage(&self, pass: &Pass<'_>) -> Held {
        pass.answer(self.0.clone());
        let has_body = pass.record.exchange.lock().response.as_ref().is_some_and(|response| response.may_have_body);
        let body = match &self.0.body {
            StagedBody::Whole(bytes) if has_body => Body::full(bytes.clone()),
            _ => Body::empty(),
        };
        Held::new(body)
    }
}
